"""Repairs and replays of dead letters over a simulated server, with and without their guards."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents import delivery as steps
from nrtctl.store.intents.delivery import Delivery, Mode
from tests.unit.exactly_once.mending_world import Guards, Row, World
from tests.unit.exactly_once.server import Violation


def run_seeded(seed: int, guards: Guards | None = None, *, several: bool = False) -> World:
    world = World(random.Random(seed).randrange, guards, several=several)
    world.run()
    return world


@given(st.integers(0, 2**64))
def test_a_repair_and_a_replay_leave_every_offset_once_whatever_happened(seed: int) -> None:
    run_seeded(seed)


@given(st.integers(0, 2**64))
def test_they_leave_every_message_of_several_rows_whole(seed: int) -> None:
    run_seeded(seed, several=True)


@pytest.mark.parametrize(
    "seeds", [range(590, 690), pytest.param(range(1500), marks=pytest.mark.long)], ids=len
)
def test_many_random_schedules_visit_everything(seeds: range) -> None:
    visited: set[str] = set()
    for seed in seeds:
        visited |= run_seeded(seed).visited
    wanted = {
        "Insert", "List", "Find", "StoreDeadLetters", "FIND Found", "PLACE Acknowledged",
        "PLACE Unsure", "PLACE Rejected", "LETTER Acknowledged", "LETTER Unsure",
        "LIST_PART Listed",
        "LIST Listed", "repaired", "replayed", "rejected after all", "killed", "damaged",
        "rules changed",
    }  # fmt: skip
    assert wanted <= visited, wanted - visited
    assert "Delete" not in visited


@pytest.mark.parametrize("guard", ["look", "next_token", "keep", "letters_after"])
def test_without_a_guard_rows_are_lost_or_doubled(guard: str) -> None:
    """Each guard is needed: without it one of the same schedules ends badly."""
    guards = Guards(**{guard: False})
    for seed in range(5_000):
        try:
            run_seeded(seed, guards)
        except Violation:
            return
    pytest.fail(f"nothing goes wrong without {guard}")


@pytest.mark.parametrize("replays", [0, 1])
@pytest.mark.parametrize("stages", range(3))
def test_who_comes_after_a_kill_meets_the_insert_of_before(replays: int, stages: int) -> None:
    """It is carried out when both are long gone."""
    assert rows_after_a_late_insert(replays, stages, Guards()) == [1]


@pytest.mark.parametrize("replays", [0, 1])
def test_without_stable_tokens_that_insert_doubles_the_row(replays: int) -> None:
    assert rows_after_a_late_insert(replays, 1, Guards(stable_token=False)) == [2]


def rows_after_a_late_insert(replays: int, stages: int, guards: Guards) -> list[int]:
    """How often one offset is a row, where the first process was killed once the server had gone so
    many steps with its insert, and a second one has come to its end meanwhile."""
    world = World(lambda n: 3 % n, guards)
    world.offsets, world.had = [0], set()
    server = world.server
    server.bad = server.poison = frozenset()
    server.tables[0].clear()
    server.tables[1].clear()
    if replays:
        server.tables[1].append(Row(0, 0))
    first = world.start(replays)
    world.step(first)
    (late,) = server.requests
    for _ in range(stages):
        server.advance(late)
    world.running.clear()
    world.complete(world.start(replays))
    while server.requests:
        server.advance(server.requests[0])
    return [server.rows(0)]


def test_what_is_there_stays_and_only_the_rest_goes_again() -> None:
    delivery = Delivery.start(OffsetRange(10, 31), (10, 20, 30), Mode.FILL, lease=10.0)
    delivery = delivery.after(steps.Acknowledged())
    assert delivery.next_action(1e9) == steps.List(OffsetRange(10, 31))
    delivery = delivery.after(steps.Listed([20, 20], [], 99))
    assert delivery.next_action(1e9) == steps.Insert(OffsetRange(10, 31), [10, 30], 1)
    delivery = delivery.after(steps.Acknowledged()).after(steps.Listed([10, 20, 20, 30], [], 99))
    assert delivery.next_action(1e9) == steps.Done()


def test_gaps_are_halved_by_number_without_what_is_there() -> None:
    """However far apart they lie; the parts are those of every version before."""
    offsets = (0, 1, 2, 1_000_000, 2_000_000)
    delivery = Delivery.start(OffsetRange(0, 2_000_001), offsets, Mode.FILL, lease=None)
    delivery = delivery.after(steps.Rejected("too much", letter=False))
    delivery = delivery.after(steps.Listed([1], [], 0))
    assert delivery.next_action(0.0) == steps.Insert(OffsetRange(0, 3), [0, 2], 0)
    delivery = delivery.after(steps.Acknowledged())
    there = [1_000_000, 2_000_000]
    assert delivery.next_action(0.0) == steps.Insert(OffsetRange(there[0], 2_000_001), there, 0)
