"""Current states: the newest row of each key beside all rows, on the engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.errors import ConfigError, QueryError
from nrtctl.schema.drift import differences, lost
from nrtctl.schema.latest import state_of, unfilled
from nrtctl.store.latest import StateReport, States
from nrtctl.store.questions import parts
from tests.plugins.pipeline_engine import Engine

ACCOUNTS: dict[str, Any] = {
    "fields": {
        "id": "UInt32",
        "v": "Int64",
        "op": "LowCardinality(String)",
        "note": "Nullable(String)",
    },
    "columns": {"twice": "v * 2"},
    "rejects": {"too large": "id > 1000"},
    "order_by": ("op",),
    "latest": {"accounts": {"key": "id", "version": "v", "deleted": "op = 'd'"}},
}


def sent(engine: Engine, *rows: tuple[int, int, str, str | None], **how: Any) -> int:
    values = [dict(zip(("id", "v", "op", "note"), row, strict=True)) for row in rows]
    return engine.send(*(json.dumps(each).encode() for each in values), **how)


def now(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.query("SELECT id, v, note, twice FROM {db}.accounts ORDER BY id")


def compared(engine: Engine) -> StateReport:
    (found,) = states(engine).compare()
    return found


def states(engine: Engine) -> States:
    return States(engine.client, engine.pipeline, engine.database, sleep=lambda _: None)


def test_the_newest_row_of_each_key_is_read(engine: Engine) -> None:
    assert engine.up(**ACCOUNTS)["accounts"] == "made"
    sent(engine, (1, 10, "c", "a"), (2, 10, "c", "b"), (1, 12, "u", None), (3, 1, "c", "x"))
    sent(engine, (1, 11, "u", "late"), (2, 11, "d", None), (2000, 1, "c", "rejected"))
    assert now(engine) == [(1, 12, None, 24), (3, 1, "x", 2)]
    sent(engine, (2, 10, "u", "older than its end"), (3, 1, "u", "equal: the later one"))
    assert now(engine) == [(1, 12, None, 24), (3, 1, "equal: the later one", 2)]
    sent(engine, (2, 12, "c", "again"))
    assert now(engine)[1] == (2, 12, "again", 24)
    assert engine.value("SELECT count() FROM {db}.events") == 9
    assert compared(engine) == StateReport("accounts", 3)
    assert engine.up(**ACCOUNTS)["accounts"] == "kept"


def test_a_repeat_under_the_same_token_changes_nothing_and_fills_what_is_lacking(
    engine: Engine,
) -> None:
    engine.up(**ACCOUNTS)
    rows = [(1, 1, "c", "a"), (2, 2, "c", "b")]
    sent(engine, *rows, offset=0, token="t")
    before = now(engine)
    sent(engine, *rows, offset=0, token="t")
    assert (now(engine), compared(engine).differing) == (before, 0)
    engine.client.command(f"TRUNCATE TABLE {engine.database}.{state(engine)}")
    assert compared(engine).missing == 2
    sent(engine, *rows, offset=0, token="t")
    assert (now(engine), compared(engine).differing) == (before, 0)
    assert engine.value("SELECT count() FROM {db}.events") == 2


@pytest.mark.parametrize(
    "at_once",
    [
        ("KEYS_AT_ONCE", 20),
        ("ROWS_AT_ONCE", 120),
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in (("KEYS_AT_ONCE", 1 << 20), ("KEYS_AT_ONCE", 12), ("ROWS_AT_ONCE", 60))
        ),
    ],
)
def test_a_damaged_state_is_seen_and_mended(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, at_once: tuple[str, int]
) -> None:
    monkeypatch.setattr(f"nrtctl.store.latest.{at_once[0]}", at_once[1])
    engine.up(**ACCOUNTS)
    sent(engine, *((n % 40, n, "d" if n % 7 == 0 else "c", f"n{n}") for n in range(200)))
    whole, table = now(engine), f"{engine.database}.{state(engine)}"
    engine.client.command(f"OPTIMIZE TABLE {table} FINAL")
    told = {"mutations_sync": 2}
    engine.client.command(f"ALTER TABLE {table} DELETE WHERE id < 5", told)
    engine.client.command(f"ALTER TABLE {table} UPDATE note = 'by hand' WHERE id IN (7, 8)", told)
    columns = "id, v, op, _topic, _incarnation, _partition, _offset, _order"
    ahead = "bitOr(_order, bitShiftLeft(toUInt256(1), 254))"
    engine.client.command(
        f"INSERT INTO {table} ({columns}) SELECT 900, {columns[4:]} FROM {table} WHERE id = 9"
    )
    engine.client.command(
        f"INSERT INTO {table} ({columns}) SELECT {columns.replace('_order', ahead)} FROM {table} "
        "WHERE id = 10"
    )
    found = compared(engine)
    assert found.keys == 40
    assert (found.wrong, found.missing, found.extra) == (3, 5, 1)
    assert len(found.examples) == 5
    assert states(engine).mend("accounts") == 9
    assert (now(engine), compared(engine)) == (whole, StateReport("accounts", 40))
    assert states(engine).mend("accounts") == 0


def test_rows_from_before_are_in_a_state_that_is_added_and_a_changed_one_is_made_again(
    engine: Engine,
) -> None:
    engine.up(**{**ACCOUNTS, "latest": {}})
    sent(engine, *((n % 10, n, "c", None) for n in range(50)))
    assert engine.up(**ACCOUNTS)["accounts"] == "made, filled from 50 rows of events"
    assert [row[:2] for row in now(engine)] == [(n, 40 + n) for n in range(10)]
    first = state(engine)
    lowest = {"accounts": {"key": ["id", "op"], "version": "-v", "deleted": "v = 3"}}
    changed = engine.up(**{**ACCOUNTS, "latest": lowest})
    assert changed["accounts"] == "changed, filled from 50 rows of events"
    assert [row[:2] for row in now(engine)] == [(n, n) for n in range(10) if n != 3]
    assert engine.value(f"SELECT count() FROM system.tables WHERE name = '{first}'") == 0
    dropped = engine.up(**{**ACCOUNTS, "latest": {}})
    assert dropped["accounts"] == "dropped, as it is no longer in the pipeline"
    left = "SELECT count() FROM system.tables WHERE database = '{db}' AND name LIKE '%latest%'"
    assert engine.value(left) == 0
    sent(engine, (1, 1, "c", None))


def test_tables_that_are_only_named_like_a_state_stay(engine: Engine) -> None:
    """One of the user's own, and the state of another pipeline with its view."""
    engine.up(**{**ACCOUNTS, "table": "events_latest_x", "latest": {"others": {"key": "id"}}})
    theirs = state_of(engine.pipeline, "others")
    mine = "events_latest_daily_20251130"
    table = f"{engine.database}.{mine} (a UInt8) ENGINE = ReplacingMergeTree ORDER BY a"
    engine.client.command(f"CREATE TABLE {table}")
    engine.up(**ACCOUNTS)
    engine.up(**{**ACCOUNTS, "latest": {}})
    left = engine.value("SELECT groupArray(name) FROM system.tables WHERE database = '{db}'")
    assert {mine, theirs, f"{theirs}_feed", "others"} <= set(left)
    assert not [name for name in left if "accounts" in name]


