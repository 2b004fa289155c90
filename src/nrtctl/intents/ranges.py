"""Offset ranges, the commit metadata that declares one, and deduplication tokens. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

VERSION = 1
LOOK = "?"
"""Ends the metadata of a batch that may be there already under other tokens."""

_METADATA = re.compile(r"nrtctl(\d+):([A-Za-z_][A-Za-z0-9_]*):(\d+)(\?)?")


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

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset < self.end

    def halves(self) -> tuple[OffsetRange, OffsetRange]:
        """Raises ValueError: it is one offset wide."""
        middle = (self.start + self.end) // 2
        return OffsetRange(self.start, middle), OffsetRange(middle, self.end)


def ranges_of(offsets: Iterable[int]) -> tuple[OffsetRange, ...]:
    """The ascending `offsets` as the fewest ranges."""
    found: list[OffsetRange] = []
    start = end = -1
    for offset in offsets:
        if offset != end:
            if end > start:
                found.append(OffsetRange(start, end))
            start = offset
        end = offset + 1
    if end > start:
        found.append(OffsetRange(start, end))
    return tuple(found)


def encode_metadata(table: str, batch: OffsetRange, *, look: bool = False) -> str:
    """The commit metadata that declares `batch`; it is committed at offset `batch.start`.

    Args:
        look: the batch may be there already, under other tokens (see `delivery.Mode.LOOK`).
    """
    return f"nrtctl{VERSION}:{table}:{batch.end}{LOOK if look else ''}"


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


def token(topic: str, partition: int, batch: OffsetRange, more: str = "") -> str:
    """The deduplication token: the same batch has the same token, whoever sends it."""
    return f"{topic}/{partition}/{batch.start}-{batch.end}{more}"
