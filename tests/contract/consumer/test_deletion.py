"""Rows are deleted however long the server takes, and the server is told once."""

from __future__ import annotations

import threading

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.servers import ClickHouse
from nrtctl.store.deletion import Failing
from nrtctl.store.intents import OffsetRange
from nrtctl.store.rows import TopicRows
from nrtctl.store.target import Target
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.pipeline_engine import REFERENCE, Engine, events

RANGES = (OffsetRange(3, 5), OffsetRange(17, 18))


def target(engine: Engine) -> Target:
    line = engine.pipeline
    names = (line.landing, line.table, line.dead_letters)
    return Target(line.topic, engine.database, *names, {}, 1)


def rows(engine: Engine) -> TopicRows:
    return TopicRows(engine.client, target(engine))


def wait(seconds: float, failing: Failing | None) -> None:
    assert failing is None
    threading.Event().wait(seconds)


def offsets(engine: Engine) -> list[int]:
    return [row[0] for row in engine.query("SELECT _offset FROM {db}.events ORDER BY _offset")]


def now(engine: Engine) -> int:
    return int(engine.value("SELECT toUnixTimestamp64Milli(now64(3))"))


@pytest.fixture
def filled(engine: Engine) -> Engine:
    engine.up(**REFERENCE)
    engine.send(*events(range(20)))
    return engine


def test_a_deletion_that_outlasts_the_request_timeout_is_told_once(
    filled: Engine, clickhouse_front: ClickHouseFront
) -> None:
    client = ClickHouseClient(
        ClickHouse(request_timeout="0.5s"),
        url=clickhouse_front.url,
        password=clickhouse_front.password,
    )
    table = f"{filled.database}.events"
    filled.client.command(f"SYSTEM STOP MERGES {table}")
    waited = []

    def pause(seconds: float, failing: Failing | None) -> None:
        waited.append(seconds)
        if sum(waited) > 1.5:
            filled.client.command(f"SYSTEM START MERGES {table}")
        threading.Event().wait(seconds)

    TopicRows(client, target(filled)).delete(0, RANGES, now(filled), pause)
    client.close()
    assert sum(waited) > 1.5
    assert offsets(filled) == [each for each in range(20) if each not in (3, 4, 17)]
    told = filled.query("SELECT table, count() FROM system.mutations WHERE database = '{db}' "
                        "AND command LIKE '%DELETE%' GROUP BY table ORDER BY table")  # fmt: skip
    assert told == [("dead_letters", 1), ("events", 1)]


def test_newer_rows_and_other_partitions_stay(filled: Engine) -> None:
    rows(filled).delete(1, RANGES, now(filled), wait)
    rows(filled).delete(0, RANGES, now(filled) - 3_600_000, wait)
    assert offsets(filled) == list(range(20))


def test_a_server_that_fails_is_waited_for_and_named(filled: Engine) -> None:
    """An earlier mutation that throws holds the deletion up, until somebody takes it away."""
    filled.client.command(
        f"ALTER TABLE {filled.database}.events UPDATE id = toUInt32(throwIf(1)) WHERE 1",
        {"mutations_sync": 0},
    )
    seen = []

    def pause(seconds: float, failing: Failing | None) -> None:
        if failing is not None:
            seen.append(failing.reason)
            filled.client.command(f"KILL MUTATION WHERE database = '{filled.database}' "
                                  "AND command LIKE '%throwIf%' SYNC")  # fmt: skip
        threading.Event().wait(seconds)

    rows(filled).delete(0, RANGES, now(filled), pause)
    assert any("FUNCTION_THROW_IF" in failure for failure in seen)
    assert len(offsets(filled)) == 17


def test_what_pause_raises_ends_the_wait(filled: Engine) -> None:
    table = f"{filled.database}.events"
    filled.client.command(f"SYSTEM STOP MERGES {table}")

    def pause(seconds: float, failing: Failing | None) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        rows(filled).delete(0, RANGES, now(filled), pause)
    filled.client.command(f"SYSTEM START MERGES {table}")
