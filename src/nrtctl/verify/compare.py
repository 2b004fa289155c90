"""Compare the log with the rows, partition by partition.

Only what the group has committed is expected to be stored; what it has not read yet is lag, and a
declared batch is under way: neither is loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nrtctl.clickhouse.queries import Statements
from nrtctl.config.counted import counted, from_to
from nrtctl.kafka.partitions import Log, LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.store.incarnations import rows_by_incarnation
from nrtctl.store.intents import Incarnation, OffsetRange, UnknownMetadataError
from nrtctl.store.intents.passed import passed, told
from nrtctl.store.rows import Slice, TopicRows
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target
from nrtctl.verify.report import PartitionReport, Ranges, Report


def verify(
    queries: Statements,
    pipeline: Pipeline,
    *,
    database: str,
    group: str,
    log: Log,
    topic: Incarnation,
    lost: Sequence[str] = (),
) -> Report:
    """Compare every partition of the topic that is there now.

    Args:
        topic: which of the topics of this name that is; rows of others are counted, and cannot be
            compared with anything.
        lost: what the tables and views no longer have (`schema.drift`): a problem each.

    Raises:
        QueryError, ClickHouseGone: from `queries`.
        ConnectError, WaitTimeout, NrtctlError: from `log`.
    """
    rows = rows_in(queries, Target.of(pipeline, database, topic.number))
    entries = {each.partition: each for each in log.partitions()}
    slices = rows.partitions()
    for number in slices.keys() - entries.keys():
        entries[number] = LogPartition(number, 0, 0, None)
    later = entries
    if _any_above(entries, slices):
        later = {**entries, **{each.partition: each for each in log.partitions()}}
    reports, problems = [], list(lost)
    notes = _earlier_notes(
        rows_by_incarnation(queries, pipeline, database), topic, entries.values()
    )
    for number, entry in sorted(entries.items()):
        one = _Partition(rows, log, pipeline, entry, slices.get(number, ()))
        report = one.report(later[number])
        reports.append(report)
        problems += _problems(report)
        notes += one.notes
    notes += under_way(reports)
    notes += [note for each in reports for note in _notes(each)]
    if log.topic_id() != topic.topic_id:
        problems.append(
            f"topic {pipeline.topic!r} was deleted and created again during the comparison: this "
            "report mixes both"
        )
    return Report(
        topic=pipeline.topic,
        table=pipeline.table,
        group=group,
        stored=sum(each.stored for each in reports),
        rows=sum(each.rows for each in reports),
        torn=sum(each.torn for each in reports),
        dead_letters=sum(each.dead_letters for each in reports),
        left_out=sum(each.left_out for each in reports),
        missing=sum(each.missing for each in reports),
        duplicated=sum(each.duplicated for each in reports),
        lost=sum(each.lost for each in reports),
        lag=sum(each.lag for each in reports),
        partitions=reports,
        problems=problems,
        notes=notes,
    )


def _any_above(entries: Mapping[int, LogPartition], slices: Mapping[int, list[Slice]]) -> bool:
    """Rows that the group has not committed: a consumer may have gone on since it was asked."""
    return any(
        found and found[-1].highest >= (entries[number].committed or 0)
        for number, found in slices.items()
    )


def _earlier_notes(
    stored: Mapping[int, tuple[int, int]], topic: Incarnation, entries: Iterable[LogPartition]
) -> list[str]:
    found = [
        (
            f"{counted(rows, 'row')} and {counted(dead, 'dead letter')} belong to incarnation "
            f"{number} of the topic, while the topic that exists now is incarnation "
            f"{topic.number}: Kafka no longer has their messages, so they are not compared"
        )
        for number, (rows, dead) in stored.items()
        if number != topic.number
    ]
    behind = [each for each in entries if each.earlier is not None]
    if behind:
        found.append(
            f"the group's offsets of {counted(len(behind), 'partition')} belong to an earlier "
            "topic of this name; a consumer reads the topic that exists now from its start"
        )
    return found


class _Partition:
    def __init__(
        self,
        rows: TopicRows,
        log: Log,
        pipeline: Pipeline,
        entry: LogPartition,
        slices: Sequence[Slice],
    ) -> None:
        self._rows = rows
        self._log = log
        self._entry = entry
        self._slices = slices
        self._topic, self._table = pipeline.topic, pipeline.table
        self.notes: list[str] = []
        try:
            self._pending = entry.pending(self._table)
        except UnknownMetadataError as error:
            self._pending = None
            self.notes.append(f"partition {entry.partition}: {error}")

    def report(self, later: LogPartition) -> PartitionReport:
        """Args: later: what Kafka said after the rows were counted."""
        entry, pending, slices = self._entry, self._pending, self._slices
        lost = self._lost()
        torn = sum(each.torn for each in slices)
        missing = self._missing(lost)
        doubled, in_both = Ranges(), 0
        for double in self._rows.doubles(entry.partition, slices):
            doubled.add(OffsetRange(double.offset, double.offset + 1))
            in_both += double.stored > 0 and double.dead > 0
        if missing.offsets and (span := self._passed()) is not None:
            self.notes.append(told(self._topic, {entry.partition: span}))
        claimed = min(self._claimed(later), later.log_end)
        return PartitionReport(
            partition=entry.partition,
            log_start=entry.log_start,
            log_end=entry.log_end,
            committed=entry.committed,
            lag=max(0, entry.log_end - max(entry.log_start, entry.committed or 0)),
            stored=sum(each.stored for each in slices),
            rows=sum(each.stored if each.rows is None else each.rows for each in slices),
            torn=torn,
            dead_letters=sum(each.dead for each in slices),
            left_out=sum(each.left_out for each in slices),
            missing=missing.offsets,
            duplicated=sum(each.doubled for each in slices),
            in_both=in_both,
            pending=[pending.start, pending.end] if pending else None,
            pending_rows=self._count(pending.start, pending.end) if pending else 0,
            lost=lost.offsets,
            unchecked=self._unchecked(),
            ahead=self._count(claimed, later.log_end),
            beyond=self._count(later.log_end, None),
            missing_ranges=missing.listed,
            duplicated_ranges=doubled.listed,
            lost_ranges=lost.listed,
            more_ranges=sum(each.ranges - len(each.listed) for each in (missing, doubled, lost)),
        )

    def _passed(self) -> OffsetRange | None:
        """What another program's commit in the group has passed."""
        entry = self._entry
        if entry.committed is None or entry.metadata:
            return None
        top = self._slices[-1].highest if self._slices else -1
        return passed(min(entry.committed, entry.log_end), entry.log_start, top)

    def _claimed(self, entry: LogPartition) -> int:
        """The end of what the group has committed or declared."""
        try:
            pending = entry.pending(self._table)
        except UnknownMetadataError:
            pending = None
        return pending.end if pending else entry.committed or 0

    def _gaps(self, start: int, end: int) -> Ranges:
        if not 0 <= start < end:
            return Ranges()
        span = OffsetRange(start, end)
        return Ranges().add_all(self._rows.gaps(self._entry.partition, self._slices, span))

    def _missing(self, lost: Ranges) -> Ranges:
        """What the log holds in the gaps: those of compaction and markers are no loss. What cannot
        be read there is `lost`."""
        found, number = Ranges(), self._entry.partition
        if span := checked_range(self._entry):
            gaps = self._rows.gaps(number, self._slices, span)
            damaged: list[OffsetRange] = []
            for message in self._log.messages(number, gaps, damaged.append):
                found.add(OffsetRange(message.offset(), message.offset() + 1))
            self._damaged(damaged, span, lost)
        return found

    def _damaged(self, damaged: list[OffsetRange], span: OffsetRange, lost: Ranges) -> None:
        number = self._entry.partition
        for each in damaged:
            within = OffsetRange(max(each.start, span.start), min(each.end, span.end))
            if within.start >= within.end:
                continue
            before = lost.offsets
            lost.add_all(self._rows.gaps(number, self._slices, within))
            self.notes.append(
                f"partition {number}: {within} is damaged in Kafka and cannot be read; "
                f"{counted(lost.offsets - before, 'offset has', 'offsets have')} no row"
            )

    def _lost(self) -> Ranges:
        """What retention took before it was stored, or before it was stored whole."""
        entry = self._entry
        if entry.committed is None:
            return Ranges()
        found = Ranges()
        if (end := min(entry.log_start, entry.committed)) > 0:
            torn = self._rows.torn(entry.partition, self._slices, OffsetRange(0, end))
            found.add_all(torn)
        if 0 <= entry.committed < entry.log_start:
            span = OffsetRange(entry.committed, entry.log_start)
            found.add_all(self._rows.gaps(entry.partition, self._slices, span))
        return found

    def _unchecked(self) -> int:
        if not self._slices:
            return 0
        end = min(self._entry.log_start, self._entry.committed or 0)
        return self._gaps(self._slices[0].lowest, end).offsets

    def _count(self, start: int, end: int | None) -> int:
        """Rows of [start, end)."""
        top = self._slices[-1].highest + 1 if self._slices else 0
        end = top if end is None else min(end, top)
        if start >= end:
            return 0
        return self._rows.count(self._entry.partition, OffsetRange(start, end))


