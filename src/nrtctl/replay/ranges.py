"""What a load is asked to load, by partition. Pure; called by `nrtctl replay load`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nrtctl.kafka.offsets import Point
from nrtctl.kafka.partitions import LogPartition
from nrtctl.replay import plan
from nrtctl.replay.job import Span

State = Literal["dry", "loaded", "stopped", "swapped", "abandoned"]


@dataclass(frozen=True, slots=True)
class Part:
    """What is asked of one partition; None: nothing is left of it. `note`: why it is less."""

    partition: int
    span: Span | None
    note: str


@dataclass(frozen=True, slots=True)
class Check:
    """Offsets of the range without a row, and rows beyond the first of an offset."""

    missing: int
    duplicated: int


def parts_of(
    entries: Sequence[LogPartition],
    first: tuple[Point, Mapping[int, int | None]],
    last: tuple[Point, Mapping[int, int | None]],
    *,
    window: int,
    pipeline: str,
) -> list[Part]:
    """[first, last) in each partition: within the log, and what the group has stored.

    Args:
        first, last: a place, and the offset of it by partition where it is a time.
        pipeline: of another table that is loaded, all of whose partitions are part of the load,
            empty or not.
    """
    found = []
    for entry in entries:
        start, end = (
            plan.move(entry, point, at_time=times.get(entry.partition), start="earliest")
            for point, times in (first, last)
        )
        found.append(_part(entry, start, end, window, pipeline))
    return found


def _part(
    entry: LogPartition, first: plan.Move, last: plan.Move, window: int, pipeline: str
) -> Part:
    start, end = first.after or 0, last.after or 0
    notes = [each.note for each in (first, last)]
    stored = entry.committed or 0
    if end > stored:
        end = stored
        notes.append(f"the group has not read beyond {stored} yet, and will store the rest itself")
    if pipeline:
        end = max(start, end)
    span = Span(start, end, window, pipeline) if start < end or pipeline else None
    return Part(entry.partition, span, "; ".join(dict.fromkeys(filter(None, notes))))


def extended(spans: Mapping[int, Span], log: Iterable[LogPartition]) -> dict[int, Span]:
    """The spans of a load of all partitions up to what the group has stored by now; a partition
    that was added since the load began is part of it from its start on."""
    found = dict(spans)
    like = next(iter(spans.values()))
    for entry in log:
        new = replace(like, start=entry.log_start, end=entry.log_start)
        span = spans.get(entry.partition, new)
        stored = min(entry.committed or 0, entry.log_end)
        found[entry.partition] = replace(span, end=max(span.end, stored))
    return found


def summary(
    parts: Sequence[Part], state: State, check: Check | None, into: str | None
) -> dict[str, Any]:
    return {
        "state": state,
        "into": into,
        "offsets": sum(p.span.end - p.span.start for p in parts if p.span),
        "partitions": [
            {"partition": p.partition, "start": p.span.start if p.span else None,
             "end": p.span.end if p.span else None, "note": p.note}
            for p in parts
        ],
        "missing": check.missing if check else None,
        "duplicated": check.duplicated if check else None,
    }  # fmt: skip
