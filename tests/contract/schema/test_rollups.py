"""Rollups on a table that is in use: built in the background, used, never wrong."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clock import SystemClock
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.schema.apply import apply
from nrtctl.schema.building import Building, build_the_rest, unbuilt, wait_until_built
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.pipeline_engine import REFERENCE, Engine, events
from tests.plugins.stopping import Stopped, Stopping
from tests.plugins.waiting import eventually

PER_HUNDRED = {
    "by": {"hundred": "intDiv(id, 100)", "kind": "kind"},
    "values": {"n": "count()", "total": "sum(id)", "late": "max(at)"},
}
NEW = {**REFERENCE, "rollups": {**REFERENCE["rollups"], "per_hundred": PER_HUNDRED}}
BY_HAND = (
    "SELECT intDiv(id, 100) AS hundred, kind, count(), sum(id), max(at) FROM {db}.events "
    "GROUP BY hundred, kind ORDER BY hundred, kind SETTINGS optimize_use_projections = 0"
)
VIEW = "SELECT hundred, kind, n, total, late FROM {db}.per_hundred"


def left(engine: Engine) -> list[Building]:
    return unbuilt(engine.client, engine.database, "events")


def wait(engine: Engine) -> list[int]:
    """Wait until all is built; how many parts were left with each look."""
    seen: list[int] = []
    wait_until_built(
        lambda: build_the_rest(engine.client, engine.database, "events"),
        lambda found: seen.append(found[0].left),
        SystemClock(),
    )
    return seen


def check(engine: Engine) -> None:
    """The view equals the rows, is read from the projection, and from nothing else."""
    assert sorted(engine.query(VIEW)) == engine.query(BY_HAND)
    for sql in (VIEW, "SELECT sum(n) FROM {db}.per_hundred WHERE kind = 'k1'"):
        plan = "\n".join(str(line) for (line,) in engine.query(f"EXPLAIN {sql}"))
        assert re.findall(r"ReadFrom\w+ \(.*\)", plan) == ["ReadFromMergeTree (per_hundred)"], plan


@pytest.fixture
def used(engine: Engine) -> Iterator[Engine]:
    """Some parts of rows, from before the rollup; merges and builds are held back."""
    engine.up(**REFERENCE)
    engine.client.command(f"SYSTEM STOP MERGES {engine.database}.events")
    for start in range(0, 600, 100):
        engine.send(*events(range(start, start + 100)))
    yield engine
    engine.client.command(f"SYSTEM START MERGES {engine.database}.events")


def test_it_is_built_in_the_background_and_right_meanwhile(used: Engine) -> None:
    assert left(used) == []
    used.up(**NEW)
    assert left(used) == [Building("per_hundred", 6, 6, running=True)]
    assert str(left(used)[0]) == "per_hundred: 6 of 6 parts still to be built"
    used.send(*events(range(600, 700)))
    assert left(used) == [Building("per_hundred", 7, 6, running=True)]
    assert sorted(used.query(VIEW)) == used.query(BY_HAND)
    mutations = "SELECT count() FROM system.mutations WHERE database = '{db}'"
    before = used.value(mutations)
    used.up(**NEW)
    assert used.value(mutations) == before
    used.client.command(f"SYSTEM START MERGES {used.database}.events")
    seen = wait(used)
    assert seen == sorted(seen, reverse=True)
    check(used)


def test_it_is_built_while_rows_arrive(used: Engine, clickhouse_front: ClickHouseFront) -> None:
    used.client.command(f"SYSTEM START MERGES {used.database}.events")
    client = ClickHouseClient(
        ClickHouse(), url=clickhouse_front.url, password=clickhouse_front.password
    )
    sender = Engine(client, used.database)
    sender.up(**REFERENCE)
    done = threading.Event()
    errors: list[BaseException] = []

    def send() -> None:
        try:
            at = 1000
            while not done.wait(0.02) and at < 5000:
                sender.send(*events(range(at - 1000, at - 980)), offset=at)
                at += 20
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        used.up(**NEW)
        wait(used)
    finally:
        done.set()
        thread.join()
        client.close()
    assert errors == []
    assert sender._offset > 1000
    assert used.value("SELECT count() FROM {db}.events") > 600
    wait(used)
    check(used)


@pytest.mark.parametrize(
    ("old", "step"),
    [
        pytest.param(NEW, 7, id="changed-7"),
        *(
            pytest.param(old, step, id=f"{name}-{step}", marks=pytest.mark.long)
            for name, old, step in (("added", REFERENCE, 1), ("changed", NEW, 1))
        ),
    ],
)
def test_interrupted_anywhere_it_is_built_by_the_next(
    make_engine: Callable[[], Engine], old: dict[str, Any], step: int
) -> None:
    changed = {**PER_HUNDRED, "values": {**PER_HUNDRED["values"], "least": "min(id)"}}
    new = {**NEW, "rollups": {"per_hundred": changed}}
    after, finished = 0, False
    while not finished:
        engine = make_engine()
        engine.up(**old)
        for start in (0, 200):
            engine.send(*events(range(start, start + 100)))
        try:
            apply(Stopping(engine.client, after), Pipeline(**new), engine.database)
            finished = True
        except Stopped:
            pass
        engine.send(*events(range(500, 600)))
        engine.up(**new)
        wait(engine)
        check(engine)
        assert engine.value("SELECT sum(least) FROM {db}.per_hundred") == sum(
            start + kind for start in (0, 200, 500) for kind in range(3)
        )
        after += step
    assert after > 4


@pytest.mark.parametrize(
    "name", ["by_kind", pytest.param("nrtctl_by_offset", marks=pytest.mark.long)]
)
def test_what_was_added_and_never_built_is_built_by_the_next(used: Engine, name: str) -> None:
    """As if a statement further on had been the last."""
    table = f"{used.database}.events"
    sql = used.value(f"SELECT query FROM system.projections WHERE database = '{{db}}' "
                     f"AND name = '{name}'")  # fmt: skip
    used.client.command(f"SYSTEM START MERGES {table}")
    used.client.command(f"ALTER TABLE {table} DROP PROJECTION {name}", {"mutations_sync": 2})
    used.client.command(f"ALTER TABLE {table} ADD PROJECTION {name} ({sql})")
    assert [(b.projection, b.running) for b in left(used)] == [(name, False)]
    used.up(**REFERENCE)
    wait(used)
    assert left(used) == []


def test_what_an_insert_from_before_left_without_it_is_built_while_one_waits(used: Engine) -> None:
    """The part of an insert that began before the projection was added, as it is found."""
    used.up(**NEW)
    used.client.command(f"SYSTEM START MERGES {used.database}.events")
    wait(used)
    table = f"{used.database}.events"
    used.client.command(f"ALTER TABLE {table} CLEAR PROJECTION per_hundred", {"mutations_sync": 2})
    assert [(each.projection, each.running) for each in left(used)] == [("per_hundred", False)]
    wait(used)
    check(used)


def test_one_that_cannot_be_built_says_so_and_can_be_changed(used: Engine) -> None:
    """The rows from before hold a value that its SQL throws on."""
    used.client.command(f"SYSTEM START MERGES {used.database}.events")
    broken = {"by": {"part": "intDiv(1000, id)"}, "values": {"n": "count()"}}
    used.up(**{**REFERENCE, "rollups": {"per_hundred": broken}})
    eventually(lambda: any(each.failure for each in left(used)), "a failure")
    with pytest.raises(NrtctlError, match=r"per_hundred: .*[Dd]ivision by zero") as raised:
        wait(used)
    assert "pipeline.rollups.per_hundred" in str(raised.value.hint)
    used.up(**NEW)
    wait(used)
    check(used)
    assert used.value("SELECT count() FROM system.mutations WHERE database = '{db}' "
                      "AND NOT is_done") == 0  # fmt: skip
