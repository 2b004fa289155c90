"""Calls of `cluster('default', …)` are taken away, and nothing else is."""

from __future__ import annotations

import pytest

from nrtctl.local.front.one_node import without_cluster


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        ("SELECT 1 FROM cluster('default', system.one)", "SELECT 1 FROM system.one"),
        ("SELECT 1 FROM CLUSTER(default, one)", "SELECT 1 FROM one"),
        ("FROM clusterAllReplicas(`default`, system, one) SELECT 1", "FROM system.one SELECT 1"),
        ("FROM cluster(\"default\", 'my db', 'a`b', rand())", r"FROM `my db`.`a\`b`"),
        ("FROM cluster('default', a.b, rand(1, 2))", "FROM a.b"),
        ("FROM cluster('default', /* ) */ a . b -- )\n)", "FROM a.b"),
        (
            "FROM clusterAllReplicas('default', merge('system', '^(a|b)$')) AS x",
            "FROM merge('system', '^(a|b)$') AS x",
        ),
        ("FROM cluster('default', view(SELECT 1, (2, [3])), n)", "FROM view(SELECT 1, (2, [3]))"),
        (
            "FROM cluster('default', a) JOIN cluster('default', cluster('default', b)) USING n",
            "FROM a JOIN b USING n",
        ),
    ],
)
def test_what_stands_in_a_call_is_left(sql: str, left: str) -> None:
    assert without_cluster(sql.encode()).decode() == left


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT cluster FROM system.clusters WHERE cluster = 'default'",
        "SELECT 1 FROM cluster('other', system.one)",
        "SELECT 1 FROM cluster('default')",
        "SELECT 1 FROM cluster('default', )",
        "SELECT 1 FROM cluster('default', a.b",
        "SELECT 1 FROM cluster('default', 1 + 1)",
        "SELECT 1 FROM db.cluster('default', a)",
        "SELECT 'cluster(''default'', a)'",
        "SELECT 1 -- cluster('default', a)",
        "SELECT 1 FROM cluster('default', a), 'unfinished",
        "SELECT clusters('default', a)",
        " insert INTO t FORMAT TSV\ncluster('default', a)",
        "/* a */ INSERT INTO t VALUES (1) cluster('default', a)",
        "SELECT 1 FROM cluster('default', a)" + " " * 20_000,
    ],
)
def test_anything_else_stays(sql: str) -> None:
    assert without_cluster(sql.encode()).decode() == sql


def test_there_is_an_end_of_calls_in_calls() -> None:
    sql = b"cluster('default'," * 400 + b"a" + b")" * 400
    assert without_cluster(sql).count(b"cluster") == 380
