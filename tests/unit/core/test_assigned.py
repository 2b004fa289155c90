"""What one assigned partition takes of what was fetched."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nrtctl.consumer.assigned import AssignedPartition
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.envelope import rows_encoder
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
    encode = rows_encoder("t", 0)
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
    encode = rows_encoder("t", 0)
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
        (messages(7, 8), 7, None, 0, True, 5),
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
