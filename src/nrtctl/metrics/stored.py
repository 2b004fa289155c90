"""What became of the records of each batch, counted in ClickHouse on a thread of its own.

Only the server knows which record became a row and which a dead letter, and why: its views decide.
So the offset ranges that a consumer has stored are counted afterwards, once each, some seconds'
worth of batches in one query by the tables' offset order. Used by `consumers`.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from nrtctl.clickhouse.cluster import local, shards
from nrtctl.clickhouse.queries import Queries
from nrtctl.errors import NrtctlError
from nrtctl.metrics import names
from nrtctl.store.intents import OffsetRange
from nrtctl.store.target import Target, within_any

EVERY = 2.0
"""Seconds between two looks."""

MAX_RANGES = 200
"""Ranges in one query."""

READ_ONLY = {"readonly": 2, "max_execution_time": 10, "max_result_rows": 10_000}


class Client(Queries, Protocol):
    """The part of `ClickHouseClient` that counting needs."""

    def close(self) -> None: ...


class StoredCounts:
    """Counts what `add` names, from `start` until `close`.

    Args:
        connect: makes a client; it is used on this object's thread only.
    """

    def __init__(
        self, target: Target, connect: Callable[[], Client], registry: CollectorRegistry
    ) -> None:
        self._target = target
        self._connect = connect
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._waiting: dict[int, list[OffsetRange]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-stored", daemon=True)
        self.gone: str | None = "ClickHouse has not answered yet"
        """Why ClickHouse cannot be asked; None: it answered the last time."""
        self._rows = Counter(
            names.ROWS_INSERTED.family,
            names.ROWS_INSERTED.meaning,
            names.ROWS_INSERTED.labels,
            registry=registry,
        ).labels(target.table)
        self._letters = Counter(
            names.DEAD_LETTERED.family,
            names.DEAD_LETTERED.meaning,
            names.DEAD_LETTERED.labels,
            registry=registry,
        )
        self._parts = Gauge(
            names.ACTIVE_PARTS.name,
            names.ACTIVE_PARTS.meaning,
            names.ACTIVE_PARTS.labels,
            registry=registry,
        )

    def start(self) -> None:
        self._thread.start()

    def add(self, partition: int, span: OffsetRange) -> None:
        """A range that was stored. Never waits for ClickHouse."""
        with self._lock:
            spans = self._waiting[partition]
            if spans and spans[-1].end == span.start:
                spans[-1] = OffsetRange(spans[-1].start, span.end)
            else:
                spans.append(span)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(EVERY)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
                self.gone = None
            except NrtctlError as error:
                self.gone = error.message
            self._stop.wait(EVERY)
        if self._client is not None:
            self._client.close()

    def look(self) -> None:
        """Count what waits. What could not be counted waits on.

        Raises:
            NrtctlError: ClickHouse does not answer, or refuses.
        """
        if self._client is None:
            self._client = self._connect()
        self._look_at_parts(self._client)
        while taken := self._take():
            try:
                counted = self._count(self._client, taken)
            except BaseException:
                self._put_back(taken)
                raise
            rows, reasons = counted
            self._rows.inc(rows)
            for reason, number in reasons.items():
                self._letters.labels(reason).inc(number)

    def _look_at_parts(self, client: Queries) -> None:
        ((parts,),) = client.query(
            f"SELECT count() FROM {shards('system.parts', self._target.cluster)} WHERE active "
            "AND database = {d:String} AND table = {t:String}",
            {"d": self._target.database, "t": local(self._target.table, self._target.cluster)},
            READ_ONLY,
        )
        self._parts.labels(self._target.table).set(int(parts))

    def _take(self) -> dict[int, Sequence[OffsetRange]]:
        taken: dict[int, Sequence[OffsetRange]] = {}
        room = MAX_RANGES
        with self._lock:
            for partition, spans in list(self._waiting.items()):
                if room <= 0:
                    break
                taken[partition] = spans[:room]
                del spans[:room]
                room -= len(taken[partition])
                if not spans:
                    del self._waiting[partition]
        return taken

    def _put_back(self, taken: Mapping[int, Sequence[OffsetRange]]) -> None:
        with self._lock:
            for partition, spans in taken.items():
                self._waiting[partition] = [*spans, *self._waiting[partition]]

    def _count(
        self, client: Queries, taken: Mapping[int, Sequence[OffsetRange]]
    ) -> tuple[int, dict[str, int]]:
        spans = within_any(taken)
        table, mine = self._target.tables(spans)[0]
        letters, theirs = self._target.letters(spans)
        rows = client.query(f"SELECT count() FROM {table} WHERE {mine}", None, READ_ONLY)
        reasons = client.query(
            f"SELECT reason, count() FROM {letters} WHERE {theirs} GROUP BY reason", None, READ_ONLY
        )
        return int(rows[0][0]), {str(reason): int(number) for reason, number in reasons}
