"""Transactions in one partition: which are open, and which have been aborted.

Held by `log.producers`, which is told of every batch. What is open decides how far a reader of
committed messages may come. What was aborted is kept in `aborted.index` beside the log, an entry of
36 bytes each, and written before each checkpoint: what came after it is found by scanning.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from bisect import bisect_left
from pathlib import Path
from typing import Final, NamedTuple

from nrtctl.local.process import write_atomically

ABORTED: Final = "aborted.index"
_ENTRY: Final = struct.Struct(">qqqq")
_CHECKED: Final = struct.Struct(">qqqqI")


class Aborted(NamedTuple):
    """The producer's batches from `first` to its marker at `last` are void.

    `stable`: the last stable offset once it had ended; later entries begin there or behind.
    """

    producer_id: int
    first: int
    last: int
    stable: int


class Transactions:
    """`open`: the first offset of each producer's open transaction, by its id."""

    def __init__(self) -> None:
        self.open: dict[int, int] = {}
        self._columns = tuple(array("q") for _ in Aborted._fields)
        self._saved = 0
        """Entries from the first on that the file has; -1: it is to be written anew."""

    # ------------------------------------------------------------------ what happens

    def stable(self, log_end: int) -> int:
        """The first offset of an open transaction, or the log end."""
        return min(self.open.values()) if self.open else log_end

    def began(self, producer_id: int, offset: int) -> None:
        self.open.setdefault(producer_id, offset)

    def ended(self, producer_id: int, offset: int, *, commits: bool) -> None:
        """Its marker is at `offset`."""
        first = self.open.pop(producer_id, None)
        if first is None or commits:
            return
        entry = Aborted(producer_id, first, offset, self.stable(offset + 1))
        for column, value in zip(self._columns, entry, strict=True):
            column.append(value)

    def forget_below(self, offset: int) -> None:
        """No reader asks any more for what ended before `offset`."""
        gone = bisect_left(self._columns[2], offset)
        if gone:
            for column in self._columns:
                del column[:gone]
            self._saved = -1

    # ------------------------------------------------------------------ asked

    def __len__(self) -> int:
        return len(self._columns[0])

    def _entry(self, at: int) -> Aborted:
        return Aborted(*(column[at] for column in self._columns))

    def aborted(self, start: int, end: int) -> list[Aborted]:
        """Those with batches in the offsets [start, end), by their last offset."""
        found = []
        for at in range(bisect_left(self._columns[2], start), len(self)):
            entry = self._entry(at)
            if entry.first < end:
                found.append(entry)
            if entry.stable >= end:
                break
        return found

    # ------------------------------------------------------------------ kept

    def save(self, directory: Path, *, durable: bool) -> None:
        """Bring the file up to date. Raises OSError."""
        path = directory / ABORTED
        if self._saved < 0:
            if len(self) or path.exists():
                write_atomically(path, self._bytes(0))
        elif self._saved < len(self):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                data = self._bytes(self._saved)
                if os.pwrite(descriptor, data, self._saved * _CHECKED.size) != len(data):
                    raise OSError(f"{path} cannot be written whole")
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self._saved = len(self)

    def _bytes(self, begin: int) -> bytes:
        entries = (_ENTRY.pack(*self._entry(at)) for at in range(begin, len(self)))
        return b"".join(entry + struct.pack(">I", zlib.crc32(entry)) for entry in entries)

    @classmethod
    def restore(
        cls, directory: Path, opened: list[tuple[int, int]], count: int, end: int
    ) -> Transactions | None:
        """As they were when the log ended at `end`; None: the file does not have all of them.

        Args:
            opened: (producer id, first offset) of each that was open.
            count: of the aborted ones.
        """
        found = cls()
        found.open = dict(opened)
        for entry in _read(directory / ABORTED):
            if entry.last >= end:
                break
            for column, value in zip(found._columns, entry, strict=True):
                column.append(value)
        found._saved = len(found)
        return found if len(found) == count else None

    @classmethod
    def anew(cls) -> Transactions:
        """None are known: the log is going to be read from its start."""
        found = cls()
        found._saved = -1
        return found


def _read(path: Path) -> list[Aborted]:
    try:
        data = path.read_bytes()
    except OSError:
        return []
    found = []
    for at in range(0, len(data) - _CHECKED.size + 1, _CHECKED.size):
        *entry, crc = _CHECKED.unpack_from(data, at)
        if zlib.crc32(data[at : at + _ENTRY.size]) != crc:
            break
        found.append(Aborted(*entry))
    return found
