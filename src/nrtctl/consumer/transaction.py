"""Store one batch: declare the intent, insert, and where there is a doubt, look.

Called by `consumer.loop`, on a thread of its own, one batch of a partition at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

from nrtctl import insert_errors, intents
from nrtctl.clickhouse import ClickHouseGone, QueryError
from nrtctl.clock import Clock
from nrtctl.consumer.buffer import Batch
from nrtctl.envelope import COLUMNS
from nrtctl.errors import NrtctlError
from nrtctl.intents import OffsetRange, Remedy


class Storage(Protocol):
    """The part of `ClickHouseClient` that storing needs."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...

    def insert(
        self, table: str, columns: Sequence[str], body: bytes, settings: Mapping[str, Any]
    ) -> None: ...


class IntentRefused(Exception):
    """The group gave the partition to another member: nothing may be inserted."""


class Abandoned(Exception):
    """The batch was given up (a revoked partition, an impatient stop); its intent stands."""


@dataclass(frozen=True, slots=True)
class Target:
    """The tables of one pipeline, as quoted by nobody: identifiers are validated."""

    topic: str
    database: str
    landing: str
    table: str
    dead_letters: str
    insert_settings: Mapping[str, Any]


@dataclass(slots=True)
class Backoff:
    """Waits between tries: doubling from 0.1 s to 10 s, with jitter of ±50 %."""

    attempt: int = 0

    def next(self) -> float:
        self.attempt += 1
        return float(min(10.0, 0.1 * 2 ** min(self.attempt, 10)) * random.uniform(0.5, 1.5))  # noqa: S311


class Writer:
    """Stores batches of one topic into one target.

    Args:
        declare: commits the intent of a batch; raises `IntentRefused`. None: at least once.
        lease: seconds for which a declared intent may be acted on.
        waiting: told (reason, seconds) before each wait.
    """

    def __init__(
        self,
        target: Target,
        storage: Storage,
        *,
        declare: Callable[[int, OffsetRange], None] | None,
        lease: float,
        clock: Clock,
        waiting: Callable[[str, float], None],
    ) -> None:
        self._target = target
        self._storage = storage
        self._declare = declare
        self._lease = lease
        self._clock = clock
        self._waiting = waiting

    def write(self, batch: Batch, *, doubtful: bool, give_up: Event) -> None:
        """Store every message of `batch` once.

        Args:
            doubtful: the range may hold rows already; look before believing.
            give_up: set by another thread to abandon the batch while it waits.

        Raises:
            IntentRefused, Abandoned: nothing further was sent.
            NrtctlError: it cannot be stored until somebody changes something.
        """
        declared = self._declare_intent(batch)
        if doubtful:
            if self._look(batch).remedy is Remedy.DONE:
                return
        elif not batch.rows or self._insert(batch, batch.rows, "", declared, give_up):
            return
        self._settle(batch, give_up)

    def _settle(self, batch: Batch, give_up: Event) -> None:
        """Bring a range that may be partly there to exactly once."""
        for attempt in range(1, 100):
            verdict = self._retry(lambda: self._look(batch), give_up)
            if verdict.remedy is Remedy.DONE:
                return
            declared = self._declare_intent(batch)
            if verdict.remedy is Remedy.REPLACE:
                self._retry(lambda: self._delete(batch.span, batch.partition), give_up)
                continue
            missing = set(verdict.missing)
            pairs = zip(batch.offsets, batch.rows, strict=True)
            rows = [row for offset, row in pairs if offset in missing]
            again = "" if len(rows) == len(batch.rows) and attempt == 1 else f"/r{attempt}"
            self._insert(batch, rows, again, declared, give_up)
        raise NrtctlError(
            f"partition {batch.partition}: {batch.span} is not complete after 99 tries",
            hint="`nrtctl doctor` checks the tables",
        )

    def _retry(self, action: Callable[[], Any], give_up: Event) -> Any:
        backoff = Backoff()
        while True:
            try:
                return action()
            except ClickHouseGone as error:
                self._wait(error, backoff, give_up)
            except QueryError as error:
                if insert_errors.classify(error.code) is not insert_errors.Failure.WAIT:
                    raise
                self._wait(error, backoff, give_up)

    def _declare_intent(self, batch: Batch) -> float:
        if self._declare is not None:
            self._declare(batch.partition, batch.span)
        return self._clock.monotonic()

    def _insert(
        self, batch: Batch, rows: Sequence[bytes], again: str, declared: float, give_up: Event
    ) -> bool:
        """Insert until ClickHouse says yes. False: an earlier try may have landed in part."""
        body = b"".join(rows)
        settings = {
            **self._target.insert_settings,
            "insert_deduplication_token": intents.token(
                self._target.topic, batch.partition, batch.span, again
            ),
        }
        backoff = Backoff()
        while True:
            if self._clock.monotonic() - declared > self._lease:
                declared = self._declare_intent(batch)
            try:
                self._storage.insert(
                    f"{self._target.database}.{self._target.landing}", COLUMNS, body, settings
                )
            except ClickHouseGone as error:
                self._wait(error, backoff, give_up)
            except QueryError as error:
                if insert_errors.classify(error.code) is not insert_errors.Failure.WAIT:
                    raise NrtctlError(
                        f"partition {batch.partition}: {batch.span} cannot be stored: {error}",
                        hint="the offsets are not committed and nothing is lost: mend the "
                        "pipeline, run `nrtctl up`, then `nrtctl consume` again",
                    ) from error
                self._wait(error, backoff, give_up)
            else:
                return backoff.attempt == 0

    def _wait(self, error: NrtctlError, backoff: Backoff, give_up: Event) -> None:
        seconds = backoff.next()
        self._waiting(error.message, seconds)
        if give_up.wait(seconds):
            raise Abandoned(error.message)

    def _where(self, span: OffsetRange, partition: int) -> str:
        topic = self._target.topic
        return (
            f"_topic = '{topic}' AND _partition = {partition} "
            f"AND _offset >= {span.start} AND _offset < {span.end}"
        )

    def _sources(self, span: OffsetRange, partition: int) -> list[tuple[str, str]]:
        where, names = self._where(span, partition), self._target
        return [
            (f"{names.database}.{names.table}", where),
            (f"{names.database}.{names.dead_letters}", f"_table = '{names.table}' AND {where}"),
        ]

    def _look(self, batch: Batch) -> intents.Verdict:
        """The probe: which offsets of the batch are stored."""
        sources = self._sources(batch.span, batch.partition)
        union = " UNION ALL ".join(f"SELECT _offset FROM {t} WHERE {w}" for t, w in sources)
        rows, distinct = self._storage.query(f"SELECT count(), uniqExact(_offset) FROM ({union})")[
            0
        ]
        if rows == distinct == len(batch.offsets):
            return intents.Verdict(Remedy.DONE)
        stored = [row[0] for row in self._storage.query(union)] if rows else []
        return intents.judge(batch.offsets, stored)

    def _delete(self, span: OffsetRange, partition: int) -> None:
        for table, where in self._sources(span, partition):
            self._storage.command(
                f"ALTER TABLE {table} DELETE WHERE {where}", {"mutations_sync": 2}
            )