def test_a_view_stays_with_the_table_whose_state_it_shows(engine: Engine) -> None:
    engine.up(**ACCOUNTS)
    with pytest.raises(ConfigError, match="the current state of another table"):
        engine.up(**{**ACCOUNTS, "table": "others"})
    engine.up(**ACCOUNTS)
    engine.client.command(f"DROP VIEW {engine.database}.accounts")
    assert engine.up(**{**ACCOUNTS, "table": "others"})["accounts"] == "made"


def test_rows_on_which_the_sql_of_a_new_state_fails_are_told(engine: Engine) -> None:
    fields = {"id": "UInt8", "s": "String"}
    engine.up(fields=fields)
    engine.send(b'{"id":2,"s":"x"}')
    with pytest.raises(ConfigError, match=r"latest\.one: its SQL fails on a row of events"):
        engine.up(fields=fields, latest={"one": {"key": "id", "version": "toInt64(s)"}})
    engine.send(b'{"id":3,"s":"nor is the insert of consumers that run"}')
    mended = {"one": {"key": "id", "version": "toInt64OrZero(s)"}}
    assert engine.up(fields=fields, latest=mended)["one"] == "made, filled from 2 rows of events"


def test_a_fill_that_was_interrupted_is_done_again(engine: Engine) -> None:
    engine.up(**ACCOUNTS)
    sent(engine, *((n, n, "c", None) for n in range(20)))
    table = f"{engine.database}.{state(engine)}"
    engine.client.command(f"TRUNCATE TABLE {table}")
    unmarked = unfilled("events")
    engine.client.command(f"ALTER TABLE {table} MODIFY COMMENT '{unmarked}'")
    engine.client.command(f"DROP VIEW {engine.database}.accounts")
    (lost,) = differences(engine.client, engine.pipeline, engine.database)
    assert "accounts does not show the current state" in str(lost)
    assert "`nrtctl up` fills it" in compared(engine).problem
    assert engine.up(**ACCOUNTS)["accounts"] == "made, filled from 20 rows of events"
    assert (len(now(engine)), compared(engine).differing) == (20, 0)
    assert differences(engine.client, engine.pipeline, engine.database) == []


