"""What a look asks ClickHouse, as SQL, and what the answers are. Used by `watcher`.

Nothing here reads the whole table: totals come from projections that keep counts, and the rows of
the window from one that is sorted by the time of the insert (docs/decisions/0009).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from nrtctl.clickhouse.cluster import by_server, local, replicas, shards
from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.errors import ConfigError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.snapshot import Breakdown, Parts, Percentiles, Slice
from nrtctl.store.target import letters_of, rows_of

READ_ONLY = {"readonly": 2, "max_execution_time": 10, "max_result_rows": 100_000}
"""Settings of every query that stats makes."""

MAX_SLICES = 50
READ_FOR_ONE = 4
READ_BESIDE = 1_000_000
"""A breakdown reads so many rows for one of the window, and so many more, at most: it finds them in
the table itself, whose order need not follow the time."""

INSERT_QUERIES = "InsertQuery"
INSERT_MICROSECONDS = "InsertQueryTimeMicroseconds"

LATENCY = "greatest(0, toUnixTimestamp64Milli(_inserted_at) - toUnixTimestamp64Milli(_timestamp))"
"""Milliseconds."""

QUANTILES = "quantilesExactWeighted(0.5, 0.95, 0.99)"
"""Milliseconds of four digits have few distinct values, so counting each of them is cheap."""


def milliseconds(digits: int = 4) -> str:
    """The latency of a row in SQL, cut off behind its first `digits`: those of an old backlog are
    hours, and there are as many of them as rows, of which counting each takes seconds for millions.
    """
    step = f"intExp10(greatest(0, toInt32(log10(greatest(1, {LATENCY}))) - {digits - 1}))"
    return f"intDiv({LATENCY}, {step}) * {step}"


class Answer(Protocol):
    @property
    def columns(self) -> Sequence[str]: ...
    @property
    def rows(self) -> list[tuple[Any, ...]]: ...
    @property
    def read_rows(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Queries(Protocol):
    """The part of `ClickHouseClient` that a look needs."""

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer: ...


class Total(NamedTuple):
    """`age`: milliseconds since the newest of them was inserted; of `rows` only."""

    name: str
    number: int
    age: int


@dataclass(frozen=True, slots=True)
class TableLook:
    """`inserts`: name to count, of all servers together; None: one is away."""

    stored: int
    freshness: float | None
    by_reason: dict[str, int]
    window_rows: int
    latency: Percentiles
    batches: int
    largest_batch: int | None
    parts: Parts
    inserts: Mapping[object, int] | None
    by: Breakdown | None


class TableSide:
    """The questions, for one pipeline and one connection; counts what a look costs.

    Args:
        by: a column of `columns_by`; None: no breakdown.
    """

    def __init__(
        self,
        queries: Queries,
        pipeline: Pipeline,
        database: str,
        *,
        by: str | None = None,
        cluster: str | None = None,
    ) -> None:
        self._queries = queries
        self._pipeline = pipeline
        self._database = database
        self._by = by
        self._cluster = cluster
        self._table = f"{database}.{pipeline.table}"
        self._topic = rows_of(pipeline)
        self._limits: tuple[int, int] | None = None
        self.queries = 0
        self.read_rows = 0
        self.seconds = 0.0

    def look(self, window: float) -> TableLook:
        """Counts its cost anew. Args: window: seconds. Raises QueryError, ClickHouseGone."""
        self.queries = self.read_rows = 0
        self.seconds = 0.0
        totals = self._totals()
        stored = sum(each.number for each in totals["rows"])
        reasons = sorted(totals["reason"], key=lambda each: (-each.number, each.name))
        in_partitions = [each.number for each in totals["parts"]]
        age = min((each.age for each in totals["rows"]), default=0)
        rows, latency, batches, largest = self._recent_rows(window)
        return TableLook(
            stored=stored,
            freshness=max(0, age) / 1000 if stored else None,
            by_reason={each.name: each.number for each in reasons},
            window_rows=rows,
            latency=latency,
            batches=batches,
            largest_batch=largest if batches else None,
            parts=Parts(sum(in_partitions), max(in_partitions, default=0), *self._part_limits()),
            inserts=self._inserts(totals["event"]),
            by=self._breakdown(window, rows) if self._by is not None else None,
        )

    def _totals(self) -> dict[str, list[Total]]:
        """`rows` by partition, dead letters by `reason`, active `parts` by partition of the table,
        `event`s of a single server. One statement: each costs a millisecond before it reads."""
        pipeline = self._pipeline
        found: dict[str, list[Total]] = {"rows": [], "reason": [], "parts": [], "event": []}
        for kind, name, count, age in self.ask(
            "SELECT 'rows', toString(_partition), count(), "
            "toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(_inserted_at)) "
            f"FROM {self._table} WHERE {self._topic} GROUP BY _topic, _partition UNION ALL "
            f"SELECT 'reason', reason, count(), 0 FROM {self._database}.{pipeline.dead_letters} "
            f"WHERE {letters_of(pipeline)} "
            "GROUP BY _target, _topic, reason UNION ALL "
            "SELECT 'parts', partition_id, count(), 0 "
            f"FROM {shards('system.parts', self._cluster)} "
            f"WHERE active AND database = '{self._database}' "
            f"AND table = '{local(pipeline.table, self._cluster)}' "
            f"GROUP BY partition_id{by_server(self._cluster)}"
            + (f" UNION ALL {_events(None)}" if self._cluster is None else "")
        ):
            found[str(kind)].append(Total(str(name), int(count), int(age)))
        return found

    def _inserts(self, known: Sequence[Total]) -> dict[object, int] | None:
        """Args: known: those of a single server. Those of a cluster are asked for by themselves: a
        server that is away leaves all else to be told."""
        found: dict[object, int] = {each.name: each.number for each in known}
        if self._cluster is not None:
            try:
                rows = self.ask(_events(self._cluster))
            except QueryError as error:
                if meaning_of(error).cause not in {Cause.REPLICAS, Cause.NETWORK}:
                    raise
                return None
            found = {str(name): int(count) for _, name, count, _ in rows}
        return {INSERT_QUERIES: 0, INSERT_MICROSECONDS: 0, **found}

    def _part_limits(self) -> tuple[int, int]:
        """Active parts in one partition at which inserts are delayed, and refused. Asked once."""
        if self._limits is None:
            names = ("parts_to_delay_insert", "parts_to_throw_insert")
            rows = self.ask(
                "SELECT name, toUInt64(value) FROM system.merge_tree_settings "
                f"WHERE name IN {names}"
            )
            found = {str(name): int(value) for name, value in rows}
            self._limits = (found[names[0]], found[names[1]])
        return self._limits

    def _recent_rows(self, window: float) -> tuple[int, Percentiles, int, int]:
        """Rows of the window, their latency, their inserts, rows of the largest. They are read
        once and grouped twice; inserts of the same millisecond count as one."""
        rows, latency, batches, largest = self.ask(
            f"SELECT sumIf(n, NOT batch), {QUANTILES.replace('(', 'If(', 1)}(ms, n, NOT batch), "
            "countIf(batch), maxIf(n, batch) "
            f"FROM (SELECT {milliseconds()} AS ms, grouping(ms) = 1 AS batch, count() AS n "
            f"FROM {self._table} WHERE {self._recent(window)} "
            "GROUP BY GROUPING SETS ((ms), (_inserted_at)))"
        )[0]
        return int(rows), percentiles(latency if rows else ()), int(batches), int(largest)

    def _recent(self, window: float) -> str:
        since = f"now64(3) - toIntervalMillisecond({round(window * 1000)})"
        return f"{self._topic} AND _inserted_at >= {since}"

    def _breakdown(self, window: float, rows: int) -> Breakdown:
        """Args: rows: that the window has."""
        bound = READ_FOR_ONE * rows + READ_BESIDE
        try:
            found = self.ask(
                f"SELECT toString(`{self._by}`) AS value, count() AS n, "
                f"{QUANTILES}({milliseconds()}, 1), count() OVER () "
                f"FROM {self._table} WHERE {self._recent(window)} "
                f"GROUP BY value ORDER BY n DESC, value LIMIT {MAX_SLICES}",
                {"max_rows_to_read": bound, "read_overflow_mode": "throw"},
            )
        except QueryError as error:
            if meaning_of(error).cause is not Cause.ROWS:
                raise
            text = f"more than {bound:,} rows would be read for the {rows:,} of the window"
            return Breakdown(str(self._by), [], 0, text)
        slices = [
            Slice("null" if value is None else str(value), int(n), int(n) / window, percentiles(q))
            for value, n, q, _ in found
        ]
        more = int(found[0][3]) - len(slices) if found else 0
        return Breakdown(str(self._by), slices, more, None)

    def ask(self, sql: str, settings: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a read-only query."""
        return self.answer(sql, settings).rows

    def answer(self, sql: str, settings: Mapping[str, Any] | None = None) -> Answer:
        answer = self._queries.ask(sql, settings={**READ_ONLY, **(settings or {})})
        self.queries += 1
        self.read_rows += answer.read_rows
        self.seconds += answer.seconds
        return answer


def _events(cluster: str | None) -> str:
    return (
        f"SELECT 'event', event, sum(value), 0 FROM {replicas('system.events', cluster)} "
        f"WHERE event IN ('{INSERT_QUERIES}', '{INSERT_MICROSECONDS}') GROUP BY event"
    )


def percentiles(milliseconds: Sequence[float]) -> Percentiles:
    """Args: milliseconds: p50, p95, p99; empty: no rows."""
    return Percentiles(*(None if math.isnan(v) else float(v) / 1000 for v in milliseconds))


def column_by(pipeline: Pipeline, name: str) -> str:
    """The column that `--by NAME` means: its name, its last words (`type` for `event_type`), or
    `partition`.

    Raises:
        ConfigError: no column, or more than one.
    """
    columns = [*pipeline.fields, *pipeline.columns]
    if name in columns:
        return name
    if name in {"partition", "_partition"}:
        return "_partition"
    ending = [each for each in columns if each.endswith(f"_{name}")]
    if len(ending) == 1:
        return ending[0]
    raise ConfigError(
        f"--by: {name!r} "
        + (f"may be {' or '.join(ending)}" if ending else "is not a column of the table"),
        hint=f"one of: partition, {', '.join(columns)}",
    )
