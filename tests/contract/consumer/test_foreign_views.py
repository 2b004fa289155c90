"""A materialized view that somebody else has put on our tables fails: the insert waits for it."""

from __future__ import annotations

import json
from threading import Event
from typing import Any

import pytest

from nrtctl.clickhouse.client import QueryError
from nrtctl.clock import SystemClock
from nrtctl.errors import NrtctlError
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.store.batch import Batch
from nrtctl.store.chain import Chain
from nrtctl.store.envelope import row_encoder
from nrtctl.store.filling import filling
from nrtctl.store.foreign_views import View, pushed_to
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.throwing import Throwing
from nrtctl.store.writer import Writer
from tests.plugins.pipeline_engine import Engine

THROWS = "SELECT throwIf(_offset = 5, 'their mistake') AS a FROM {db}.events"
LETTERS_THROW = "SELECT throwIf(_offset = 5, 'their mistake') AS a FROM {db}.dead_letters"
VALUES = [json.dumps({"id": n}).encode() if n != 5 else b"no JSON" for n in range(10)]
GOOD = [json.dumps({"id": n}).encode() for n in range(10)]


def store(engine: Engine, values: list[bytes], mode: Mode, mend: list[str]) -> list[str]:
    """What was said while it waited; each wait carries out the next statement of `mend`."""
    line, clock = engine.pipeline, SystemClock()
    encode = row_encoder(line.topic, 1, 0)
    rows = [encode(offset, 1, b"k", value) for offset, value in enumerate(values)]
    target = Target(
        line.topic, engine.database, line.landing, line.table, line.dead_letters,
        INSERT_SETTINGS, 1,
    )  # fmt: skip
    said: list[str] = []

    def waiting(reason: str, seconds: float) -> None:
        said.append(reason)
        if not mend:
            pytest.fail(f"it goes on waiting: {reason}")
        engine.client.command(mend.pop(0).replace("{db}", engine.database))

    given: Any = {
        "clock": clock,
        "waiting": waiting,
        "throwing": Throwing(line, engine.database, clock=clock),
    }
    writer = (
        filling(target, engine.client, **given, again="again")
        if mode is Mode.FILL
        else Writer(
            target,
            engine.client,
            declare=lambda partition, span, look: clock.monotonic(),
            lease=600.0,
            pressure=Pressure(engine.database, (line.table,), clock),
            chain=Chain(line, engine.database, clock),
            **given,
        )
    )
    batch = Batch.of_rows(0, "e", OffsetRange(0, len(rows)), range(len(rows)), rows)
    writer.write(batch, mode, None, Event())
    return said


def put(engine: Engine, *statements: str) -> None:
    for sql in statements:
        engine.client.command(sql.replace("{db}", engine.database))


@pytest.mark.parametrize("mode", [Mode.NEW, Mode.FILL])
@pytest.mark.parametrize("query", [THROWS, LETTERS_THROW])
def test_a_view_of_another_that_throws_is_waited_for_and_named(
    engine: Engine, mode: Mode, query: str
) -> None:
    engine.up(fields={"id": "UInt32"})
    put(
        engine,
        "CREATE TABLE {db}.theirs (a UInt8) ENGINE = MergeTree ORDER BY a",
        f"CREATE MATERIALIZED VIEW {{db}}.`to theirs` TO {{db}}.theirs AS {query}",
    )
    values = GOOD if query is THROWS else VALUES
    (said,) = store(engine, values, mode, ["DROP VIEW {db}.`to theirs`"])
    assert f"the view {engine.database}.`to theirs`, which is not nrtctl's, fails" in said
    assert "their mistake" in said
    assert f"`DROP VIEW {engine.database}.`to theirs``" in said
    assert len(engine.stored()) == sum(value in GOOD for value in values)
    assert set(engine.rejected()) == ({5} if query is LETTERS_THROW else set())