def test_a_state_whose_feed_was_dropped_is_filled_again(engine: Engine) -> None:
    engine.up(**ACCOUNTS)
    sent(engine, (1, 1, "c", None))
    engine.client.command(f"DROP VIEW {engine.database}.{state(engine)}_feed")
    assert lost(engine.client, engine.pipeline, engine.database) == []
    assert differences(engine.client, engine.pipeline, engine.database)
    sent(engine, (2, 1, "c", None))
    assert "does not receive new rows" in compared(engine).problem
    assert engine.up(**ACCOUNTS)["accounts"] == "kept, filled from 2 rows of events"
    assert (len(now(engine)), compared(engine).differing) == (2, 0)


def test_a_state_that_is_gone_is_lost_only_while_its_feed_is_there(engine: Engine) -> None:
    """A consumer that runs with the configuration of before goes on when `up` makes others."""
    engine.up(**ACCOUNTS)
    sent(engine, (1, 1, "c", None))
    before, name = engine.pipeline, state(engine)
    engine.up(**{**ACCOUNTS, "columns": {"twice": "v + v"}})
    assert name != state(engine)
    assert lost(engine.client, before, engine.database) == []
    engine.up(**{**ACCOUNTS, "latest": {}})
    assert lost(engine.client, before, engine.database) == []
    engine.up(**ACCOUNTS)
    engine.client.command(f"DROP TABLE {engine.database}.{name}")
    (loss,) = lost(engine.client, before, engine.database)
    assert f"{name} does not exist" in loss.what
    assert engine.up(**ACCOUNTS)["accounts"] == "kept, filled from 1 row of events"


VERSIONS: list[tuple[str, str | None, list[str]]] = [
    ("UInt64", "v", ["0", "1", "18446744073709551615"]),
    ("Int64", "v", ["-9223372036854775808", "-1", "0", "9223372036854775807"]),
    ("Int8", "-v", ["5", "0", "-5"]),
    ("Bool", "v", ["false", "true"]),
    (
        "DateTime64(9, 'UTC')",
        "v",
        ['"1925-01-01T00:00:00.000000001Z"', '"2026-01-01T00:00:00Z"'],
    ),
    ("Date", "toDateTime64(v, 0)", ['"1971-01-01"', '"2026-01-01"']),
    ("Decimal(18, 4)", "v", ['"-99999999999999.9999"', "0.0001", '"99999999999999.9999"']),
    ("UInt32", None, ["3", "2", "1"]),
]
"""Type, what orders, and values, of which the last one is the highest."""


