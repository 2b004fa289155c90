"""One file of a partition's log, with its sparse index. Called by `log.partition`, `log.recovery`.

`<base offset>.log` holds record batches end to end. `<base offset>.index` is a snapshot of the
index, written when the segment is sealed and at checkpoints; without it the file is scanned.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import time
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nrtctl.local.broker.log.holes import Hole, is_framed, next_good
from nrtctl.local.broker.wire.batches import HEADER_SIZE, BatchHeader, has_good_crc, read_header

INDEX_INTERVAL: Final = 32 * 1024
NAME_LOOKED_AT_EVERY: Final = 0.01
"""Seconds."""
_INDEX_HEAD: Final = struct.Struct("=8sqqqqq")
_INDEX_MAGIC: Final = b"nrtidx01"


class Segment:
    """`size` and `next_offset` say how much of the file counts; what lies behind is torn. `holes`,
    ascending, are damage within it."""

    def __init__(self, directory: Path, base_offset: int, *, made_by: str = "") -> None:
        """Args: made_by: the pass of compaction that makes it; it is not yet in place."""
        self.base_offset = base_offset
        name = f"{base_offset:020}-{made_by}.cleaned" if made_by else f"{base_offset:020}.log"
        self.path = directory / name
        self.index_path = self.path.with_suffix(".index")
        self._fd = -1
        self._named = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget everything: the segment is empty."""
        self.holes: list[Hole] = []
        self.size = 0
        self.next_offset = self.base_offset
        self.max_timestamp = -1
        self.max_timestamp_at = 0
        self._first_timestamp: int | None = None
        self._offsets = array("q")
        self._positions = array("q")
        # The largest timestamp of all batches before the entry: ascending, whatever the records'.
        self._max_before = array("q")

    def first_timestamp(self) -> int:
        """The newest time of the first batch, in ms; the segment has one. Raises OSError."""
        if self._first_timestamp is None:
            header = os.pread(self.fd, HEADER_SIZE, 0)
            self._first_timestamp = read_header(memoryview(header)).max_timestamp
        return self._first_timestamp

    @property
    def fd(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def delete(self) -> None:
        self.close()
        for path in (self.path, self.index_path):
            path.unlink(missing_ok=True)

    def put_in_place_of(self, old: Segment) -> None:
        """Take the file names of `old`, whose content is gone then. A crash in between leaves the
        one or the other. Raises OSError: `old` is there as before."""
        self.close()
        old.index_path.unlink(missing_ok=True)
        self.path.replace(old.path)
        old.close()
        index, self.path, self.index_path = self.index_path, old.path, old.index_path
        with contextlib.suppress(OSError):  # without an index the file is scanned
            index.replace(self.index_path)

    def file_size(self) -> int:
        return os.fstat(self.fd).st_size

    def append(self, batch: BatchHeader, data: memoryview, base_offset: int) -> None:
        """Write one batch at the end, all of it or (as far as readers can tell) nothing.

        Raises:
            OSError: the disk is full or broken, or somebody has deleted the file; what was written
                has been cut away.
        """
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self.fd, data[written:], self.size + written)
            self._check_name()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, self.size)
            raise
        self.note(batch, base_offset, self.size)

    def _check_name(self) -> None:
        """Raises OSError: somebody has deleted the file. Looks once in 10 ms."""
        now = time.monotonic()
        if now - self._named >= NAME_LOOKED_AT_EVERY:
            if not os.fstat(self.fd).st_nlink:
                raise OSError(errno.ESTALE, "its file has been deleted")
            self._named = now

    def note(self, batch: BatchHeader, base_offset: int, position: int) -> None:
        """Take a batch that is in the file at `position` into account."""
        if not self._positions or position - self._positions[-1] >= INDEX_INTERVAL:
            self._offsets.append(base_offset)
            self._positions.append(position)
            self._max_before.append(self.max_timestamp)
        if batch.max_timestamp > self.max_timestamp:
            self.max_timestamp = batch.max_timestamp
            self.max_timestamp_at = position
        self.size = position + batch.size
        self.next_offset = base_offset + batch.last_offset_delta + 1

    def truncate(self) -> None:
        """Cut the file to what counts."""
        os.ftruncate(self.fd, self.size)

    def add_hole(self, hole: Hole) -> None:
        """Take damage into account; what begins or ends within other damage is one with it."""
        apart = []
        for each in self.holes:
            if each.first < hole.next_offset and hole.first < each.next_offset:
                hole = Hole(
                    min(each.position, hole.position),
                    max(each.end, hole.end),
                    min(each.first, hole.first),
                    max(each.next_offset, hole.next_offset),
                )
            else:
                apart.append(each)
        self.holes = sorted([*apart, hole])

    def pass_hole(self, hole: Hole) -> None:
        """Take damage that follows what counts into account; the log goes on behind it."""
        self.holes.append(hole)
        self.size = max(self.size, hole.end)
        self.next_offset = hole.next_offset

    def hole_at(self, offset: int) -> Hole | None:
        for hole in self.holes:
            if hole.first <= offset < hole.next_offset:
                return hole
        return None

    def headers(
        self, position: int, expected: int | None = None
    ) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of every good batch from the batch boundary `position` on.

        A header that is none is damage, and noted.

        Args:
            expected: the base offset of the batch there; None: not known.
        """
        before: tuple[int, int] | None = None
        while position < self.size:
            inside = next((h for h in self.holes if h.position <= position < h.end), None)
            if inside is not None:
                position, expected = inside.end, inside.next_offset
                continue
            data = os.pread(self.fd, HEADER_SIZE, position)
            header = read_header(data) if len(data) == HEADER_SIZE else None
            if (
                header is None
                or not is_framed(header, position, self.size)
                or (expected is not None and not self._continues(expected, header, position))
            ):
                if expected is None:
                    return
                if before is not None and not self._is_good(before[0]):
                    position, expected = before
                self.find_hole(position, expected)
                before = None
                continue
            yield position, header
            before = position, header.base_offset
            position += header.size
            expected = header.next_offset

    def _is_good(self, position: int) -> bool:
        header = read_header(os.pread(self.fd, HEADER_SIZE, position))
        return has_good_crc(memoryview(os.pread(self.fd, header.size, position)), 0, header)

    def _continues(self, expected: int, header: BatchHeader, position: int) -> bool:
        return header.base_offset == expected or any(
            hole.position == hole.end == position and hole.next_offset == header.base_offset
            for hole in self.holes
        )

    def find_hole(self, position: int, expected: int) -> None:
        """Note the damage at `position`, where the batch of the offset `expected` should be."""
        found = None
        if position + HEADER_SIZE <= self.file_size():
            with (
                mmap.mmap(self.fd, self.file_size(), access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as data,
            ):
                found = next_good(data[: self.size], mapped, position, expected)
        if found is None:
            self.add_hole(Hole(position, self.size, expected, self.next_offset))
        else:
            self.add_hole(Hole(position, found[0], expected, found[1].base_offset))

    def position_of(self, offset: int) -> int | None:
        """Where the batch that holds `offset` begins; None: it is damaged.

        `base_offset <= offset < next_offset`.
        """
        if self.hole_at(offset) is not None or not self._positions:
            return None
        entry = max(bisect_right(self._offsets, offset) - 1, 0)
        for position, header in self.headers(self._positions[entry], self._offsets[entry]):
            if header.next_offset > offset:
                return position if header.base_offset <= offset else None
        return None

    def cut_after(self, position: int, max_bytes: int) -> tuple[int, int]:
        """(end position, next offset) of the most whole batches from `position` in `max_bytes`.

        The end may fall short of the last batch that fits by one index interval; it is `position`
        itself only if the first batch alone is larger.
        """
        limit = position + max_bytes
        hole = next((hole for hole in self.holes if hole.position >= position), None)
        if hole is not None and limit >= hole.position:
            return hole.position, hole.first
        if limit >= self.size:
            return self.size, self.next_offset
        entry = bisect_right(self._positions, limit) - 1
        if self._positions[entry] > position:
            return self._positions[entry], self._offsets[entry]
        end, next_offset = position, -1
        for at, header in self.headers(position):
            if at + header.size > limit:
                break
            end, next_offset = at + header.size, header.next_offset
        return end, next_offset

    def cut_before(self, position: int, offset: int) -> int:
        """Where the batch that begins at `offset` lies, behind the one at `position`."""
        found = self.position_of(offset)
        if found is not None:
            return found
        hole = self.hole_at(offset)
        return position if hole is None else max(position, hole.position)

    def from_timestamp(self, timestamp: int) -> Iterator[tuple[int, BatchHeader]]:
        """`headers` from where on a timestamp may be `timestamp` or above."""
        if not self._positions:
            return iter(())
        entry = max(bisect_left(self._max_before, timestamp) - 1, 0)
        return self.headers(self._positions[entry], self._offsets[entry])

    def save_index(self) -> None:
        """Write the index beside the segment. Raises OSError."""
        head = _INDEX_HEAD.pack(
            _INDEX_MAGIC,
            self.size,
            self.next_offset,
            self.max_timestamp,
            self.max_timestamp_at,
            len(self._offsets),
        )
        arrays = (self._offsets, self._positions, self._max_before)
        data = head + b"".join(entries.tobytes() for entries in arrays)
        temporary = self.index_path.with_suffix(".index.tmp")
        temporary.write_bytes(data + struct.pack("=I", zlib.crc32(data)))
        temporary.replace(self.index_path)

    def load_index(self) -> bool:
        """Take size, offsets and index from the snapshot; False, and empty, if it is not good."""
        try:
            data = self.index_path.read_bytes()
            if struct.unpack("=I", data[-4:])[0] != zlib.crc32(data[:-4]):
                return False
            magic, size, next_offset, max_timestamp, max_at, count = _INDEX_HEAD.unpack_from(data)
        except (OSError, struct.error):
            return False
        if magic != _INDEX_MAGIC or self.file_size() < size:
            return False
        at = _INDEX_HEAD.size
        for entries in (self._offsets, self._positions, self._max_before):
            del entries[:]
            entries.frombytes(data[at : at + 8 * count])
            at += 8 * count
        self.size, self.next_offset = size, next_offset
        self.max_timestamp, self.max_timestamp_at = max_timestamp, max_at
        return True
