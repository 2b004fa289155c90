"""The SQL that a pipeline carries: what it may do, and what is refused before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from nrtctl.clickhouse.client import QueryError
from nrtctl.errors import ConfigError
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

X = {"fields": {"x": "Int64", "text": "String"}}
SECTIONS = ("columns", "rejects", "by", "values", "partition_by")
NOT_ONE_EXPRESSION = [
    "1) FROM numbers(9) --", "1 FROM numbers(9)", "1 FROM system.one", "1); DROP TABLE t; --",
    "1 -- a comment", "1 /*", "1 +", "*", "1 SETTINGS max_threads = 1", "x AS", "", " ",
    "SELECT 1", "1, (2", "'", "`", "DISTINCT x",
]  # fmt: skip
BEYOND_ONE_MESSAGE = ["arrayJoin([1, 2])", "unnest([1, 2])", "count()", "sum(x) OVER ()",
                      "row_number() OVER (ORDER BY x)", "untuple((1, 2))"]  # fmt: skip


def pipeline(section: str, sql: str) -> dict[str, Any]:
    if section == "partition_by":
        return {**X, "partition_by": sql}
    if section in {"by", "values"}:
        rollup = {"by": {"k": "x"}, "values": {"n": "count()"}}
        return {**X, "rollups": {"r": rollup | {section: {"s": sql}}}}
    return {**X, section: {"s": sql}}


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_not_one_expression_is_refused(engine: Engine, section: str) -> None:
    for sql in NOT_ONE_EXPRESSION:
        # An empty one is a ValidationError (a ValueError) of the model, or no partition at all.
        if sql == "" and section == "partition_by":
            continue
        with pytest.raises((ConfigError, ValueError)):
            engine.up(**pipeline(section, sql))
    assert engine.query("SELECT 1 FROM system.databases WHERE name = '{db}'") == []


@pytest.mark.parametrize("section", ["columns", "rejects"])
@pytest.mark.parametrize("sql", BEYOND_ONE_MESSAGE)
def test_what_looks_beyond_one_message_is_refused(engine: Engine, section: str, sql: str) -> None:
    with pytest.raises(ConfigError, match=f"pipeline.{section}"):
        engine.up(**pipeline(section, sql))


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"a": "x + 1", "b": "lower(x)"}, "b: Illegal type Int64 of argument of function lower. ("),
        ({"a": "b + 1", "b": "tex"}, "b: Unknown expression identifier `tex`. Maybe you meant: ["),
        ({"a": "toDat(x)", "b": "nowhere"}, "a: Function with name `toDat` does not exist. Maybe"),
    ],
)
def test_a_column_that_the_engine_refuses_is_named(
    engine: Engine, columns: dict[str, str], why: str
) -> None:
    """Without the statement around it, which is nobody's."""
    with pytest.raises(ConfigError) as refused:
        engine.up(**X, columns=columns)
    assert refused.value.message.startswith(f"pipeline.columns.{why}")
    assert "In scope" not in refused.value.message


def test_a_string_that_names_a_function_is_fine(engine: Engine) -> None:
    engine.up(**X, columns={"s": "'function_name: arrayJoin, -- (' || text"})
    engine.send(b'{"x":1,"text":"a"}')
    assert engine.stored("s") == {0: ("function_name: arrayJoin, -- (a",)}


@pytest.mark.parametrize("sql", ["x", "text", "NULL", "[x = 1]", "map('a', x = 1)", "'true'"])
def test_a_rule_that_is_no_condition_is_refused(engine: Engine, sql: str) -> None:
    with pytest.raises(ConfigError, match="not true or false"):
        engine.up(**X, rejects={"r": sql})


def test_a_rule_that_gives_null_does_not_reject(engine: Engine) -> None:
    engine.up(fields={"x": "Nullable(Int64)"}, rejects={"big": "x > 5", "odd": "x % 2 = 1"})
    assert engine.fates(b'{"x":null}', b"{}", b'{"x":7}', b'{"x":3}', b'{"x":4}') == [
        (None,), (None,), "big:", "odd:", (4,),
    ]  # fmt: skip


FEW = {
    "status = 'ERROR'": (1, "UInt8"),
    "status IN ('ERROR', 'FATAL')": (1, "UInt8"),
    "length(status)": (5, "UInt64"),
    "toBool(status = 'ERROR')": (True, "Bool"),
    "toInt64OrNull(status)": (None, "Nullable(Int64)"),
    "[length(status)]": ([5], "Array(UInt64)"),
    "map(status, length(status))": ({"ERROR": 5}, "Map(LowCardinality(String), UInt64)"),
    "lower(status)": ("error", "LowCardinality(String)"),
    "nullIf(status, 'x')": ("ERROR", "LowCardinality(Nullable(String))"),
}