@pytest.fixture(scope="module")
def versions(one_engine: Engine) -> Engine:
    """A field and a state for each of them; id 0 gets their values upwards, id 1 downwards."""
    places = range(len(VERSIONS))
    fields = {f"v{at}": VERSIONS[at][0] for at in places}
    latest = {f"one{at}": {"key": "id"} for at in places}
    for at in places:
        if (sql := VERSIONS[at][1]) is not None:
            latest[f"one{at}"]["version"] = sql.replace("v", f"v{at}")
    one_engine.up(fields={"id": "UInt8", **fields}, latest=latest)
    most = max(len(values) for *_, values in VERSIONS)
    for number, way in enumerate((1, -1)):
        ordered = [values[::way] for *_, values in VERSIONS]
        given = ([values[min(at, len(values) - 1)] for values in ordered] for at in range(most))
        for row in given:
            texts = "".join(f',"v{at}":{text}' for at, text in enumerate(row))
            one_engine.send(f'{{"id":{number}{texts}}}'.encode())
    return one_engine


@pytest.mark.parametrize("at", range(len(VERSIONS)), ids=[kind for kind, *_ in VERSIONS])
def test_versions_are_ordered_by_their_value(versions: Engine, at: int) -> None:
    """The highest is the newest whichever comes first; without an order it is the last."""
    _, sql, values = VERSIONS[at]
    found = dict(versions.query(f"SELECT id, toString(v{at}) FROM {{db}}.one{at}"))
    sent = f"SELECT toString(v{at}) FROM {{db}}.events WHERE _offset = "
    highest = versions.value(f"{sent}{len(values) - 1}")
    first = versions.value(f"{sent}0")
    assert found == {0: highest, 1: first if sql is None else highest}
    assert first != highest


def test_of_several_rows_of_a_message_the_last_one_is_the_newest(engine: Engine) -> None:
    engine.up(
        rows=["items"],
        fields={"id": "UInt8", "n": "UInt8"},
        latest={"item": {"key": ["id"]}},
    )
    engine.send(b'{"items":[{"id":1,"n":1},{"id":2,"n":2},{"id":1,"n":3}]}')
    engine.send(b'{"items":[{"id":2,"n":4},{"id":2,"n":5}]}')
    assert engine.query("SELECT id, n FROM {db}.item ORDER BY id") == [(1, 3), (2, 5)]
    (found,) = states(engine).compare()
    assert found == StateReport("item", 2)


def test_a_table_of_ones_own_has_a_state_of_its_messages(engine: Engine) -> None:
    engine.client.command(f"CREATE DATABASE {engine.database}")
    engine.client.command(
        f"CREATE TABLE {engine.database}.events (id UInt64, v Int64, mine String DEFAULT 'x') "
        "ENGINE = MergeTree ORDER BY id"
    )
    engine.client.command(f"INSERT INTO {engine.database}.events (id, v) VALUES (1, 99), (2, 1)")
    latest = {"one": {"key": "id", "version": "v"}}
    engine.up(fields={"id": "UInt32", "v": "Int64"}, latest=latest)
    engine.send(b'{"id":1,"v":5}', b'{"id":1,"v":4}')
    assert engine.query("SELECT id, v FROM {db}.one") == [(1, 5)]
    (found,) = states(engine).compare()
    assert found == StateReport("one", 1)


def test_rows_that_a_table_has_lost_by_their_age_stay_in_the_state(engine: Engine) -> None:
    engine.up(**ACCOUNTS)
    sent(engine, (1, 1, "c", None), (2, 2, "c", None))
    engine.client.command(
        f"ALTER TABLE {engine.database}.events MODIFY TTL toDateTime(_timestamp) + INTERVAL 1 YEAR "
        "DELETE WHERE id = 1"
    )
    engine.client.command(f"OPTIMIZE TABLE {engine.database}.events FINAL")
    assert engine.value("SELECT count() FROM {db}.events") == 1
    assert compared(engine) == StateReport("accounts", 1, older=1)
    assert states(engine).mend("accounts") == 0
    assert len(now(engine)) == 2


