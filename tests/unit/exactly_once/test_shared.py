"""Batches of several partitions in one insert, over a simulated world, with and without guards."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.consumer.insert import Insert
from tests.unit.exactly_once.member import Guards
from tests.unit.exactly_once.server import Violation
from tests.unit.exactly_once.world import FOR_EVER, LEASE, World, seeded


def run_seeded(seed: int, guards: Guards | None = None, lease: float = FOR_EVER) -> World:
    world = World(seeded(seed), guards, lease)
    world.run()
    return world


@pytest.mark.parametrize("examples", [250, pytest.param(500, marks=pytest.mark.long)])
def test_every_offset_is_stored_once_whatever_happens(examples: int) -> None:
    """Without leases those who are long gone send on."""

    @settings(max_examples=examples)
    @given(st.integers(0, 2**64), st.sampled_from([LEASE, FOR_EVER]))
    def holds(seed: int, lease: float) -> None:
        run_seeded(seed, lease=lease)

    holds()


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(each, marks=pytest.mark.long) for each in range(100, 2000, 100))]
)
def test_many_random_schedules_end_well(first: int) -> None:
    for seed in range(first, first + 100):
        run_seeded(seed, lease=LEASE)


def test_random_schedules_visit_everything() -> None:
    left = {
        "handed over", "thrown out", "killed", "the engine died", "an answer was lost",
        "started over", "at rest", "renewal taken", "renewal lost", "renewal refused",
        "begun again", "together 2", "together 3", "alone NEW", "alone NEW shared",
        "alone RESUME", "alone RESUME shared", "alone LOOK", "intent taken", "intent lost",
        "intent refused", "whole Acknowledged", "whole Unsure", "whole Rejected",
        "counted together True", "counted together False", "ended", "ended, leaving a batch",
    }  # fmt: skip
    for seed in range(390, 2390):
        left -= run_seeded(seed, lease=LEASE).visited
        if not left:
            return
    pytest.fail(f"never: {left}")


@pytest.mark.parametrize(
    ("guard", "first"),
    [
        ("whole", 2_300),
        ("counted_apart", 0),
        ("counted_together", 2_000),
        ("named", 4_485),
        ("next_token", 0),
        ("one_block", 300),
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
        monkeypatch.setattr(Insert, "leave", _leave_quietly)
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


def _leave_quietly(self: Insert, partition: int) -> None:
    self.waiting.discard(partition)
    self.ready.pop(partition, None)
