"""What a look asks ClickHouse, as SQL, and what the answers are. Used by `watcher`.

Nothing here reads the whole table: totals come from projections that keep counts, and the rows of
the window from one that is sorted by the time of the insert (docs/decisions/0009).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nrtctl.cluster import by_server, local, shards
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.snapshot import Breakdown, Parts, Percentiles, Slice

READ_ONLY = {"readonly": 2, "max_execution_time": 10, "max_result_rows": 100_000}
"""Settings of every query that stats makes."""

MOST_SLICES = 50
MOST_REASONS = 50

_MILLISECONDS = (
    "greatest(0, toUnixTimestamp64Milli(_inserted_at) - toUnixTimestamp64Milli(_timestamp))"
)
_QUANTILES = "quantilesExactWeighted(0.5, 0.95, 0.99)"
"""Whole milliseconds have few distinct values, so counting each of them is exact and cheap."""


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


@dataclass(frozen=True, slots=True)
class TableLook:
    stored: int
    freshness: float | None
    by_reason: dict[str, int]
    window_rows: int
    latency: Percentiles
    batches: int
    batched_rows: int
    largest_batch: int | None
    parts: Parts
    insert_queries: int
    insert_microseconds: int
    by: Breakdown | None


class TableSide:
    """The questions, for one pipeline; counts what they cost.

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
        self._topic = f"_topic = '{pipeline.topic}'"
        self.queries = 0
        self.read_rows = 0
        self.seconds = 0.0

    def look(self, window: float) -> TableLook:
        """Args: window: seconds. Raises QueryError, ClickHouseGone."""
        stored, age = self.ask(
            "SELECT sum(n), toUnixTimestamp64Milli(now64(3)) - toUnixTimestamp64Milli(max(at)) "
            "FROM (SELECT count() AS n, max(_inserted_at) AS at "
            f"FROM {self._table} WHERE {self._topic} GROUP BY _topic, _partition)"
        )[0]
        rows, latency = self.ask(
            f"SELECT sum(n), {_QUANTILES}(ms, n) FROM (SELECT {_MILLISECONDS} AS ms, count() AS n "
            f"FROM {self._table} WHERE {self._recent(window)} GROUP BY ms)"
        )[0]
        batched, batches, largest = self.ask(
            f"SELECT sum(n), count(), max(n) FROM (SELECT count() AS n FROM {self._table} "
            f"WHERE {self._recent(window)} GROUP BY _partition, _inserted_at)"
        )[0]
        active, most, delayed, refused, inserts, microseconds = self.ask(
            "SELECT sum(n), max(n), "
            "(SELECT toUInt64(value) FROM system.merge_tree_settings "
            "WHERE name = 'parts_to_delay_insert'), "
            "(SELECT toUInt64(value) FROM system.merge_tree_settings "
            "WHERE name = 'parts_to_throw_insert'), "
            "(SELECT sumIf(value, event = 'InsertQuery') FROM system.events), "
            "(SELECT sumIf(value, event = 'InsertQueryTimeMicroseconds') FROM system.events) "
            f"FROM (SELECT count() AS n FROM {shards('system.parts', self._cluster)} "
            f"WHERE active AND database = '{self._database}' "
            f"AND table = '{local(self._pipeline.table, self._cluster)}' "
            f"GROUP BY partition_id{by_server(self._cluster)})"
        )[0]
        return TableLook(
            stored=int(stored or 0),
            freshness=max(0, int(age)) / 1000 if stored else None,
            by_reason=self._reasons(),
            window_rows=int(rows or 0),
            latency=percentiles(latency if rows else ()),
            batches=int(batches),
            batched_rows=int(batched or 0),
            largest_batch=int(largest) if batches else None,
            parts=Parts(int(active or 0), int(most or 0), int(delayed), int(refused)),
            insert_queries=int(inserts),
            insert_microseconds=int(microseconds),
            by=self._breakdown(window) if self._by is not None else None,
        )

    def _recent(self, window: float) -> str:
        since = f"now64(3) - toIntervalMillisecond({round(window * 1000)})"
        return f"{self._topic} AND _inserted_at >= {since}"

    def _reasons(self) -> dict[str, int]:
        rows = self.ask(
            f"SELECT reason, count() AS n FROM {self._database}.{self._pipeline.dead_letters} "
            f"WHERE _target = '{self._pipeline.table}' AND {self._topic} "
            "GROUP BY _target, _topic, reason ORDER BY n DESC, reason"
        )
        return {str(reason): int(count) for reason, count in rows}

    def _breakdown(self, window: float) -> Breakdown:
        rows = self.ask(
            f"SELECT toString(`{self._by}`) AS value, count() AS n, "
            f"{_QUANTILES}({_MILLISECONDS}, 1), count() OVER () "
            f"FROM {self._table} WHERE {self._recent(window)} "
            f"GROUP BY value ORDER BY n DESC, value LIMIT {MOST_SLICES}"
        )
        slices = [
            Slice("null" if value is None else str(value), int(n), int(n) / window, percentiles(q))
            for value, n, q, _ in rows
        ]
        return Breakdown(str(self._by), slices, int(rows[0][3]) - len(slices) if rows else 0)

    def ask(self, sql: str, settings: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a read-only query."""
        return self.answer(sql, settings).rows

    def answer(self, sql: str, settings: Mapping[str, Any] | None = None) -> Answer:
        answer = self._queries.ask(sql, settings={**READ_ONLY, **(settings or {})})
        self.queries += 1
        self.read_rows += answer.read_rows
        self.seconds += answer.seconds
        return answer


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
        + (f"may be {' or '.join(ending)}" if ending else "is no column of the table"),
        hint=f"one of: partition, {', '.join(columns)}",
    )
