"""What verify says, as values. Written by `compare`, printed by `cli.verify_command`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from nrtctl.store.intents import OffsetRange
from nrtctl.store.latest import StateReport

MOST_RANGES = 1000
"""Ranges that a report lists of each kind and partition. Totals count what is not listed, too."""


class Ranges:
    """Offsets that arrive ascending, kept as ranges: the first `MOST_RANGES`, and how many all."""

    def __init__(self) -> None:
        self.listed: list[list[int]] = []
        self.offsets = 0
        self.ranges = 0
        self._end = -1

    def add(self, span: OffsetRange) -> None:
        self.offsets += span.end - span.start
        if span.start != self._end:
            self.ranges += 1
            if self.ranges <= MOST_RANGES:
                self.listed.append([span.start, span.end])
        elif self.ranges <= MOST_RANGES:
            self.listed[-1][1] = span.end
        self._end = span.end

    def add_all(self, spans: Iterable[OffsetRange]) -> Ranges:
        for span in spans:
            self.add(span)
        return self


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One partition. Ranges are half-open [start, end); counts are of offsets or rows.

    Attributes:
        committed: the group's committed offset; None: it has none.
        lag: messages that the group has not stored yet.
        stored, dead_letters: messages in the table, and messages of it among the dead letters.
        left_out: messages that the pipeline's `when` leaves out.
        rows: in the table; as many as `stored`, unless messages may be several rows each.
        torn: messages of which some rows are stored, and others not; those below `committed` are
            missing as well.
        missing: messages below `committed` that Kafka holds and no row names.
        duplicated: rows beyond the first of an offset, in both tables together.
        in_both: offsets that are a row and a dead letter.
        pending: the range that is declared and may be under way. `pending_rows`: rows of it.
        lost: offsets that retention took before the group stored them, or that are damaged in
            Kafka and were passed, and no row names.
        unchecked: offsets below the log start that no row names although the group passed them:
            Kafka has forgotten whether they were messages.
        ahead: rows at or above `committed` and outside `pending` (offsets were moved back).
        beyond: rows at offsets that Kafka's log has not reached (the topic was made anew).
        more_ranges: ranges of missing, duplicated and lost that are not listed.
    """

    partition: int
    log_start: int
    log_end: int
    committed: int | None
    lag: int
    stored: int
    dead_letters: int
    missing: int
    duplicated: int
    in_both: int
    pending: list[int] | None
    pending_rows: int
    lost: int
    unchecked: int
    ahead: int
    beyond: int
    missing_ranges: list[list[int]]
    duplicated_ranges: list[list[int]]
    lost_ranges: list[list[int]]
    more_ranges: int
    rows: int = 0
    torn: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The whole topic. `problems` end the command with exit code 5, as differences do. `latest`:
    the current states, over all rows of the table."""

    topic: str
    table: str
    group: str
    stored: int
    dead_letters: int
    missing: int
    duplicated: int
    lost: int
    lag: int
    partitions: list[PartitionReport]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: int = 0
    torn: int = 0
    left_out: int = 0
    latest: list[StateReport] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        differing = any(each.differing for each in self.latest)
        return not (self.missing or self.duplicated or self.lost or self.problems or differing)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}