def test_what_is_computed_from_a_low_cardinality_text_is_a_column(engine: Engine) -> None:
    columns = {f"c{number}": sql for number, sql in enumerate(FEW)}
    rollups = {"r": {"by": {"failed": "c0"}, "values": {"n": "count()"}}}
    engine.up(fields={"status": "LowCardinality(String)"}, columns=columns, rollups=rollups)
    engine.send(b'{"status":"ERROR"}')
    assert engine.stored(*columns)[0] == tuple(value for value, _ in FEW.values())
    described = {name: kind for name, kind, *_ in engine.query("DESCRIBE TABLE {db}.events")}
    assert [described[name] for name in columns] == [kind for _, kind in FEW.values()]
    assert engine.query("SELECT * FROM {db}.r") == [(1, 1)]
    engine.up(fields={"status": "LowCardinality(String)"}, columns=columns, rollups=rollups)


def test_names_of_rules_may_be_anything(engine: Engine) -> None:
    rules = {'it\'s \\ "odd" `x`\n': "x = 1", "?x": "x = 2", "ü; DROP TABLE t": "x = 3"}
    engine.up(**X, rejects=rules)
    values = [b'{"x":%d,"text":""}' % n for n in (1, 2, 3, 4)]
    assert engine.fates(*values) == [*(f"{name}:" for name in rules), (4, "")]


def test_a_rule_is_asked_once(engine: Engine) -> None:
    """Stored or rejected by the same answer, even where the answer is another each time."""
    engine.up(**X, rejects={"sometimes": "rand() % 2 = 0", "time": "now64(9) = now64(9) + x"})
    start = engine.send(*[b'{"x":1,"text":""}'] * 2000)
    stored, rejected = set(engine.stored()), set(engine.rejected())
    assert not stored & rejected
    assert stored | rejected == set(range(start, start + 2000))
    assert stored
    assert rejected


def test_sql_never_sees_a_message_that_is_wrong(engine: Engine) -> None:
    """The default that stands in for a wrong field would make it fail."""
    engine.up(
        **X,
        columns={"half": "intDiv(100, x)", "day": "toDate(text)"},
        rejects={"half": "half > 50", "day": "toDate(text) > '2030-01-01'"},
    )
    good = b'{"x":4,"text":"2024-01-01"}'
    bad = [b"{}", b"", None, b'{"x":null,"text":"2024-01-01"}', b'{"x":4}']
    fates = engine.fates(good, *bad, good)
    assert fates[0] == fates[-1] == (4, "2024-01-01")
    assert all(isinstance(fate, str) for fate in fates[1:-1])


@pytest.mark.parametrize("section", ["columns", "rejects"])
def test_sql_that_throws_fails_the_insert_with_its_reason(engine: Engine, section: str) -> None:
    engine.up(**X, **{section: {"s": "intDiv(100, x) = 5"}})
    with pytest.raises(QueryError, match=r"Division by zero") as caught:
        engine.send(b'{"x":5,"text":""}', b'{"x":0,"text":""}')
    assert caught.value.code == 153
    assert engine.stored() == {}


def test_columns_over_columns_and_rules_over_both(engine: Engine) -> None:
    engine.up(**X, columns={"a": "x + 1", "b": "a * 2"}, rejects={"r": "b > 10 AND text != ''"})
    assert engine.fates(b'{"x":9,"text":"t"}', b'{"x":9,"text":""}') == ["r:", (9, "")]
    assert engine.stored("a", "b") == {1: (10, 20)}


def test_a_measure_named_like_a_column_hides_it_from_none(engine: Engine) -> None:
    rollup = {
        "by": {"text": "upper(text)"},
        "values": {"x": "sum(x)", "average": "sum(x) / count()", "texts": "uniqExact(text)"},
    }
    engine.up(**X, rollups={"r": rollup})
    engine.send(*(b'{"x":%d,"text":"%s"}' % (n, t) for n, t in ((1, b"a"), (2, b"A"), (3, b"b"))))
    assert sorted(engine.query("SELECT text, x, average, texts FROM {db}.r")) == [
        ("A", 3, 1.5, 2), ("B", 3, 3.0, 1),
    ]  # fmt: skip


def test_a_rollup_is_read_from_its_projection(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events(range(100)))
    for sql in ("SELECT * FROM {db}.by_kind", "SELECT n FROM {db}.by_kind WHERE kind = 'k1'",
                "SELECT sum(n) FROM {db}.by_kind"):  # fmt: skip
        plan = "\n".join(str(line) for (line,) in engine.query(f"EXPLAIN {sql}"))
        assert "ReadFromMergeTree (by_kind)" in plan, plan
        assert "(events)" not in plan.replace(f"{engine.database}.events", "(events)"), plan
    assert engine.value("SELECT sum(n) FROM {db}.by_kind") == 100


def test_an_offset_range_is_read_from_its_projection(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events(range(100)))
    sql = "SELECT _offset FROM {db}.events WHERE _topic = 't' AND _partition = 0 AND _offset < 9"
    plan = "\n".join(str(line) for (line,) in engine.query(f"EXPLAIN {sql}"))
    assert "nrtctl_by_offset" in plan, plan


def test_the_same_token_again_is_dropped(engine: Engine) -> None:
    engine.up(**REFERENCE)
    for _ in range(3):
        engine.send(*events([1, 2, 2000]), offset=0, token="t")
    assert set(engine.stored()) == {0, 1}
    assert set(engine.rejected()) == {2}
