"""What the consumer does about batches that cannot be read, and where a damaged range ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.clock import ManualClock
from nrtctl.kafka.damage import STALLED_SECONDS, first_good
from nrtctl.kafka.unreadable import TURN_SECONDS, Unreadable
from nrtctl.store.intents import OffsetRange
from tests.plugins.waiting import eventually


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40)), min_size=1, max_size=8))
def test_no_good_offset_next_to_damage_is_passed(runs: list[tuple[bool, int]]) -> None:
    log = [False] + [good for good, size in runs for _ in range(size)]
    found = first_good(lambda at: log[at], 0, len(log))
    assert found == len(log) or log[found]
    assert not log[found - 1]
    lengths = [size for good, size in runs if good]
    if lengths and min(lengths) > found // 16 + 1:
        assert not any(log[:found])


class Finder:
    def __init__(self, reason: str | None, end: int = 9) -> None:
        self.answer = reason
        self.end = end
        self.asked: list[tuple[int, int]] = []

    def reason(self, partition: int, offset: int) -> str | None:
        self.asked.append((partition, offset))
        return self.answer

    def damaged(self, partition: int, offset: int) -> OffsetRange | None:
        return OffsetRange(offset, self.end)


class Stand:
    """An `Unreadable` whose partition 0 stands at offset 5 of a log of 20."""

    def __init__(self, finder: Finder, *, skip: bool) -> None:
        self.clock = ManualClock()
        self.said: list[str] = []
        self.notes: list[str] = []
        self.at = 5
        self.it = Unreadable(
            "t",
            finder,
            clock=self.clock,
            skip=skip,
            waiting=lambda reason, _: self.said.append(reason),
            note=self.notes.append,
        )
        self.it.seen = lambda partition: self.at

    def turns(self, seconds: float) -> dict[int, int | None]:
        moves: dict[int, int | None] = {}
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.advance(TURN_SECONDS)
            moves |= self.it.turn([0], lambda partition: 20)
            eventually(lambda: all(look.done for look in self.it._looks.values()), "the look")
        return moves


def test_a_partition_that_stands_still_is_looked_at_and_stopped() -> None:
    stand = Stand(Finder("garbage"), skip=False)
    assert stand.turns(STALLED_SECONDS) == {}
    assert stand.turns(2 * TURN_SECONDS) == {0: None}
    assert stand.it.holds(0)
    assert stand.it.stopped[0].exit_code == 5
    assert "--skip-damaged" in stand.said[0]
    stand.turns(120)
    assert len(stand.said) == 5
    stand.it.forget([0])
    assert not stand.it.is_holding


def test_one_that_goes_on_or_is_not_fetched_is_left_alone() -> None:
    finder = Finder("garbage")
    stand = Stand(finder, skip=False)
    for _ in range(10):
        stand.turns(STALLED_SECONDS / 2)
        stand.at += 1
    for _ in range(10):
        stand.turns(STALLED_SECONDS / 2)
        stand.it.rested()
    assert finder.asked == []


def test_a_slow_broker_is_no_damage_and_is_asked_less_and_less() -> None:
    finder = Finder(None)
    stand = Stand(finder, skip=False)
    assert stand.turns(60) == {}
    assert not stand.it.is_holding
    assert len(finder.asked) == 4


@pytest.mark.parametrize("found", [False, True])
def test_what_is_to_be_skipped_is_noted_with_its_range(found: bool) -> None:
    stand = Stand(Finder("garbage"), skip=True)
    if found:
        stand.it.found(0, 5, "wrong checksum")
        assert stand.it.holds(0)
    # Longer, and it would be looked at once more where the first look was quick.
    seconds = 2 * TURN_SECONDS if found else STALLED_SECONDS + 2 * TURN_SECONDS
    assert stand.turns(seconds)[0] == 9
    assert not stand.it.is_holding
    assert "5–8 is damaged and skipped" in stand.notes[0]


class GoodAfter(Finder):
    """The log can be read from `end` on."""

    def reason(self, partition: int, offset: int) -> str | None:
        return super().reason(partition, offset) if offset < self.end else None

    def damaged(self, partition: int, offset: int) -> OffsetRange | None:
        return super().damaged(partition, offset) if offset < self.end else None


def test_what_was_skipped_is_not_found_again_before_anything_comes_after_it() -> None:
    stand = Stand(GoodAfter("garbage"), skip=True)
    stand.it.found(0, 5, "wrong checksum")
    assert stand.turns(2 * TURN_SECONDS) == {0: 9}
    stand.it.found(0, 5, "wrong checksum")
    assert stand.turns(2 * TURN_SECONDS) == {0: 9}
    assert stand.turns(4 * STALLED_SECONDS) == {}
    assert len(stand.notes) == 1
    stand.it.forget([0])
    stand.it.found(0, 5, "wrong checksum")
    assert stand.turns(2 * TURN_SECONDS) == {0: 9}
    assert len(stand.notes) == 2
