"""When the next batch of a partition is taken, and how long the loop sleeps."""

from __future__ import annotations

import math

import pytest

from nrtctl.config.model import Batch as Limits
from nrtctl.consumer import due
from nrtctl.consumer.assigned import AssignedPartition
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.due import seconds_left, to_take
from nrtctl.envelope import rows_encoder
from nrtctl.intents import OffsetRange
from nrtctl.intents.delivery import Mode

LIMITS = Limits(max_rows=10, max_wait="1s")  # type: ignore[arg-type]


def partition(
    rows: int, since: float = 0.0, *, taken: bool = False, pending: int = 0
) -> AssignedPartition:
    span = OffsetRange(0, pending) if pending else None
    state = AssignedPartition(
        buffer=PartitionBuffer(0, 0, "e", span),
        encode=rows_encoder("t", 1, 0),
        stored=0,
        committed=0,
        first=Mode.RESUME,
        limit=None,
        ended=False,
        top=-1,
    )
    if taken:
        state.buffer.extend([0], [b"x"], since)
        state.take(1, 100, intents=True)
    start = state.buffer.seen
    state.buffer.extend(range(start, start + rows), [b"x"] * rows, since)
    return state


def groups(
    states: dict[int, AssignedPartition],
    now: float,
    *,
    at_once: bool = False,
    full: bool = False,
    together: bool = True,
) -> list[list[int]]:
    return to_take(
        states, LIMITS, max_inserts=2, now=now, at_once=at_once, full=full, together=together
    )


def taken(states: dict[int, AssignedPartition], now: float, **how: bool) -> list[int]:
    """Each in an insert of its own."""
    found = groups(states, now, **how, together=False)
    assert all(len(group) == 1 for group in found)
    return [number for group in found for number in group]


def test_no_more_batches_are_due_by_time_than_threads_are_free() -> None:
    states = {0: partition(1, 3.0), 1: partition(1, 1.0), 2: partition(1, 2.0)}
    assert taken(states, 9.0) == [1, 2]
    states[3] = partition(0, taken=True)
    assert taken(states, 9.0) == [1]
    states[4] = partition(1, 0.0, taken=True)
    assert taken(states, 9.0) == []


@pytest.mark.parametrize("full", [partition(10, 5.0), partition(3, 5.0, pending=3)])
def test_a_full_batch_and_a_pending_one_wait_for_no_thread(full: AssignedPartition) -> None:
    states = {0: partition(1), 1: partition(0, taken=True), 2: partition(0, taken=True), 3: full}
    assert taken(states, 9.0) == [3]
    assert taken(states, 9.0, at_once=True) == [0, 3]


def test_in_a_full_buffer_the_largest_is_taken_for_a_free_thread() -> None:
    states = {0: partition(1, 1.0), 1: partition(3, 3.0), 2: partition(2, 2.0)}
    assert taken(states, 3.0) == [0, 2]
    assert taken(states, 3.0, full=True) == [1, 2]
    states[3] = partition(0, taken=True)
    assert taken(states, 3.0, full=True) == [1]
    states[4] = partition(9, taken=True)
    assert taken(states, 3.0, full=True) == []


def test_with_one_that_is_due_goes_what_the_others_have() -> None:
    states = {0: partition(1, 8.9), 1: partition(0), 2: partition(2, 5.0), 3: partition(3, 8.0)}
    assert groups(states, 8.95) == [[2, 3, 0]]
    assert groups(states, 5.5) == []
    states[1] = partition(0, taken=True)
    states[4] = partition(0, taken=True)
    assert groups(states, 8.95) == []
    assert groups(states, 8.95, at_once=True) == [[2, 3, 0]]


def test_one_insert_takes_no_more_than_a_batch_may_have() -> None:
    states = {
        0: partition(6, 1.0),
        1: partition(4, 2.0),
        2: partition(1, 3.0),
        3: partition(9, 4.0),
    }
    assert groups(states, 9.0) == [[0, 1], [2, 3]]
    assert groups(states, 2.1) == [[0, 1]]
    states[4] = partition(1, 0.0)
    states[4].buffer.bytes = LIMITS.max_bytes
    assert groups(states, 9.0) == [[4], [0, 1]]


@pytest.mark.parametrize("limit", ["TOGETHER_ROWS", "TOGETHER_BYTES"])
def test_one_insert_is_small_enough_to_be_one_block(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due, limit, 3)
    states = {0: partition(2, 1.0), 1: partition(1, 2.0), 2: partition(1, 3.0)}
    assert groups(states, 9.0) == [[0, 1], [2]]


def test_a_large_one_goes_alone_and_parts_no_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "TOGETHER_ROWS", 3)
    states = {0: partition(1, 1.0), 1: partition(5, 2.0), 2: partition(1, 3.0)}
    assert groups(states, 9.0) == [[0, 2], [1]]


def test_those_under_way_together_take_one_thread() -> None:
    states = {n: partition(0, taken=True) for n in range(4)} | {4: partition(1, 1.0)}
    for number in range(4):
        states[number].batch.shared = "t"  # type: ignore[union-attr]
    assert groups(states, 9.0) == [[4]]
    states[0].batch.shared = ""  # type: ignore[union-attr]
    assert groups(states, 9.0) == []


def test_what_may_be_there_already_goes_alone_and_so_does_a_full_buffer() -> None:
    states = {
        0: partition(1, 1.0),
        1: partition(1, 2.0),
        2: partition(1, 3.0),
        3: partition(1, 4.0),
    }
    states[1].top = 0
    states[2] = partition(3, 3.0, pending=3)
    assert groups(states, 9.0, at_once=True) == [[0, 3], [1], [2]]
    assert groups(states, 9.0, at_once=True, full=True) == [[2], [0], [1], [3]]


def test_what_is_not_due_or_not_known_is_left() -> None:
    unknown = partition(10)
    unknown.top = None
    assert taken({0: partition(1, 8.5), 1: unknown, 2: partition(0)}, 9.0) == []


def test_the_loop_sleeps_until_a_batch_that_may_be_taken_is_due() -> None:
    def left(states: dict[int, AssignedPartition], max_inserts: int = 2) -> float:
        return seconds_left(states, LIMITS, max_inserts=max_inserts, now=9.0, most=0.5)

    assert left({}) == left({0: partition(0)}) == 0.5
    assert left({0: partition(1, 8.2)}) == pytest.approx(0.2)
    assert left({0: partition(1, 1.0)}) == 0.0
    busy = {0: partition(1, 1.0), 1: partition(0, taken=True)}
    assert left(busy, max_inserts=1) == 0.5
    busy[1].again_at = 9.1
    assert left(busy, max_inserts=1) == pytest.approx(0.1)
    assert partition(0).since() == math.inf
