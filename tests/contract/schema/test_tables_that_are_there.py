"""`up` on a table of the user's own, on one without rows, and with a type that is wider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema.apply import apply
from nrtctl.schema.ddl import settings_of
from nrtctl.schema.empty_table import set_aside_name
from tests.plugins.pipeline_engine import REFERENCE, Engine, events
from tests.plugins.stopping import Stopped, Stopping
from tests.plugins.waiting import eventually

OWN: Mapping[str, Any] = {
    "fields": {"id": "UInt32", "kind": "LowCardinality(String)"},
    "rollups": {"by_kind": {"by": {"kind": "kind"}, "values": {"n": "count()"}}},
}


def create(engine: Engine, columns: str, rest: str = "ENGINE = MergeTree ORDER BY id") -> None:
    engine.client.command(f"CREATE DATABASE {engine.database}")
    engine.client.command(f"CREATE TABLE {engine.database}.events ({columns}) {rest}")


def snapshot(engine: Engine) -> list[tuple[Any, ...]]:
    text = "SELECT name, create_table_query FROM system.tables WHERE database = '{db}'"
    return sorted(engine.query(text))


def test_a_table_of_the_users_own_gets_what_it_lacks(engine: Engine) -> None:
    create(
        engine,
        "id UInt64, kind String, extra String DEFAULT 'x', at DateTime DEFAULT now()",
        "ENGINE = MergeTree PARTITION BY id % 2 ORDER BY (kind, id) TTL at + INTERVAL 9 YEAR",
    )
    engine.client.command(f"INSERT INTO {engine.database}.events (id, kind) VALUES (7, 'before')")
    actions = engine.up(**OWN)
    assert actions["events"].startswith("changed: + _topic, _incarnation, _partition, _offset")
    at = engine.send(*events([1, 2]), b'{"id":"x","kind":"k"}', token="a")
    engine.send(*events([1, 2]), b'{"id":"x","kind":"k"}', token="a", offset=at)
    rows = engine.query("SELECT id, kind, extra, _topic FROM {db}.events ORDER BY id")
    topic = engine.pipeline.topic
    assert rows == [(1, "k1", "x", topic), (2, "k2", "x", topic), (7, "before", "x", "")]
    assert engine.rejected() == {at + 2: ("wrong type", "id")}
    assert engine.value("SELECT sum(n) FROM {db}.by_kind") == 3
    assert set(engine.up(**OWN).values()) == {
        "kept",
        "kept, with extra, at, though not in the pipeline",
    }


@pytest.mark.parametrize(
    ("columns", "rest", "words"),
    [
        ("id UInt32, kind String", "ENGINE = ReplacingMergeTree ORDER BY id", "merges rows"),
        ("id UInt32, kind String", "ENGINE = SummingMergeTree ORDER BY kind", "merges rows"),
        ("id UInt32, kind String", "ENGINE = Memory", "its engine is Memory"),
        ("id UInt16, kind String", "ENGINE = MergeTree ORDER BY id", "pipeline.fields.id"),
        ("id Date, kind String", "ENGINE = MergeTree ORDER BY kind", "pipeline.fields.id"),
        (
            "id UInt32, kind String MATERIALIZED 'k'",
            "ENGINE = MergeTree ORDER BY id",
            "kind of the table is MATERIALIZED",
        ),
        (
            "id UInt32, kind String, _offset String",
            "ENGINE = MergeTree ORDER BY id",
            "a column _offset of the type String",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_changed(
    engine: Engine, columns: str, rest: str, words: str
) -> None:
    create(engine, columns, rest)
    if "UInt16" in columns or "Date" in columns:
        engine.client.command(f"INSERT INTO {engine.database}.events VALUES (1, 'b')")
    before = snapshot(engine)
    with pytest.raises(ConfigError, match=words) as caught:
        engine.steps(Pipeline(**OWN))
    assert caught.value.hint
    assert snapshot(engine) == before


def test_an_order_of_its_own_is_kept_unless_the_pipeline_asks_for_another(engine: Engine) -> None:
    create(engine, "id UInt32, kind String", "ENGINE = MergeTree ORDER BY kind")
    with pytest.raises(ConfigError, match=r"is sorted by \(kind\)"):
        engine.steps(Pipeline(**OWN, order_by=("id",)))
    engine.up(**OWN)
    assert engine.up(**OWN)["events"] == "kept"


def other(**changes: Any) -> dict[str, Any]:
    return {**REFERENCE, **changes}


FIELDS = REFERENCE["fields"]
CHANGES: dict[str, dict[str, Any]] = {
    "narrower": other(fields={**FIELDS, "id": "UInt8"}),
    "another kind": other(fields={**FIELDS, "id": "String"}, rejects={}, rollups={}),
    "of a key": other(fields={**FIELDS, "kind": "UInt8"}),
    "another order": other(order_by=("id",)),
    "another partition": other(partition_by="toYYYYMM(at)"),
    "another column": other(columns={"at": "toDate(fromUnixTimestamp64Milli(ms))"}),
}


ENGINE_OF = "SELECT engine_full FROM system.tables WHERE database = '{db}' AND name = 'events'"


@pytest.mark.parametrize(
    "name",
    [
        "another kind", "of a key", "another partition",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("narrower", "another order", "another column")
        ),
    ],
)  # fmt: skip
def test_a_table_without_rows_is_changed_in_any_way(engine: Engine, name: str) -> None:
    engine.up(**REFERENCE)
    assert engine.up(**CHANGES[name])["events"].startswith("changed: ")
    value = b"7" if name == "of a key" else b'"k"'
    at = engine.send(b'{"id":7,"kind":%b,"ms":1}' % value, b'{"id":"7","kind":%b,"ms":1}' % value)
    assert len(engine.stored()) + len(engine.rejected()) == 2
    assert at in engine.stored() or at + 1 in engine.stored()
    assert set(engine.up(**CHANGES[name]).values()) == {"kept"}


@pytest.mark.parametrize("step", [10, pytest.param(3, marks=pytest.mark.long)])
def test_creating_again_is_finished_wherever_it_is_interrupted(
    make_engine: Callable[[], Engine], step: int
) -> None:
    after, finished = 0, False
    while not finished:
        engine = make_engine()
        engine.up(**REFERENCE)
        try:
            apply(Stopping(engine.client, after), Pipeline(**CHANGES["of a key"]), engine.database)
            finished = True
        except Stopped:
            pass
        engine.up(**CHANGES["of a key"])
        assert engine.fates(b'{"id":7,"kind":7,"ms":1}') == [(7, 7, 1)]
        tables = {name for (name,) in engine.query("SHOW TABLES FROM {db}")}
        assert set_aside_name("events") not in tables
        after += step
    assert after > 10


def test_a_table_that_is_created_again_keeps_its_ttl_and_settings(engine: Engine) -> None:
    """Rows that somebody had to delete after a month stayed for good, and nothing said so."""
    engine.up(**REFERENCE)
    table = f"{engine.database}.events"
    own = engine.value(ENGINE_OF)
    ttl = "toDateTime(_timestamp) + toIntervalDay(30)"
    engine.client.command(f"ALTER TABLE {table} MODIFY TTL {ttl}")
    engine.client.command(f"ALTER TABLE {table} MODIFY SETTING merge_with_ttl_timeout = 60")
    assert engine.up(**other(order_by=("id",)))["events"].startswith("changed: created again")
    found = engine.value(ENGINE_OF)
    assert f" TTL {ttl} SETTINGS " in found
    assert settings_of(found) == {**settings_of(own), "merge_with_ttl_timeout": "60"}
    assert set(engine.up(**other(order_by=("id",))).values()) == {"kept"}


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("MODIFY TTL toDateTime(at) + toIntervalDay(30)", "cannot keep TTL toDateTime"),
        ("ADD INDEX of_id id TYPE minmax", "its index of_id would be lost"),
        (
            "ADD CONSTRAINT few CHECK id < 9, ADD PROJECTION mine (SELECT id ORDER BY id), "
            "MODIFY COLUMN ms UInt32 CODEC(ZSTD(9)) TTL toDateTime(_timestamp) + toIntervalDay(1), "
            "COMMENT COLUMN id 'mine', ADD COLUMN twice UInt64 ALIAS id * 2, "
            "MODIFY COMMENT 'of the shop'",
            "and its comment, its projection mine, its constraint few, the TTL of `ms`, "
            "the comment of id, the codec of ms, its column twice would be lost",
        ),
    ],
)
def test_what_a_new_table_could_not_keep_refuses_it(engine: Engine, added: str, said: str) -> None:
    engine.up(**REFERENCE)
    engine.client.command(f"ALTER TABLE {engine.database}.events {added}")
    before = engine.value(ENGINE_OF)
    without = other(order_by=("kind",), columns={})
    with pytest.raises(ConfigError, match=said):
        engine.up(**without)
    assert engine.value(ENGINE_OF) == before
    tables = {name for (name,) in engine.query("SHOW TABLES FROM {db}")}
    assert not [name for name in tables if "_trial_" in name or "set_aside" in name]


def test_a_table_that_is_created_again_says_which_columns_it_has_no_more(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.client.command(f"ALTER TABLE {engine.database}.events ADD COLUMN mine String")
    assert "without mine" in engine.up(**other(order_by=("id",)))["events"]


def test_rows_of_an_insert_under_way_outlive_the_table_that_is_created_again(
    engine: Engine,
) -> None:
    engine.up(**REFERENCE)
    value = """format('{{"id":{},"kind":"k","ms":1}}', number + sleepEachRow(0.5))"""
    insert = (
        f"INSERT INTO {engine.database}.events_landing "
        "(_topic, _partition, _offset, _timestamp, _key, _value) "
        f"SELECT 'topic', 0, number, toDateTime64(1, 3), 'k', {value} FROM numbers(3)"
    )
    slow = Thread(target=engine.client.command, args=(insert,))
    slow.start()
    begun = "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND query LIKE "
    eventually(lambda: engine.value(f"{begun}'%{engine.database}.%'"), "the insert begins")
    with pytest.raises(ConfigError):  # whenever it ends
        engine.up(**other(order_by=("id",)))
    slow.join()
    assert len(engine.stored()) == 3


def test_a_hint_names_only_what_works_with_several_topics(engine: Engine) -> None:
    engine.up(**REFERENCE)
    engine.send(*events([1]))
    narrow = other(fields={**FIELDS, "id": "UInt8"})
    hints = []
    for pipeline in (Pipeline(**narrow), Pipeline(**narrow, topics=["a", "b"]).of_topic("a")):
        with pytest.raises(ConfigError) as refused:
            engine.steps(pipeline)
        hints.append(str(refused.value.hint))
    assert ["replay load --into" in hint for hint in hints] == [True, False]
    assert "set pipeline.table to a new name" in hints[1]


WIDER: dict[str, tuple[dict[str, str], tuple[Any, ...]]] = {
    "integer": ({"id": "UInt64"}, (50, "k2", 50000)),
    "signed": ({"id": "Int64"}, (50, "k2", 50000)),
    "Nullable": ({"id": "Nullable(UInt32)"}, (50, "k2", 50000)),
}


@pytest.mark.parametrize(
    "name", ["integer", "Nullable", pytest.param("signed", marks=pytest.mark.long)]
)
def test_a_wider_type_is_given_to_a_table_with_rows(engine: Engine, name: str) -> None:
    engine.up(**REFERENCE)
    engine.send(*events(range(10)))
    fields, row = WIDER[name]
    new = other(fields={**FIELDS, **fields})
    actions = engine.up(**new)
    assert actions["events"] == f"changed: id UInt32 → {fields['id']}"
    at = engine.send(*events([50]))
    stored = engine.stored("id", "kind", "ms")
    assert stored.pop(at) == row
    assert sorted(values[0] for values in stored.values()) == list(range(10))
    assert engine.value("SELECT sum(n) FROM {db}.by_kind") == 11
    assert engine.value("SELECT max(largest) FROM {db}.by_kind") == 50
    assert set(engine.up(**new).values()) == {"kept"}


def test_an_enum_gets_names_and_a_text_loses_its_dictionary(engine: Engine) -> None:
    start = {
        "fields": {"state": "Enum8('on' = 1)", "text": "LowCardinality(String)", "n": "Float32"}
    }
    engine.up(**start)
    engine.send(b'{"state":"on","text":"a","n":0.5}')
    new = {
        "fields": {"state": "Enum8('on' = 1, 'off' = 2)", "text": "String", "n": "Float64"},
    }
    assert "text LowCardinality(String) → String" in engine.up(**new)["events"]
    assert engine.fates(b'{"state":"off","text":"b","n":0.25}') == [("off", "b", 0.25)]
    assert len(engine.stored()) == 2
    with pytest.raises(ConfigError, match="cannot hold each of them"):
        engine.steps(Pipeline(**start))


def test_nothing_is_created_for_a_table_that_the_engine_refuses(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="cannot be created"):
        engine.steps(Pipeline(**other(partition_by="rand()")))
    assert engine.query("SELECT name FROM system.databases WHERE name = '{db}'") == []
