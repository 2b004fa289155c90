"""How much of the disk is free, and whether it may have been full since. Used by `keeper`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

MiB = 2**20
LEAST, MOST = 16 * MiB, 512 * MiB
FOR_DEFINITIONS = 4 * MiB
"""Bytes that must be free before a statement may change a definition."""
LONGEST_LOOK_AWAY = 0.1
"""Seconds in which nobody fills a disk and frees it again."""


def kept_free(total: int) -> int:
    """Bytes of a disk of `total` that inserts, merges and mutations leave free."""
    return min(MOST, max(LEAST, total // 64))


def _free(path: Path) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


class Space:
    """Looked at often; used by several threads.

    Args:
        free: the free bytes of the disk.
        clock: monotonic seconds.
    """

    def __init__(
        self, kept: int, free: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.kept = kept
        self._free = free
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = self._doubt = clock()

    @classmethod
    def of(cls, path: Path) -> Space:
        """Of the disk that holds `path`. Raises OSError."""
        found = os.statvfs(path)
        return cls(kept_free(found.f_blocks * found.f_frsize), lambda: _free(path))

    def look(self) -> int:
        """The free bytes."""
        with self._lock:
            now, free = self._clock(), self._free()
            if free < self.kept or now - self._looked > LONGEST_LOOK_AWAY:
                self._doubt = now
            self._looked = now
            return free

    def may_have_been_full(self, since: float) -> bool:
        """Whether a look since then (monotonic seconds) found little, or none was taken."""
        with self._lock:
            return self._doubt >= since or self._clock() - self._looked > LONGEST_LOOK_AWAY
