"""Where the group's offsets go. Pure; called by `nrtctl replay offsets` and `replay undo`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nrtctl.config.counted import counted
from nrtctl.kafka.offsets import Place, Point
from nrtctl.kafka.partitions import LogPartition


@dataclass(frozen=True, slots=True)
class Shift:
    """`by` records on from where the group stands, or back."""

    by: int


@dataclass(frozen=True, slots=True)
class Current:
    """Where the group stands."""


Wish = Point | Shift | Current


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of one partition.

    Attributes:
        before: the committed offset; None: there is none.
        after: the one to commit; None: it is left as it is.
        read_again, skipped: offsets of the log between the two; where the log has gaps
            (compaction, transactions), there are fewer records.
    """

    partition: int
    before: int | None
    after: int | None
    read_again: int
    skipped: int
    note: str

    @property
    def moves(self) -> bool:
        return self.after is not None and self.after != self.before

    def noted(self, more: str) -> Move:
        """With one more note, unless that is empty."""
        return replace(self, note="; ".join(filter(None, (self.note, more))))


def move(
    entry: LogPartition,
    wish: Wish,
    *,
    at_time: int | None = None,
    start: Literal["earliest", "latest"],
) -> Move:
    """The move of one partition.

    Args:
        at_time: the first offset at or after the wish's time; None: no record is that new.
        start: where a group without an offset begins.
    """
    after, note = _target(entry, wish, at_time)
    if after is not None:
        after, note = _inside(entry, after, note)
    committed = entry.committed
    if committed is None:
        note = "; ".join(filter(None, (note, "no committed offset before")))
    stands = (
        (entry.log_start if start == "earliest" else entry.log_end)
        if committed is None
        else min(max(committed, entry.log_start), entry.log_end)
    )
    end = stands if after is None else after
    return Move(entry.partition, committed, after, max(0, stands - end), max(0, end - stands), note)


def _target(entry: LogPartition, wish: Wish, at_time: int | None) -> tuple[int | None, str]:
    match wish:
        case Current() | Shift() if entry.committed is None:
            return None, "left unchanged"
        case Current():
            return entry.committed, ""
        case Shift(by):
            return (entry.committed or 0) + by, ""
        case Point(Place.START, value):
            return entry.log_start + value, ""
        case Point(Place.END, value):
            return entry.log_end - value, ""
        case Point(Place.TIME):
            if at_time is None:
                return entry.log_end, "no message is that recent, so this is the end of the log"
            return at_time, ""
        case Point(_, value):
            return value, ""


def _inside(entry: LogPartition, offset: int, note: str) -> tuple[int, str]:
    if offset < entry.log_start:
        return entry.log_start, f"{offset} is below the log's start"
    if offset > entry.log_end:
        return entry.log_end, f"{offset} is beyond the log's end"
    return offset, note


def parse_file(text: str, topic: str) -> dict[int, int]:
    """Partition to offset, from lines `topic,partition,offset`, as `kafka-consumer-groups
    --export` writes them (also with the group first).

    Raises:
        ValueError: a line is no such line, or names another topic, or a partition twice.
    """
    found: dict[int, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        fields = [each.strip().strip('"') for each in line.split(",")][-3:]
        if len(fields) != 3 or not all(_natural(each) for each in fields[1:]):
            raise ValueError(f"line {number}: write topic,partition,offset")
        if fields[0] != topic:
            raise ValueError(f"line {number}: topic {fields[0]!r} is not {topic!r}")
        partition = int(fields[1])
        if partition in found:
            raise ValueError(f"line {number}: partition {partition} appears twice")
        found[partition] = int(fields[2])
    if not found:
        raise ValueError("it has no lines")
    return found


def _natural(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def chosen(
    entries: Iterable[LogPartition], partitions: Sequence[int], wishes: Mapping[int, Wish]
) -> list[LogPartition]:
    """Those of `partitions` (empty: all) that a wish speaks of.

    Raises:
        ValueError: a partition is named that the topic does not have.
    """
    known = {each.partition: each for each in entries}
    named = sorted(set(partitions) or wishes.keys())
    for number in named:
        if number not in known:
            raise ValueError(
                f"there is no partition {number}: the topic has {counted(len(known), 'partition')}"
            )
    return [known[number] for number in named if number in wishes]
