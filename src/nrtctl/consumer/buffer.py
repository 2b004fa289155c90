"""What has been fetched of one partition and not yet been stored. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from nrtctl.store.batch import Batch
from nrtctl.store.envelope import Rows
from nrtctl.store.intents import OffsetRange


class PartitionBuffer:
    """Encoded rows of one partition, in offset order.

    Those that came together are held as one piece: an object for each would take half as much
    memory again, and leave it in fragments.

    Args:
        partition: its number.
        position: the offset that the next batch starts at.
        epoch: of its deduplication tokens.
        pending: a range that must be the first batch, exactly (an intent to resolve).
        shared: that batch's (`Batch.shared`).
    """

    def __init__(
        self,
        partition: int,
        position: int,
        epoch: str,
        pending: OffsetRange | None = None,
        shared: str = "",
    ) -> None:
        self.partition = partition
        self.epoch = epoch
        self.position = position
        self.pending = pending
        self._shared = shared
        self.bytes = 0
        self.seen = position
        self.oldest: float | None = None
        self._offsets = array("q")
        self._sizes = array("Q")
        self._pieces: deque[bytes] = deque()
        self._arrived: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._offsets)

    def first(self) -> bytes:
        """The row that waits longest; empty: there is none."""
        return self._pieces[0][: self._sizes[0]] if self._sizes else b""

    def extend(self, offsets: Sequence[int], rows: Rows, now: float) -> int:
        """Take messages but for those seen already; returns how many were taken.

        Args:
            offsets: ascending.
        """
        known = bisect_left(offsets, self.seen)
        if known:
            offsets, rows = offsets[known:], rows.behind(known)
        if not offsets:
            return 0
        if not self._arrived or self._arrived[-1][1] != now:
            self._arrived.append((offsets[0], now))
            if self.oldest is None:
                self.oldest = now
        self._offsets.extend(offsets)
        self._sizes.extend(rows.sizes)
        self._pieces.append(rows.piece)
        self.bytes += len(rows.piece)
        self.seen = offsets[-1] + 1
        return len(offsets)

    def reached(self, offset: int) -> None:
        """The log holds nothing between what was seen and `offset`."""
        self.seen = max(self.seen, offset)

    def pass_gap(self) -> int:
        """Where nothing is held, go on after what was seen of the log: transaction markers, aborted
        messages, what compaction took. The offset that the next batch starts at."""
        if self.pending is None and not self._offsets:
            self.position = max(self.position, self.seen)
        return self.position

    def pending_is_whole(self) -> bool:
        """Whether the pending range was fetched to its end."""
        return self.pending is not None and self.seen >= self.pending.end

    def take(self, *, max_rows: int, max_bytes: int) -> Batch:
        """Remove the next batch; the pending range first, whatever its size.

        Raises:
            LookupError: nothing is there to take.
        """
        if self.pending is not None:
            return self._take_pending(self.pending)
        if not self._offsets:
            raise LookupError("the buffer is empty")
        rows = min(max_rows, len(self._offsets))
        if self.bytes > max_bytes:
            ends = list(accumulate(self._sizes[:rows]))
            rows = max(1, bisect_right(ends, max_bytes))
        return self._cut(rows, self._offsets[rows - 1] + 1)

    def _take_pending(self, pending: OffsetRange) -> Batch:
        self.pending = None
        batch = self._cut(bisect_left(self._offsets, pending.end), pending.end)
        batch.shared = self._shared
        return batch

    def _cut(self, count: int, end: int) -> Batch:
        offsets, sizes = list(self._offsets[:count]), self._sizes[:count]
        del self._offsets[:count]
        del self._sizes[:count]
        span = OffsetRange(self.position, end)
        batch = Batch(self.partition, self.epoch, span, offsets, self._first(sum(sizes)), sizes)
        self.position = end
        self.bytes -= batch.size
        while self._arrived and self._arrived[0][0] < end:
            last = self._arrived.popleft()
            if self._offsets and (not self._arrived or self._arrived[0][0] > self._offsets[0]):
                self._arrived.appendleft((self._offsets[0], last[1]))
                break
        self.oldest = self._arrived[0][1] if self._arrived else None
        return batch

    def _first(self, size: int) -> list[bytes]:
        """Remove that many bytes of the pieces."""
        found = []
        while size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            found.append(piece)
            size -= len(piece)
        return found
