"""Which dead letters are meant, as SQL conditions. Pure: used by everything in this package."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.store.target import inserted_until, letters_of

_OFFSETS = re.compile(r"(\d+)|(\d*)-(\d*)")
_LETTER = re.compile(r"(?:(\d+)[/:])?(\d+)[/:](\d+)")
MAX_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Letter:
    """Where a dead letter came from, why it is one, how large it is, when it was stored (ms)."""

    partition: int
    offset: int
    reason: str
    size: int
    inserted: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for; everything by default.

    Attributes:
        reasons: any of these.
        since, until: of the message's Kafka timestamp, ms since the epoch; `until` is excluded.
        partitions: any of these.
        offsets: [start, end).
        text: occurs in key or value.
        purged: purged letters as well.
        stored_until: only those that were stored no later, ms since the epoch.
        incarnation: of this topic of the name; None: of any.
    """

    reasons: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    partitions: tuple[int, ...] = ()
    offsets: tuple[int, int] | None = None
    text: str | None = None
    purged: bool = False
    incarnation: int | None = None
    stored_until: int | None = None

    def where(self, pipeline: Pipeline) -> str:
        """SQL over the dead letters' table."""
        found = [letters_of(pipeline, self.incarnation)]
        if self.reasons:
            found.append(f"reason IN ({', '.join(literal(each) for each in self.reasons)})")
        for moment, sign in ((self.since, ">="), (self.until, "<")):
            if moment is not None:
                found.append(f"toUnixTimestamp64Milli(_timestamp) {sign} {moment}")
        if self.partitions:
            found.append(f"_partition IN ({', '.join(map(str, self.partitions))})")
        if self.offsets is not None:
            start, end = self.offsets
            found.append(f"_offset >= {start} AND _offset < {end}")
        if self.text is not None:
            text = literal(self.text)
            places = (f"position(ifNull({name}, ''), {text}) > 0" for name in ("value", "key"))
            found.append(f"({' OR '.join(places)})")
        if not self.purged:
            found.append("purged_at IS NULL")
        if self.stored_until is not None:
            found.append(inserted_until(self.stored_until))
        return " AND ".join(found)


def one_letter(incarnation: int | None, partition: int, offset: int, *, purged: bool) -> Selection:
    """The dead letter of one place. Args: purged: also where it was purged."""
    return Selection(
        partitions=(partition,),
        offsets=(offset, offset + 1),
        purged=purged,
        incarnation=incarnation,
    )


def as_fix(value: bytes) -> str:
    """SQL: this value, whatever bytes it has."""
    return f"base64Decode('{b64encode(value).decode()}')"


def parse_offsets(text: str) -> tuple[int, int]:
    """`17`, `10-20` (20 is not in it), `10-` or `-20` as [start, end).

    Raises:
        ValueError: it is none of these, or empty.
    """
    match = _OFFSETS.fullmatch(text.strip())
    if match is None or text.strip() == "-":
        raise ValueError(f"{text!r} is not an offset or a range: write 17, 10-20, 10- or -20")
    if match[1]:
        return int(match[1]), int(match[1]) + 1
    start, end = int(match[2] or 0), int(match[3] or MAX_OFFSET)
    if start >= end:
        raise ValueError(f"{text!r} is an empty range: a range does not include its end")
    return start, end


def parse_letter(text: str) -> tuple[int | None, int, int]:
    """`PARTITION/OFFSET` or `INCARNATION/PARTITION/OFFSET` as (incarnation, partition, offset).

    Raises:
        ValueError: it is neither.
    """
    match = _LETTER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} does not name a message: write PARTITION/OFFSET, as in 0/1234")
    return None if match[1] is None else int(match[1]), int(match[2]), int(match[3])
