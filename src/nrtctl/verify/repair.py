"""Bring the tables back to one row an offset: reload what is missing, remove what is doubled.

Called by `nrtctl verify --repair`. Only offsets below the committed one are touched, so a consumer
may run meanwhile: its batches lie at or above it. Every step leaves the tables no worse than they
were, and what is done is told from the rows alone: after a kill, a rerun goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Event

from nrtctl.errors import CheckFailed
from nrtctl.kafka.partitions import Log, LogPartition
from nrtctl.store import doubles
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import Decode, row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.rows import TopicRows
from nrtctl.store.tokens import RepairTokens, topic_of
from nrtctl.store.writer import Writer
from nrtctl.verify.compare import checked_range
from nrtctl.verify.report import Report

AGAIN = "run the same command again once `nrtctl doctor` finds nothing wrong"


@dataclass(frozen=True, slots=True)
class Step:
    """What one partition needs: messages to reload, rows to remove. `later`: doubled rows at or
    above the committed offset, which the consumer sees to when it comes there."""

    partition: int
    reload: int
    remove: int
    later: int


class Repair:
    """The repair of one pipeline.

    Args:
        writer: of batches that no group declares (`store.filling`).
        max_rows, max_bytes: of one insert.
        sleep: waits some seconds while ClickHouse applies a mutation.
        decode: of messages that are no JSON.
    """

    def __init__(
        self,
        rows: TopicRows,
        log: Log,
        writer: Writer,
        *,
        max_rows: int,
        max_bytes: int,
        sleep: Callable[[float], None],
        decode: Decode | None = None,
    ) -> None:
        self._decode = decode
        self._rows = rows
        self._log = log
        self._writer = writer
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._sleep = sleep

    def plan(self, report: Report) -> list[Step]:
        """What `execute` would do for this report. Changes nothing.

        Raises:
            CheckFailed: the offsets in the table belong to another log.
        """
        if report.problems:
            raise CheckFailed(
                f"nothing was repaired: {report.problems[0]}",
                hint="`nrtctl verify` shows details; docs/verify.md describes what to do",
            )
        slices = self._rows.partitions()
        steps = []
        for each in report.partitions:
            found = self._rows.doubles(
                each.partition, slices.get(each.partition, ()), below=each.committed or 0
            )
            remove = sum(double.surplus for double in found)
            steps.append(Step(each.partition, each.missing, remove, each.duplicated - remove))
        return [step for step in steps if step.reload or step.remove or step.later]

    def execute(self) -> tuple[int, int]:
        """Do it, for the log and the rows as they are now.

        Returns:
            Messages that were reloaded, rows that were removed.

        Raises:
            NrtctlError: ClickHouse does not take a message, or does not apply a deletion.
        """
        reloaded = removed = 0
        entries = self._log.partitions()  # before the rows: what is below is in them, or missing
        self._rows.settle()
        slices = self._rows.partitions()
        for entry in entries:
            if span := checked_range(entry):
                found = slices.get(entry.partition, ())
                gaps = self._rows.gaps(entry.partition, found, span)
                reloaded += self._reload(entry, gaps)
            removed += doubles.remove(
                self._rows,
                entry.partition,
                below=entry.committed or 0,
                sleep=self._sleep,
            )
        return reloaded, removed

    def _reload(self, entry: LogPartition, gaps: Iterable[OffsetRange]) -> int:
        target, number = self._rows.target, entry.partition
        encode = row_encoder(target.topic, target.incarnation, number, self._decode)
        tokens = RepairTokens(topic_of(target.topic, target.incarnation), number)
        done = 0
        for offsets, rows in self._batches(
            (e.offset(), encode(e.offset(), e.timestamp()[1], e.key(), e.value(), e.headers()))
            for e in self._log.messages(number, gaps, _cannot_be_loaded)
        ):
            batch = Batch.of_gaps(number, offsets, rows, tokens)
            self._writer.write(batch, Mode.FILL, None, Event())
            done += len(rows)
        return done

    def _batches(
        self, encoded: Iterable[tuple[int, bytes]]
    ) -> Iterator[tuple[list[int], list[bytes]]]:
        """Offsets and rows of one insert each; what messages are decoded to, and their headers,
        count as well."""
        offsets: list[int] = []
        rows: list[bytes] = []
        size = 0
        for offset, row in encoded:
            offsets.append(offset)
            rows.append(row)
            size += len(row)
            if len(rows) >= self._max_rows or size >= self._max_bytes:
                yield offsets, rows
                offsets, rows, size = [], [], 0
        if rows:
            yield offsets, rows


def _cannot_be_loaded(damaged: OffsetRange) -> None:
    """What is damaged in Kafka stays lost, as the report says."""