def test_a_view_behind_a_view_of_another_is_named(engine: Engine) -> None:
    engine.up(fields={"id": "UInt32"})
    put(
        engine,
        "CREATE TABLE {db}.one (a UInt32) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE {db}.two (a UInt32, CONSTRAINT c CHECK a < 5) ENGINE = MergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW {db}.first TO {db}.one AS SELECT id AS a FROM {db}.events",
        "CREATE MATERIALIZED VIEW {db}.second TO {db}.two AS SELECT a FROM {db}.one",
    )
    (said,) = store(engine, GOOD, Mode.NEW, ["DROP VIEW {db}.second"])
    assert f"the view {engine.database}.second, which is not nrtctl's" in said
    assert len(engine.stored()) == len(GOOD)
    assert not engine.rejected()


@pytest.mark.parametrize("gone", ["theirs", "looked_up"])
def test_a_view_of_another_that_cannot_be_started_is_waited_for(engine: Engine, gone: str) -> None:
    """The server does not name the view then."""
    engine.up(fields={"id": "UInt32"})
    table = "CREATE TABLE {db}.%s (a UInt32) ENGINE = MergeTree ORDER BY a"
    put(
        engine,
        table % "theirs",
        table % "looked_up",
        "CREATE MATERIALIZED VIEW {db}.v TO {db}.theirs AS SELECT id AS a FROM {db}.events "
        "WHERE id IN (SELECT a FROM {db}.looked_up)",
        f"DROP TABLE {{db}}.{gone}",
    )
    (said,) = store(engine, GOOD, Mode.NEW, [table % gone])
    assert f"the view {engine.database}.v, which is not nrtctl's" in said
    assert gone in said
    assert len(engine.stored()) == len(GOOD)


def test_a_view_of_another_that_works_does_not_hide_our_own_mistakes(engine: Engine) -> None:
    engine.up(fields={"id": "UInt32"}, columns={"c": "throwIf(id = 5, 'our mistake')"})
    put(
        engine,
        "CREATE TABLE {db}.theirs (a UInt32) ENGINE = MergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW {db}.v TO {db}.theirs AS SELECT id AS a FROM {db}.events",
    )
    assert store(engine, GOOD, Mode.NEW, []) == []
    assert set(engine.rejected()) == {5}
    assert len(engine.stored()) == len(GOOD) - 1


def test_a_message_that_quotes_such_an_error_is_not_waited_for(engine: Engine) -> None:
    engine.up(fields={"t": "String"}, columns={"n": "toUInt32(t)"})
    evil = "x: while pushing to view a.b. (CANNOT_PARSE_TEXT)"
    assert store(engine, [json.dumps({"t": text}).encode() for text in ("1", evil)],
                 Mode.NEW, []) == []  # fmt: skip
    assert set(engine.rejected()) == {1}


def test_a_long_error_still_names_the_view(engine: Engine) -> None:
    engine.up(fields={"id": "String"})
    put(
        engine,
        "CREATE TABLE {db}.theirs (a String, CONSTRAINT c CHECK length(a) < 9) "
        "ENGINE = MergeTree ORDER BY a",
        "CREATE MATERIALIZED VIEW {db}.v TO {db}.theirs AS SELECT id AS a FROM {db}.events",
    )
    long = json.dumps({"id": "y" * 3000}).encode()
    (said,) = store(engine, [long], Mode.NEW, ["DROP VIEW {db}.v"])
    assert f"the view {engine.database}.v, which is not nrtctl's" in said
    assert not engine.rejected()


def test_what_a_server_says_of_the_views() -> None:
    said = (
        "boo: while pushing to view a.`b c` (3f2504e0-4f89-11d3-9a0c-0305e82c3301): while pushing "
        "to view d.e. (VIOLATED_CONSTRAINT) (version 24.8.1.1 (official build))"
    )
    assert pushed_to(said) == [View("a", "b c"), View("d", "e")]
    assert pushed_to("boo: while pushing to view a.b, said somebody. (X)") == []


def test_without_such_views_an_error_stays_what_it_is(engine: Engine) -> None:
    engine.up(fields={"id": "UInt32"})
    throwing = Throwing(engine.pipeline, engine.database, clock=SystemClock())
    with pytest.raises(NrtctlError) as caught:
        engine.query("SELECT nowhere FROM {db}.events")
    assert isinstance(caught.value, QueryError)
    assert throwing.foreign(engine.client, caught.value) == ""
