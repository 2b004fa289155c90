"""Exactly once, as a value: what a partition's committed offset and metadata say, and what to do.

Pure: no client, no clock, no thread. `consume.transaction` carries the decisions out.

The committed offset is `start` of the batch under way and its commit metadata is the intent,
`nrtctl1:<table>:<end>`: "[start, end) may be in the table, wholly, partly, or not at all".
No metadata: everything below the committed offset is stored and nothing is under way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_METADATA = re.compile(r"nrtctl(\d+):([A-Za-z_][A-Za-z0-9_]*):(\d+)")
VERSION = 1


class UnknownMetadataError(ValueError):
    """The commit metadata was written by something else, or by a newer nrtctl."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Half-open: `start` is in, `end` is not. It need not be dense (compaction, markers)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"no range: [{self.start}, {self.end})")

    def __str__(self) -> str:
        return f"[{self.start}, {self.end})"


def encode_metadata(table: str, batch: OffsetRange) -> str:
    """The commit metadata that declares `batch`; it is committed at offset `batch.start`."""
    return f"nrtctl{VERSION}:{table}:{batch.end}"


def decode_metadata(table: str, committed: int, metadata: str | None) -> OffsetRange | None:
    """The batch that was under way; None if there was none.

    Raises:
        UnknownMetadataError: another program's, another table's or a newer version's intent.
    """
    if not metadata:
        return None
    match = _METADATA.fullmatch(metadata)
    if match is None or int(match[1]) != VERSION:
        raise UnknownMetadataError(f"unknown commit metadata {metadata[:80]!r}")
    if match[2] != table:
        raise UnknownMetadataError(f"the commit metadata is an intent for table {match[2]!r}")
    end = int(match[3])
    if end <= committed:
        raise UnknownMetadataError(f"the intent ends at {end}, before its start {committed}")
    return OffsetRange(committed, end)


def token(topic: str, partition: int, batch: OffsetRange, attempt: str = "") -> str:
    """The deduplication token: the same batch has the same token, whoever sends it."""
    return f"{topic}/{partition}/{batch.start}-{batch.end}{attempt}"


class Remedy(Enum):
    """What a probe says must be done about a batch."""

    DONE = "every offset is stored once"
    INSERT_MISSING = "insert the offsets that are not there, under a new token"
    REPLACE = "some offset is stored twice: delete the range, insert it once"


@dataclass(frozen=True, slots=True)
class Verdict:
    remedy: Remedy
    missing: tuple[int, ...] = ()


def judge(offsets: Sequence[int], stored: Sequence[int]) -> Verdict:
    """Compare the messages of a batch with the offsets found in the tables.

    Args:
        offsets: the offsets of the batch's messages, ascending.
        stored: the `_offset` of every row of that range, in any order, repeated where doubled.
    """
    counts = Counter(stored)
    if any(count > 1 for count in counts.values()):
        return Verdict(Remedy.REPLACE)
    missing = tuple(offset for offset in offsets if offset not in counts)
    return Verdict(Remedy.INSERT_MISSING, missing) if missing else Verdict(Remedy.DONE)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a newly assigned partition starts."""

    offset: int
    pending: OffsetRange | None
    lost: OffsetRange | None = None


def resume(
    table: str, *, committed: int | None, metadata: str | None, log_start: int, log_end: int
) -> Position:
    """What to do with a partition on assignment.

    Args:
        committed: the group's committed offset, None if there is none.
        log_start, log_end: the log's first offset, and the one after its last.

    Returns:
        The offset to fetch from, the batch to resolve first, and the range that retention took
        before it was stored (None: nothing).

    Raises:
        UnknownMetadataError: see `decode_metadata`.
        ValueError: the committed offset lies beyond the log's end.
    """
    if committed is None:
        return Position(log_start, None)
    pending = decode_metadata(table, committed, metadata)
    needed = pending.end if pending else committed
    if needed > log_end:
        raise ValueError(
            f"the group stands at {needed}, but the log ends at {log_end}: "
            "the topic was made anew, or lost data"
        )
    if log_start > committed:
        return Position(log_start, None, OffsetRange(committed, log_start))
    return Position(committed, pending)
