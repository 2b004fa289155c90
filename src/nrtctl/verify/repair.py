"""Bring the tables back to one row an offset: reload what is missing, remove what is doubled.

Called by `nrtctl verify --repair`. Only offsets below the committed one are touched, so a consumer
may run meanwhile: its batches lie at or above it. Every step leaves the tables no worse than they
were, and what is done is told from the rows alone: after a kill, a rerun goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from nrtctl import insert_errors
from nrtctl.clickhouse import QueryError
from nrtctl.consumer.writer import INSERT_FAILED
from nrtctl.envelope import COLUMNS, LETTER_COLUMNS, letter, row_encoder
from nrtctl.errors import CheckFailed, NrtctlError
from nrtctl.insert_errors import Failure
from nrtctl.intents import Incarnation, OffsetRange, token_topic
from nrtctl.pipeline import Pipeline
from nrtctl.queries import Queries
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.verify import doubles
from nrtctl.verify.compare import checked_range
from nrtctl.verify.log import Log, LogPartition, Message
from nrtctl.verify.report import Report
from nrtctl.verify.rows import Rows

TRIES = 5
"""Inserts of one batch, each under a token of its own, before it is given up."""


class Storage(Queries, Protocol):
    """The part of `ClickHouseClient` that repairing needs."""

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...

    def insert(
        self, table: str, columns: Sequence[str], body: bytes, settings: Mapping[str, Any]
    ) -> int | None: ...


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
        max_rows, max_bytes: of one insert.
        sleep: waits some seconds while ClickHouse applies a mutation.
    """

    def __init__(
        self,
        storage: Storage,
        pipeline: Pipeline,
        *,
        database: str,
        log: Log,
        topic: Incarnation,
        max_rows: int,
        max_bytes: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._storage = storage
        self._rows = Rows(storage, pipeline, database, topic.number)
        self._topic = pipeline.topic
        self._incarnation = topic.number
        self._table = pipeline.table
        self._landing = f"{database}.{pipeline.landing}"
        self._log = log
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
                f"nothing is repaired: {report.problems[0]}",
                hint="`nrtctl verify` says more; docs/verify.md says what can be done",
            )
        slices = self._rows.partitions()
        steps = []
        for each in report.partitions:
            found = self._rows.doubles(
                each.partition, slices.get(each.partition, ()), below=each.committed or 0
            )
            remove = sum(double.stored + double.dead - 1 for double in found)
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
        slices = self._rows.partitions()
        for entry in self._log.partitions():
            if span := checked_range(entry):
                found = slices.get(entry.partition, ())
                gaps = self._rows.gaps(entry.partition, found, span)
                reloaded += self._reload(entry, gaps)
            removed += doubles.remove(
                self._storage,
                self._rows,
                entry.partition,
                below=entry.committed or 0,
                sleep=self._sleep,
            )
        return reloaded, removed

    def _reload(self, entry: LogPartition, gaps: Iterable[OffsetRange]) -> int:
        encode = row_encoder(self._topic, self._incarnation, entry.partition)
        done = 0
        for batch in self._batches(self._log.messages(entry.partition, gaps, _cannot_be_loaded)):
            rows = {
                each.offset(): encode(
                    each.offset(), each.timestamp()[1], each.key(), each.value(), each.headers()
                )
                for each in batch
            }
            self._store(entry.partition, rows)
            done += len(rows)
        return done

    def _batches(self, messages: Iterator[Message]) -> Iterator[list[Message]]:
        batch: list[Message] = []
        size = 0
        for message in messages:
            batch.append(message)
            size += len(message.value() or b"") + len(message.key() or b"")
            if len(batch) >= self._max_rows or size >= self._max_bytes:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _store(self, partition: int, rows: Mapping[int, bytes]) -> None:
        """Insert `rows`; a message that the user's SQL fails on becomes a dead letter, as it does
        in the consumer: what has landed is left out, the rest is halved until it stands alone."""
        try:
            self._insert(partition, rows)
        except QueryError as error:
            found = insert_errors.explain(error.code, error.message)
            if found.failure not in {Failure.DATA, Failure.SPLIT}:
                raise _not_reloaded(partition, rows, error, found.advice) from error
            left = self._rows.absent(partition, sorted(rows))
            if len(left) == 1 and found.failure is Failure.SPLIT and len(rows) == 1:
                raise _not_reloaded(partition, rows, error, found.advice) from error
            if len(left) == 1 and found.failure is Failure.DATA:
                self._insert(partition, {left[0]: rows[left[0]]}, rejected=error.message)
                return
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                if half:
                    self._store(partition, {offset: rows[offset] for offset in half})

    def _insert(
        self, partition: int, rows: Mapping[int, bytes], *, rejected: str | None = None
    ) -> None:
        """Insert, then look whether the rows are there: a token may be spent without them.

        Args:
            rejected: the server's error; the rows go to the dead letters with it.
        """
        offsets = sorted(rows)
        for attempt in range(TRIES):
            kind = "repair" if rejected is None else "repair-letter"
            settings = {
                **INSERT_SETTINGS,
                "insert_deduplication_token": token(
                    token_topic(self._topic, self._incarnation),
                    partition,
                    offsets,
                    attempt,
                    kind=kind,
                ),
            }
            bodies = [rows[offset] for offset in offsets]
            if rejected is None:
                self._storage.insert(self._landing, COLUMNS, b"".join(bodies), settings)
            else:
                letters = [
                    letter(body, table=self._table, reason=INSERT_FAILED, error=rejected)
                    for body in bodies
                ]
                self._storage.insert(
                    self._rows.dead_letters, LETTER_COLUMNS, b"".join(letters), settings
                )
            offsets = self._rows.absent(partition, offsets)
            if not offsets:
                return
        raise NrtctlError(
            f"partition {partition}: {len(offsets)} messages from offset {offsets[0]} on were "
            f"inserted {TRIES} times and are still not there",
            hint="`nrtctl doctor` checks the views; `nrtctl up` makes them",
        )


def _cannot_be_loaded(damaged: OffsetRange) -> None:
    """What is damaged in Kafka stays lost, as the report says."""


def _not_reloaded(
    partition: int, rows: Mapping[int, bytes], error: QueryError, advice: str
) -> NrtctlError:
    return NrtctlError(
        f"partition {partition}: [{min(rows)}, {max(rows) + 1}) cannot be reloaded: "
        f"{error.message}; {advice}",
        hint="run the same command again when `nrtctl doctor` finds nothing wrong",
    )


def token(
    topic: str, partition: int, offsets: Sequence[int], attempt: int, *, kind: str = "repair"
) -> str:
    """The same offsets have the same token, so that a repair run again finds its earlier insert;
    no batch of a consumer has it."""
    digest = blake2b(",".join(map(str, offsets)).encode(), digest_size=8).hexdigest()
    again = f"/r{attempt}" if attempt else ""
    return f"{topic}/{partition}/{offsets[0]}-{offsets[-1] + 1}/{kind}-{digest}{again}"