def checked_range(entry: LogPartition) -> OffsetRange | None:
    """The offsets that must be stored and can be read again: committed, and still in the log."""
    end = min(entry.committed or 0, entry.log_end)
    return OffsetRange(entry.log_start, end) if entry.log_start < end else None


def _problems(report: PartitionReport) -> list[str]:
    found, where = [], f"partition {report.partition}"
    if report.beyond:
        found.append(
            f"{where}: {counted(report.beyond, 'row is', 'rows are')} at or beyond the log's "
            f"end {report.log_end}: the topic was created again, or Kafka has lost messages"
        )
    if report.committed is not None and report.committed > report.log_end:
        found.append(
            f"{where}: the group's offset is {report.committed}, but the log ends at "
            f"{report.log_end}: the topic was created again, or Kafka has lost messages"
        )
    return found


MOST_NAMED = 4
"""Batches under way that are named; the JSON has all of them."""


def under_way(reports: Sequence[PartitionReport]) -> list[str]:
    """One note, however many partitions have a batch that is declared."""
    found = [each for each in reports if each.pending]
    if not found:
        return []
    named = [f"{each.partition}: {from_to(*each.pending or (0, 0))}" for each in found]
    where = ", ".join(named[:MOST_NAMED]) + (", …" if len(named) > MOST_NAMED else "")
    rows = counted(sum(each.pending_rows for each in found), "row")
    what = "a batch is" if len(found) == 1 else f"{len(found)} batches are"
    return [
        f"{what} declared and may still be in progress (partition {where}); {rows} of "
        f"{'it' if len(found) == 1 else 'them'} stored so far, and the rest does not count as "
        "missing"
    ]


def _notes(report: PartitionReport) -> list[str]:
    found, where = [], f"partition {report.partition}"
    if report.torn:
        found.append(
            f"{where}: {counted(report.torn, 'message is', 'messages are')} stored in part: a "
            "message counts as stored only when each of its rows is"
        )
    if report.ahead:
        found.append(
            f"{where}: {counted(report.ahead, 'row is', 'rows are')} ahead of the group's offset, "
            "which was probably moved back; they are not stored a second time"
        )
    if report.unchecked:
        found.append(
            f"{where}: {counted(report.unchecked, 'offset')} below the log start without a row; "
            "Kafka can no longer say whether there were messages"
        )
    return found
