"""A file of changes that are replayed at the next start: one checked line a change.

A line is a CRC-32 in hex, a blank and a JSON array. Replaying the lines in order gives the state;
a torn line (a crash in mid-write) is left out and told. The file is compacted when it is open and
whenever it has grown to several times its live content.
Used by `broker.groups.store`, `broker.transactions.store` and `registry.store`; raises OSError when
the disk is full, with the file as it was before.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from nrtctl.local.process import write_atomically

logger = logging.getLogger(__name__)

COMPACT_AT_BYTES: Final = 8 * 1024 * 1024
COMPACT_FACTOR: Final = 4

Entry = list[Any]


def _line(entry: Entry) -> bytes:
    body = json.dumps(entry, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


class Journal:
    def __init__(self, path: Path, *, always_sync: bool) -> None:
        self._path = path
        self._always_sync = always_sync
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        self._compacted_size = 0
        self.left_out: list[bytes] = []
        """Lines that were no good when they were replayed."""

    def replay(self) -> Iterator[Entry]:
        """Every good entry, oldest first."""
        self.left_out.clear()
        with self._path.open("rb") as file:
            for line in file:
                entry = _parse(line)
                if entry is None:
                    self.left_out.append(line)
                else:
                    yield entry
        if self.left_out:
            logger.warning("%s: %d torn lines left out", self._path, len(self.left_out))

    def append(self, entry: Entry) -> None:
        """Write one entry, all of it or nothing. Raises OSError."""
        data = memoryview(_line(entry))
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._fd, data[written:], self._size + written)
            if not os.fstat(self._fd).st_nlink:
                raise OSError(errno.ESTALE, "its file has been deleted")
            if self._always_sync:
                os.fdatasync(self._fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    @property
    def should_compact(self) -> bool:
        return self._size > max(COMPACT_AT_BYTES, COMPACT_FACTOR * self._compacted_size)

    def compact(self, entries: Iterable[Entry]) -> None:
        """Replace the file by `entries`, which must amount to the same state. Raises OSError."""
        data = b"".join(_line(entry) for entry in entries)
        write_atomically(self._path, data)
        if self._always_sync:
            _sync_directory(self._path.parent)
        fresh = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        os.close(self._fd)
        self._fd = fresh
        self._size = self._compacted_size = len(data)

    def duplicate(self) -> int:
        return os.dup(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _sync_directory(path: Path) -> None:
    """What is appended to the new file is worth nothing if a power cut brings the old one back."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:-1]):
            return None
        entry = json.loads(line[9:-1])
    except ValueError:
        return None
    return entry if isinstance(entry, list) else None
