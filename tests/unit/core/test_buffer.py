"""What waits to be stored: order, limits, and the pending range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.config.model import Batch as Limits
from nrtctl.consumer.budget import alone
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.flush_policy import FlushPolicy
from nrtctl.consumer.partition import Partition
from nrtctl.store.envelope import Rows, RowsEncoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from tests.unit.core.fetched import Message, runs

ENCODE = RowsEncoder("t", 1, 0)


def ready(
    buffer: PartitionBuffer, now: float, *, max_rows: int = 100, max_wait: float = 0.5
) -> bool:
    """Whether the flush_policy begins a batch of it now."""
    limits = Limits(max_rows=max_rows, max_wait=f"{max_wait}s")
    state = Partition(buffer, RowsEncoder("t", 1, 0), 0, 0, Mode.RESUME, None, False)
    state.looked_up(-1)
    policy = FlushPolicy(limits, share=alone(max_buffer=2**30, max_inserts=1))
    return policy.next_batches({0: state}, now, inserts=0) == [[0]]


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(1, 50), st.integers(1, 300))
def test_batches_are_contiguous_and_hold_every_message_once(
    offsets: set[int], max_rows: int, max_bytes: int
) -> None:
    buffer = PartitionBuffer(3, 0, "a1")
    for offset in sorted(offsets):
        buffer.extend([offset], Rows.of([b"x" * (offset % 7 + 1)]), float(offset))
    taken: list[int] = []
    position = 0
    while len(buffer):
        first = buffer.first()
        batch = buffer.take(max_rows=max_rows, max_bytes=max_bytes)
        assert first == batch.rows[0]
        assert batch.span.start == position
        assert len(batch.rows) == len(batch.offsets) <= max_rows
        assert sum(map(len, batch.rows)) <= max(max_bytes, len(batch.rows[0]))
        position = batch.span.end
        taken += batch.offsets
    assert taken == sorted(offsets)
    assert buffer.first() == b""
    assert buffer.bytes == 0
    assert buffer.oldest is None


@given(st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=8), st.integers(0, 10))
def test_many_at_once_are_as_one_after_another(fetches: list[list[int]], position: int) -> None:
    """Also where offsets repeat, go back or leave gaps."""
    together, apart = (PartitionBuffer(0, position, "a1") for _ in range(2))
    for now, run in enumerate(fetches):
        messages = [Message(0, offset, b"%d-%d" % (now, offset)) for offset in run]
        taken = sum(
            together.extend(each.offsets, each.rows(ENCODE, len(each.offsets)), now)
            for each in runs(*messages)
        )
        assert taken == sum(
            apart.extend([message.offset()], runs(message)[0].rows(ENCODE, 1), now)
            for message in messages
        )
        assert (together.bytes, together.seen, together.oldest, len(together)) == (
            apart.bytes, apart.seen, apart.oldest, len(apart)
        )  # fmt: skip
    while len(together):
        batch = together.take(max_rows=3, max_bytes=8)
        other = apart.take(max_rows=3, max_bytes=8)
        assert (batch.span, batch.offsets, batch.rows) == (other.span, other.offsets, other.rows)
        assert together.oldest == apart.oldest
    assert not len(apart)


def test_what_came_together_is_not_copied_into_a_batch() -> None:
    buffer, rows = PartitionBuffer(0, 0, "a1"), [b"%07d" % number for number in range(60)]
    for first in range(0, 60, 20):
        buffer.extend(range(first, first + 20), Rows.of(rows[first : first + 20]), 0.0)
    held = list(buffer._pieces)
    one, other = (buffer.take(max_rows=30, max_bytes=1000) for _ in range(2))
    assert one.pieces[0] is held[0]
    assert other.pieces[-1] is held[2]
    assert [(batch.size, batch.rows) for batch in (one, other)] == [
        (210, rows[:30]),
        (210, rows[30:]),
    ]
    assert [(len(piece), list(sizes)) for piece, sizes in one.by_piece()] == [
        (140, [7] * 20), (70, [7] * 10)
    ]  # fmt: skip


def test_an_offset_that_was_seen_is_ignored() -> None:
    buffer = PartitionBuffer(0, 5, "a1")
    for offset in (4, 5, 5, 6, 5):
        buffer.extend([offset], Rows.of([b"x"]), 0.0)
    assert buffer.take(max_rows=10, max_bytes=10).offsets == [5, 6]


def test_the_oldest_message_decides_when_it_is_time() -> None:
    buffer = PartitionBuffer(0, 0, "a1")
    assert not ready(buffer, 9.0)
    buffer.extend([0], Rows.of([b"x"]), 1.0)
    buffer.extend([1], Rows.of([b"x"]), 1.4)
    assert not ready(buffer, 1.49)
    assert ready(buffer, 1.5)
    buffer.take(max_rows=1, max_bytes=10)
    assert buffer.oldest == 1.4


def test_a_pending_range_comes_first_and_whole() -> None:
    buffer = PartitionBuffer(0, 10, "a1", OffsetRange(10, 15))
    for offset in (10, 11, 13):
        buffer.extend([offset], Rows.of([b"x"]), 0.0)
    assert not ready(buffer, 100.0, max_rows=2, max_wait=0.001)
    buffer.extend([17], Rows.of([b"x"]), 0.0)
    assert ready(buffer, 100.0, max_rows=2, max_wait=0.001)
    batch = buffer.take(max_rows=2, max_bytes=1)
    assert (batch.span, batch.offsets) == (OffsetRange(10, 15), [10, 11, 13])
    assert buffer.take(max_rows=2, max_bytes=9).span == OffsetRange(15, 18)


def test_a_pending_range_ends_at_the_end_of_the_log() -> None:
    buffer = PartitionBuffer(0, 10, "a1", OffsetRange(10, 15))
    buffer.reached(15)
    assert buffer.pending_is_whole()
    assert ready(buffer, 0.0, max_rows=1, max_wait=1.0)


def test_an_empty_buffer_has_no_batch() -> None:
    with pytest.raises(LookupError):
        PartitionBuffer(0, 0, "a1").take(max_rows=1, max_bytes=1)