def test_tombstones_may_be_left_out(engine: Engine) -> None:
    engine.up(**{**ACCOUNTS, "tombstones": "leave out"})
    engine.send(b'{"id":1,"v":1,"op":"c"}', None, b"", b'{"id":1,"v":2,"op":"d"}', None)
    reasons = sorted(why for why, _ in engine.rejected().values())
    assert reasons == ["empty message", "left out", "left out"]
    marked = "SELECT countIf(_target = 'events left out') FROM {db}.dead_letters"
    assert (engine.value(marked), now(engine)) == (2, [])


def test_an_expression_that_throws_makes_the_insert_fail(engine: Engine) -> None:
    """And the consumer asks which message it is."""
    latest = {"one": {"key": "id", "version": "toInt64(s)"}}
    engine.up(fields={"id": "UInt8", "s": "String"}, latest=latest)
    with pytest.raises(QueryError, match="Cannot parse"):
        engine.send(b'{"id":1,"s":"5"}', b'{"id":2,"s":"x"}')
    asked = [part.key for part in parts(engine.pipeline)]
    assert asked == ["pipeline.latest.one"]


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        ({"key": "id", "version": "maybe"}, "returns Nullable"),
        ({"key": "id", "version": "text"}, "returns String"),
        ({"key": "id", "version": "toFloat64(id)"}, "returns Float64"),
        ({"key": "maybe"}, "cannot be a key"),
        ({"key": "id", "deleted": "text"}, "not true or false"),
        ({"key": "id", "deleted": "1) OR (1"}, "not a single SQL expression"),
        ({"key": "id", "version": "id -- "}, "not a single SQL expression"),
        ({"key": "id", "version": "id); DROP TABLE x; --"}, "not a single SQL expression"),
        ({"key": "id", "version": "nothing"}, "nothing"),
        ({"key": "id", "version": "_inserted_at"}, "_inserted_at"),
        ({"key": "id", "version": "toInt64(now())"}, "another value each time"),
        ({"key": "id", "deleted": "rand() = 1"}, "another value each time"),
        ({"key": "id", "version": "row_number() OVER ()"}, "window function"),
        ({"key": "id", "version": "uptime()"}, "another value each time"),
        ({"key": "id", "version": "count()"}, "not under aggregate function"),
        ({"key": "id", "version": "length(text) AS id"}, "has a part with a name of its own, id"),
        ({"key": "id", "deleted": "id IN (SELECT 1)"}, "reads a table"),
        ({"key": "id", "deleted": "dummy IN system.one"}, "dummy"),
        ({"key": "id", "deleted": "id IN system.one"}, "reads a table"),
    ],
)
def test_what_is_no_order_is_refused_before_anything_is_made(
    engine: Engine, latest: dict[str, Any], words: str
) -> None:
    fields = {"id": "UInt32", "maybe": "Nullable(Int64)", "text": "String"}
    with pytest.raises(ConfigError, match=words) as refused:
        engine.up(fields=fields, latest={"now_": latest})
    assert "latest.now_" in str(refused.value)
    assert engine.query("SELECT name FROM system.tables WHERE database = '{db}'") == []


def test_a_column_that_varies_is_refused_and_a_name_that_is_taken(engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"columns\.at.*another value each time"):
        engine.up(fields={"id": "UInt8"}, columns={"at": "now()"}, latest={"one": {"key": "id"}})
    engine.up(fields={"id": "UInt8"}, columns={"at": "now()"})
    engine.client.command(f"CREATE VIEW {engine.database}.one AS SELECT 1")
    with pytest.raises(ConfigError, match="was not created by nrtctl"):
        engine.up(fields={"id": "UInt8"}, table="other", latest={"one": {"key": "id"}})


def state(engine: Engine) -> str:
    return state_of(engine.pipeline, "accounts")
