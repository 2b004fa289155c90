"""What a delivery asks of the rows while others delete some, and where the clock was set back."""

from __future__ import annotations

import time

from nrtctl.store.intents import OffsetRange
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target
from tests.plugins.pipeline_engine import Engine

SPAN = OffsetRange(0, 5)


def insert(engine: Engine, moment: str) -> None:
    engine.client.command(
        f"INSERT INTO {engine.database}.events (_topic, _partition, _offset, n, _inserted_at) "
        f"SELECT 'user_events', 0, number, number, {moment} FROM numbers(5)"
    )


def test_a_count_waits_for_a_deletion_that_is_under_way(engine: Engine) -> None:
    """Each offset is there twice, and the deletion means all of them: once it has come to one part
    and not to the other, a count would find each offset once."""
    engine.up(fields={"n": "UInt32"})
    rows = rows_in(engine.client, Target.of(engine.pipeline, engine.database, 1))
    table = f"{engine.database}.events"
    insert(engine, "now64(3)")
    insert(engine, "now64(3)")
    engine.client.command(f"SYSTEM STOP MERGES {table}")
    engine.client.command(f"ALTER TABLE {table} DELETE WHERE _offset < 5", {"mutations_sync": 0})
    engine.client.command(
        f"ALTER TABLE {table} UPDATE n = 0 WHERE _offset > 5", {"mutations_sync": 0}
    )
    waits = 0

    def pause(seconds: float, failing: object) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            engine.client.command(f"SYSTEM START MERGES {table}")
        time.sleep(seconds)

    rows.wait_for_deletions(pause)
    assert waits >= 3
    assert rows.counts([(0, SPAN)])[0].rows == 0


def test_rows_that_are_newer_than_the_clock_are_seen_and_deleted(engine: Engine) -> None:
    engine.up(fields={"n": "UInt32"})
    rows = rows_in(engine.client, Target.of(engine.pipeline, engine.database, 1))
    insert(engine, "now64(3) + toIntervalHour(1)")
    seen = rows.listed(0, SPAN)
    assert sorted(seen.stored) == list(range(5))
    rows.delete(0, [SPAN], seen.at, lambda seconds, failing: time.sleep(seconds))
    assert rows.listed(0, SPAN).stored == []
