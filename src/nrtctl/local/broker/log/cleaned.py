"""How far the log of one partition has been compacted, and what a pass is told and tells.

Used by `log.partition`, `log.compaction`. Kept in `cleaned.json` beside the log; without it a pass
begins at the log start, which changes nothing that is read.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from nrtctl.local.process import write_atomically

CLEANED: Final = "cleaned.json"
_MOST_PASSES: Final = 100


class Compaction(NamedTuple):
    """What a topic says of it; times in ms.

    Attributes:
        min_dirty_ratio: bytes never compacted, of all bytes, from which on a log is compacted.
        min_lag_ms: how old a record is at least before it may go.
        max_lag_ms: how old one becomes at most before a pass.
        keep_tombstones_ms: how long a null stays after the pass that found it.
    """

    min_dirty_ratio: float
    min_lag_ms: int
    max_lag_ms: int
    keep_tombstones_ms: int


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be compacted of one partition.

    Attributes:
        directory: of the partition.
        name: of the pass; it is in the names of the files that it makes, and in no others.
        segments: (base offset, bytes that count) of the sealed ones, ascending.
        dirty_from: offsets below have been compacted before.
        drop_tombstones_before: those below this offset have been there long enough; so have the
            markers of transactions.
        aborted: (producer id, first offset, the marker's) of transactions whose messages are void.
    """

    directory: str
    name: str
    segments: list[tuple[int, int]]
    dirty_from: int
    drop_tombstones_before: int
    aborted: Sequence[tuple[int, int, int]] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made of it.

    Attributes:
        cleaned_to: each key has one record at most below this offset, tombstones included.
        changed: base offsets of the segments that a new file was made for.
    """

    cleaned_to: int
    changed: list[int]


@dataclass(slots=True)
class Cleaned:
    """`passes` are (compacted below this offset, when it was), ascending."""

    passes: list[tuple[int, int]]

    @classmethod
    def read(cls, directory: Path) -> Cleaned:
        try:
            found = json.loads((directory / CLEANED).read_bytes())
            return cls([(int(to), int(at)) for to, at in found])
        except (OSError, ValueError, TypeError):
            return cls([])

    @property
    def to(self) -> int:
        return self.passes[-1][0] if self.passes else 0

    def tombstones_before(self, now_ms: int, keep_ms: int) -> int:
        """Below which offset they have been there long enough."""
        return max((to for to, at in self.passes if now_ms - at >= keep_ms), default=0)

    def add(self, to: int, now_ms: int, keep_ms: int, directory: Path) -> None:
        """Note a pass. Raises OSError."""
        over = self.tombstones_before(now_ms, keep_ms)
        recent = [each for each in self.passes if each[0] >= over]
        self.passes = [*recent[-_MOST_PASSES:], (to, now_ms)]
        write_atomically(directory / CLEANED, json.dumps(self.passes).encode())


def forget_unfinished(directory: Path, name: str = "*") -> None:
    """Delete what a pass has made and not put in place."""
    for pattern in (f"*-{name}.cleaned", f"*-{name}.index", f"*-{name}.index.tmp"):
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()
