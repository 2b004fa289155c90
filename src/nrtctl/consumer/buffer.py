"""What has been fetched and not yet been stored, by partition. Pure: used by `consumer.loop`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nrtctl.intents import OffsetRange


@dataclass(frozen=True, slots=True)
class Batch:
    """What one insert carries: the messages of one offset range of one partition.

    `epoch` is the partition's (`intents.Position`).
    """

    partition: int
    epoch: str
    span: OffsetRange
    offsets: Sequence[int]
    rows: Sequence[bytes]


class PartitionBuffer:
    """Encoded rows of one partition, in offset order.

    Args:
        partition: its number.
        position: the offset that the next batch starts at.
        epoch: of its deduplication tokens.
        pending: a range that must be the first batch, exactly (an intent to resolve).
    """

    def __init__(
        self, partition: int, position: int, epoch: str, pending: OffsetRange | None = None
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.position = position
        self.pending = pending
        self.bytes = 0
        self.seen = position
        self.oldest: float | None = None
        self._offsets: deque[int] = deque()
        self._rows: deque[bytes] = deque()
        self._arrived: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._offsets)

    def first(self) -> list[bytes]:
        """The row that waits longest, if there is one."""
        return [self._rows[0]] if self._rows else []

    def add(self, offset: int, row: bytes, now: float) -> None:
        """Take one message. An offset that was seen already is ignored."""
        if offset < self.seen:
            return
        if not self._arrived or self._arrived[-1][1] != now:
            self._arrived.append((offset, now))
            if self.oldest is None:
                self.oldest = now
        self._offsets.append(offset)
        self._rows.append(row)
        self.bytes += len(row)
        self.seen = offset + 1

    def reached(self, offset: int) -> None:
        """The log holds nothing between what was seen and `offset`."""
        self.seen = max(self.seen, offset)

    def ready(self, now: float, *, max_rows: int, max_bytes: int, max_wait: float) -> bool:
        """Whether a batch should be taken now."""
        if self.pending is not None:
            return self.seen >= self.pending.end
        if not self._offsets:
            return False
        return (
            len(self._offsets) >= max_rows
            or self.bytes >= max_bytes
            or (self.oldest is not None and now - self.oldest >= max_wait)
        )

    def take(self, *, max_rows: int, max_bytes: int) -> Batch:
        """Remove the next batch; the pending range first, whatever its size.

        Raises:
            LookupError: nothing is there to take.
        """
        if self.pending is not None:
            return self._take_pending(self.pending)
        if not self._offsets:
            raise LookupError("the buffer is empty")
        offsets: list[int] = []
        rows: list[bytes] = []
        size = 0
        while self._offsets and len(rows) < max_rows:
            row = self._rows[0]
            if rows and size + len(row) > max_bytes:
                break
            size += len(row)
            rows.append(self._rows.popleft())
            offsets.append(self._offsets.popleft())
        return self._finish(offsets, rows, size, offsets[-1] + 1)

    def _take_pending(self, pending: OffsetRange) -> Batch:
        offsets: list[int] = []
        rows: list[bytes] = []
        size = 0
        while self._offsets and self._offsets[0] < pending.end:
            row = self._rows.popleft()
            size += len(row)
            rows.append(row)
            offsets.append(self._offsets.popleft())
        self.pending = None
        return self._finish(offsets, rows, size, pending.end)

    def _finish(self, offsets: list[int], rows: list[bytes], size: int, end: int) -> Batch:
        span = OffsetRange(self.position, end)
        batch = Batch(self.partition, self.epoch, span, offsets, rows)
        self.position = end
        self.bytes -= size
        while self._arrived and self._arrived[0][0] < end:
            last = self._arrived.popleft()
            if self._offsets and (not self._arrived or self._arrived[0][0] > self._offsets[0]):
                self._arrived.appendleft((self._offsets[0], last[1]))
                break
        self.oldest = self._arrived[0][1] if self._arrived else None
        return batch
