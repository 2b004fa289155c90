"""What one assigned partition takes of what was fetched."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nrtctl.consumer.assigned import AssignedPartition
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.envelope import rows_encoder
from nrtctl.intents import OffsetRange
from nrtctl.intents.delivery import Mode


@dataclass
class Message:
    at: int
    end: bool = False

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, 1000 + self.at)

    def headers(self) -> None:
        return None

    def key(self) -> bytes | None:
        return None if self.at % 2 else b"k"

    def value(self) -> bytes:
        return b"v"

    def error(self) -> str | None:
        return "end" if self.end else None


def partition(limit: int | None = None) -> AssignedPartition:
    encode = rows_encoder("t", 1, 0)
    return AssignedPartition(
        PartitionBuffer(0, 5, "e"), encode, 5, 5, Mode.RESUME, limit=limit, ended=False
    )


def messages(*offsets: int, end: int | None = None) -> list[Message]:
    found = [Message(offset) for offset in offsets]
    return [*found, Message(end, end=True)] if end is not None else found


def test_messages_are_buffered_as_rows() -> None:
    state = partition()
    assert state.add(messages(5, 6, 8), 1.0, None) == 3
    batch = state.take(10, 1000, intents=True)
    assert batch.offsets == [5, 6, 8]
    encode = rows_encoder("t", 1, 0)
    assert batch.rows == encode(
        [5, 6, 8], [1005, 1006, 1008], [None] * 3, [None, b"k", b"k"], [b"v"] * 3
    )
    assert (batch.span.start, batch.span.end) == (5, 9)


@pytest.mark.parametrize(
    ("given", "limit", "most", "taken", "ended", "seen"),
    [
        (messages(5, 6), None, None, 2, False, 7),
        (messages(5, 6, end=7), None, None, 2, True, 7),
        (messages(5, end=9), None, None, 1, True, 9),
        (messages(end=9), None, None, 0, True, 9),
        ([*messages(5, end=6), *messages(6, 7)], None, None, 3, False, 8),
        (messages(5, 6, 7), 7, None, 2, True, 7),
        (messages(5, 6, 7), 8, None, 3, False, 8),
        (messages(7, 8), 7, None, 0, True, 7),
        (messages(5, 6, 7), None, 2, 2, False, 7),
        (messages(4, 5), None, None, 1, False, 6),
    ],
)
def test_what_is_taken(
    given: list[Message], limit: int | None, most: int | None, taken: int, ended: bool, seen: int
) -> None:
    state = partition(limit)
    assert state.add(given, 1.0, most) == taken
    assert (state.ended, state.buffer.seen, len(state.buffer)) == (ended, seen, taken)


def test_what_nobody_is_given_is_passed() -> None:
    """Transaction markers and aborted messages at the log's end: they are no lag."""
    state = partition()
    assert state.add(messages(end=9), 1.0, None) == 0
    state.pass_gap()
    assert (state.stored, state.idle()) == (9, True)
    state.committed = 9
    state.add(messages(9, 10, end=14), 1.0, None)
    state.pass_gap()
    assert state.stored == 9
    batch = state.take(10, 1000, intents=True)
    state.pass_gap()
    assert (batch.span.start, batch.span.end, state.stored) == (9, 11, 9)
    state.batch, state.stored = None, batch.span.end
    state.pass_gap()
    assert state.stored == 14
    state.add(messages(14), 1.0, None)
    batch = state.take(10, 1000, intents=True)
    assert (batch.span.start, batch.span.end) == (14, 15)


def test_what_was_left_out_is_not_passed() -> None:
    state = partition()
    assert state.add(messages(5, 6, 7, end=8), 1.0, 1) == 1
    state.take(10, 1000, intents=True)
    state.batch, state.stored = None, 6
    state.pass_gap()
    assert state.stored == 6
    state = partition(limit=9)
    assert state.add(messages(5, 10, end=11), 1.0, None) == 1
    state.take(10, 1000, intents=True)
    state.batch, state.stored = None, 6
    state.pass_gap()
    assert state.stored == 9


def test_a_pending_range_is_not_passed() -> None:
    encode = rows_encoder("t", 1, 0)
    buffer = PartitionBuffer(0, 5, "e", OffsetRange(5, 20))
    state = AssignedPartition(buffer, encode, 5, 5, Mode.RESUME, limit=None, ended=False)
    state.add(messages(end=9), 1.0, None)
    state.pass_gap()
    assert (state.stored, state.emptied()) == (5, True)
