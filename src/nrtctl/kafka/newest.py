"""The newest messages of a topic: from the log ends backwards, no more than it takes. Called by
`peek`.

Each round reads a window of some partitions, the one before the last, and doubles it. A partition
is done with once its oldest message that was read is older than the oldest that is kept.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_BYTES = 256 * 2**20
"""What is kept in memory."""

Read = Callable[[Mapping[int, int], Mapping[int, int]], Iterator[list[Any]]]
"""Given starts and ends by partition: the messages between, whichever the order of partitions."""


@dataclass(slots=True)
class Found:
    """Attributes:
    messages: oldest first.
    looked: how many messages were read.
    dropped: whether some were left out, as they take too much memory together.
    """

    messages: list[Any] = field(default_factory=list)
    looked: int = 0
    dropped: bool = False


class _Kept:
    """The newest `most` messages, by time, partition and offset."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[tuple[int, int, int], int, Any]] = []
        self._bytes = 0
        self.dropped = False

    @property
    def oldest(self) -> int | None:
        """Milliseconds; None: older ones are welcome."""
        full = len(self._heap) >= self._most or self.dropped
        return self._heap[0][0][0] if full and self._heap else None

    def add(self, message: Any) -> None:
        size = len(message.value() or b"") + len(message.key() or b"")
        order = (message.timestamp()[1], message.partition(), message.offset())
        heapq.heappush(self._heap, (order, size, message))
        self._bytes += size
        while len(self._heap) > self._most:
            self._drop()
        while self._bytes > MOST_BYTES and len(self._heap) > 1:
            self._drop()
            self.dropped = True

    def _drop(self) -> None:
        self._bytes -= heapq.heappop(self._heap)[1]

    def in_order(self) -> list[Any]:
        return [message for _, _, message in sorted(self._heap, key=lambda each: each[0])]


def newest(
    marks: Mapping[int, tuple[int, int]],
    most: int,
    read: Read,
    having: Callable[[list[Any]], list[Any]],
    *,
    stopped: Callable[[], bool],
) -> Found:
    """The newest `most` messages of those that `having` keeps.

    Args:
        marks: log start and the end of what can be read, by partition.
        stopped: asked between rounds; True: what there is, is enough.
    """
    kept, found = _Kept(most), Found()
    window = max(1, -(-most // max(1, len(marks))))
    below = {number: end for number, (_, end) in marks.items()}
    seen: dict[int, int] = {}
    while not stopped():
        ends = {
            number: end
            for number, end in below.items()
            if end > marks[number][0]
            and (kept.oldest is None or seen.get(number, kept.oldest) >= kept.oldest)
        }
        if not ends:
            break
        starts = {number: max(marks[number][0], end - window) for number, end in ends.items()}
        for messages in read(starts, ends):
            for message in messages:
                found.looked += 1
                number, time = message.partition(), message.timestamp()[1]
                seen[number] = min(seen.get(number, time), time)
            for message in having(messages):
                kept.add(message)
        below |= starts
        window *= 2
    found.messages, found.dropped = kept.in_order(), kept.dropped
    return found
