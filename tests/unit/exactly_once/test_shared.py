"""Batches of several partitions in one insert, over a simulated world, with and without guards."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.consumer.together import Together
from tests.unit.exactly_once.shared_world import FOR_EVER, LEASE, Guards, World
from tests.unit.exactly_once.world import Violation


def run_seeded(seed: int, guards: Guards | None = None, lease: float = FOR_EVER) -> World:
    world = World(random.Random(seed).randrange, guards, lease)
    world.run()
    return world


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**64), st.sampled_from([LEASE, FOR_EVER]))
def test_every_offset_is_stored_once_whatever_happens(seed: int, lease: float) -> None:
    """Without leases those who are long gone send on."""
    run_seeded(seed, lease=lease)


def test_many_random_schedules_visit_everything() -> None:
    visited: set[str] = set()
    for seed in range(2000):
        visited |= run_seeded(seed, lease=LEASE).visited
    wanted = {
        "handed over", "thrown out", "killed", "the engine died", "an answer was lost",
        "started over", "at rest", "renewal taken", "renewal lost", "renewal refused",
        "begun again", "together 2", "together 3", "alone NEW", "alone NEW shared",
        "alone RESUME", "alone RESUME shared", "alone LOOK", "intent taken", "intent lost",
        "intent refused", "whole Acknowledged", "whole Unsure", "whole Rejected",
        "counted together True", "counted together False",
    }  # fmt: skip
    assert wanted <= visited, wanted - visited


@pytest.mark.parametrize(
    ("guard", "first"),
    [
        ("whole", 3_000),
        ("counted_apart", 0),
        ("counted_together", 0),
        ("named", 0),
        ("next_token", 0),
        ("one_block", 13_000),
    ],
)
def test_without_a_guard_rows_are_lost_or_doubled(
    guard: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each guard is needed: without it one of the same schedules ends badly.

    Args:
        first: the schedules to begin with; for some guards few end so.
    """
    if guard == "whole":
        monkeypatch.setattr(Together, "leave", _leave_quietly)
    for seed in range(first, first + 5_000):
        try:
            run_seeded(seed, Guards(**{guard: False}))
        except Violation:
            run_seeded_with_all(seed, monkeypatch)
            return
    pytest.fail(f"nothing goes wrong without {guard}")


def run_seeded_with_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same schedule ends well with the guard."""
    monkeypatch.undo()
    run_seeded(seed)


def _leave_quietly(self: Together, partition: int) -> None:
    self.waiting.discard(partition)
    self.declared.pop(partition, None)
