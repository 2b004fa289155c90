"""What is made on a cluster, as text: each statement goes to every server, and the engine parses
it. `test_one_shard.py` runs it."""

from __future__ import annotations

import re

import pytest

from nrtctl.clickhouse import cluster as names
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import check, cluster, cluster_ddl, latest
from nrtctl.schema.cluster_ddl import Made
from tests.plugins.pipeline_engine import REFERENCE, Engine

LINE = Pipeline(**REFERENCE)


@pytest.fixture
def made(engine: Engine) -> list[Made]:
    types = check.pipeline_types(engine.client, LINE)
    return cluster_ddl.statements(LINE, "shop", "prod-1", types)


def parsed(engine: Engine, sql: str) -> str:
    """The statement as the engine writes it again."""
    return str(engine.client.query("SELECT formatQuery({sql:String})", {"sql": sql})[0][0])


def test_every_statement_goes_to_every_server_and_parses(made: list[Made], engine: Engine) -> None:
    for each in made:
        assert each.sql.count(" ON CLUSTER 'prod-1'") == 1
        assert parsed(engine, each.sql).startswith("CREATE "), each.name
    for sql in (
        names.settled("shop.events_local", "prod-1"),
        f"ALTER TABLE shop.events_local{names.on('prod-1')} DELETE WHERE _offset = 1",
        f"SELECT 1 FROM {names.replicas('shop.events_local', 'prod-1')}",
        f"SELECT 1 FROM {names.shards('system.parts', 'prod-1')} GROUP BY hostName()",
    ):
        assert parsed(engine, sql), sql


def test_rows_are_replicated_and_every_name_is_sent_to_a_shard(made: list[Made]) -> None:
    sql = {each.name: each.sql for each in made}
    assert [each.name for each in made] == [
        "shop", "events_local", "dead_letters_local", "dead_letters_local_log",
        "events_local_parsed", "events_local_landing", "nrtctl_incarnations",
        "events_local_rejected", "events_local_accepted", "events_local_landing_view", "events",
        "dead_letters", "dead_letters_log", "events_landing", "by_kind",
    ]  # fmt: skip
    for name in ("events_local", "dead_letters_local", "dead_letters_local_log"):
        path = f"/clickhouse/tables/{{shard}}/shop/{name}"
        assert f"ENGINE = ReplicatedMergeTree('{path}', '{{replica}}')" in sql[name]
    path = "/clickhouse/tables/shop/nrtctl_incarnations"
    assert f"ReplicatedMergeTree('{path}', '{{shard}}-{{replica}}')" in sql["nrtctl_incarnations"]
    for name in ("events_local", "dead_letters_local"):
        assert "replicated_deduplication_window = 10000" in sql[name]
        assert "non_replicated" not in sql[name]
        assert "deduplicate_merge_projection_mode = 'rebuild'" in sql[name]
    for name in ("events", "dead_letters", "events_landing"):
        behind = name.replace("events", "events_local").replace("letters", "letters_local")
        assert f"ENGINE = Distributed('prod-1', 'shop', '{behind}', _partition)" in sql[name]
    assert (
        "TO shop.dead_letters_local AS SELECT 'events' AS _target" in sql["events_local_rejected"]
    )
    assert "FROM shop.events GROUP BY" in sql["by_kind"]
    everything = "\n".join(sql.values())
    assert not re.search(r"(?<!Replicated)MergeTree", everything)


def test_a_current_state_is_a_replicated_table_of_each_shard(engine: Engine) -> None:
    line = Pipeline(**REFERENCE, latest={"now": {"key": "kind"}})
    types = check.pipeline_types(engine.client, line)
    made = {each.name: each.sql for each in cluster_ddl.statements(line, "shop", "prod-1", types)}
    for sql in made.values():
        assert parsed(engine, sql).startswith("CREATE ")
    behind = cluster_ddl.on_each_server(line, "prod-1")
    read, kept = latest.state_of(line, "now"), latest.state_of(behind, "now")
    assert kept == read.replace("events_", "events_local_")
    engine_of_it = (
        f"ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/shop/{kept}', '{{replica}}', "
        "_order) ORDER BY (`kind`) SETTINGS replicated_deduplication_window = 0 "
    )
    assert engine_of_it in made[kept]
    assert f"Distributed('prod-1', 'shop', '{kept}', _partition) COMMENT" in made[read]
    assert f" TO shop.{kept} AS " in made[latest.feed_of(kept)]
    assert list(made).index(kept) < list(made).index(latest.feed_of(kept))
    view = latest.reading_query(line, "shop", "now", "prod-1")
    assert parsed(engine, f"CREATE VIEW shop.now AS {view}")


def test_a_single_server_is_told_of_no_cluster(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engines = engine.query("SELECT engine FROM system.tables WHERE database = '{db}'")
    assert {row[0] for row in engines} == {"MergeTree", "Null", "MaterializedView", "View"}


def test_a_cluster_that_the_server_does_not_know_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="does not know the cluster 'prod-1'"):
        cluster.apply(engine.client, LINE, engine.database, "prod-1")
    assert engine.query("SELECT 1 FROM system.databases WHERE name = '{db}'") == []
