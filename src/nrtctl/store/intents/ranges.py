"""Offset ranges, and the commit metadata that declares one. Pure.

Metadata: `nrtctl1:<table>:<end>:<epoch>`; the end is `-` where nothing is under way. `#<tag>`
follows where the topic has an id (`incarnation`). `~<name>` follows where the batch goes in one
insert with batches of other partitions: the name of their token. A `?` is last where the batch may
be there under other tokens. The epoch is new whenever a partition is begun at an offset that no
nrtctl committed (a new group, offsets that were moved, a topic that was made again), so that what
is read again never meets a token of the time before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from nrtctl.config.counted import from_to

VERSION = 1
NOTHING = "-"
FENCE = "swap"
"""The epoch that says: the group's table is being exchanged with the one that is named."""

_METADATA = re.compile(
    r"nrtctl(\d+):([A-Za-z_][A-Za-z0-9_]*):(\d+|-):([0-9a-z]+)"
    r"(?:#([0-9a-f]{8}))?(?:~([0-9a-z]+))?(\?)?"
)


class UnknownMetadataError(ValueError):
    """The commit metadata was written by something else, or by a newer nrtctl."""


class SwapUnderWayError(UnknownMetadataError):
    """`replay load --swap` is exchanging the group's table with `table`: nothing may be stored in
    either."""

    def __init__(self, table: str) -> None:
        super().__init__(f"the group's table is being exchanged with {table}")
        self.table = table


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Half-open: `start` is in, `end` is not. It need not be dense (compaction, markers)."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"no range: [{self.start}, {self.end})")

    def __str__(self) -> str:
        """As people read it: the first offset and the last."""
        return from_to(self.start, self.end)

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


@dataclass(frozen=True, slots=True)
class Intent:
    """What commit metadata says.

    Attributes:
        batch: the range under way; None: nothing is.
        look: it may be there already, under other tokens (`delivery.Mode.LOOK`).
        shared: the name of the token that it first goes under, together with batches of other
            partitions; empty: the token is its own.
        topic: the tag of the topic whose offsets these are (`Incarnation.tag`); empty: not said.
    """

    batch: OffsetRange | None
    epoch: str
    look: bool = False
    shared: str = ""
    topic: str = ""


def encode_metadata(table: str, intent: Intent) -> str:
    """The commit metadata that declares `intent`; it is committed at the batch's start, or at the
    offset below which everything is stored."""
    end = NOTHING if intent.batch is None else intent.batch.end
    topic = f"#{intent.topic}" if intent.topic else ""
    shared = f"~{intent.shared}" if intent.shared else ""
    look = "?" if intent.look else ""
    return f"nrtctl{VERSION}:{table}:{end}:{intent.epoch}{topic}{shared}{look}"


def topic_tag(metadata: str | None) -> str | None:
    """The tag of the topic that commit metadata names, whatever table it is about; empty: it names
    none. None: nrtctl did not write it."""
    match = _METADATA.fullmatch(metadata or "")
    return None if match is None else match[5] or ""


def table_of(metadata: str | None) -> str | None:
    """The table that commit metadata of nrtctl is about; None: nrtctl did not write it."""
    match = _METADATA.fullmatch(metadata or "")
    return None if match is None else match[2]


def names_table(metadata: str | None, table: str) -> bool:
    """Whether nrtctl wrote the commit metadata for this table."""
    match = _METADATA.fullmatch(metadata or "")
    return match is not None and match[2] == table


def is_fence(metadata: str | None, table: str | None = None) -> bool:
    """Whether it says that the group's table is being exchanged, with `table` or, None, any."""
    match = _METADATA.fullmatch(metadata or "")
    return match is not None and match[4] == FENCE and table in (None, match[2])


def decode_intent(table: str, committed: int, metadata: str | None) -> Intent | None:
    """What nrtctl committed; None: it was not nrtctl, or there is no metadata.

    Raises:
        SwapUnderWayError: the group's table is being exchanged, perhaps with this one.
        UnknownMetadataError: another program's, another table's or a newer version's metadata.
    """
    if not metadata:
        return None
    match = _METADATA.fullmatch(metadata)
    if match is None or int(match[1]) != VERSION:
        raise UnknownMetadataError(f"unknown commit metadata {metadata[:80]!r}")
    if match[4] == FENCE:
        raise SwapUnderWayError(match[2])
    if match[2] != table:
        raise UnknownMetadataError(f"the commit metadata is an intent for table {match[2]!r}")
    topic = match[5] or ""
    if match[3] == NOTHING:
        return Intent(None, match[4], topic=topic)
    end = int(match[3])
    if end <= committed:
        raise UnknownMetadataError(f"the intent ends at {end}, before its start {committed}")
    batch, look = OffsetRange(committed, end), match[7] is not None
    return Intent(batch, match[4], look, match[6] or "", topic)


def decode_metadata(table: str, committed: int, metadata: str | None) -> OffsetRange | None:
    """The batch that was under way; None if there was none. Raises as `decode_intent`."""
    intent = decode_intent(table, committed, metadata)
    return None if intent is None else intent.batch
