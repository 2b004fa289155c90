"""The snapshot of a pipeline: lag, rates, freshness, latency, rows, dead letters, parts.

Called by `nrtctl stats` and `nrtctl demo`. Percentiles are over every row of the window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from nrtctl.pipeline import Pipeline
from nrtctl.verify import LogPartition

SCHEMA_VERSION = 1

READ_ONLY = {"readonly": 2, "max_execution_time": 10, "max_result_rows": 100_000}
"""Settings of every query that stats makes."""


class Queries(Protocol):
    """The part of `ClickHouseClient` that a snapshot needs."""

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds; None where the window holds no row."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    partition: int
    log_end: int
    committed: int | None
    lag_records: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the pipeline. Times in seconds, rates in records per second."""

    version: int
    time: float
    topic: str
    table: str
    group: str
    window_seconds: float
    lag_records: int
    lag: list[PartitionLag]
    produced_per_second: float
    stored_per_second: float
    dead_letters_per_second: float
    freshness_seconds: float | None
    end_to_end_latency_seconds: Percentiles
    stored: int
    dead_letters: int
    dead_letters_by_reason: dict[str, int]
    active_parts: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def snapshot(
    queries: Queries,
    pipeline: Pipeline,
    *,
    database: str,
    group: str,
    log: Sequence[LogPartition],
    produced_per_second: float,
    window: float,
    now: float,
) -> Snapshot:
    """Look once.

    Args:
        log: the topic's partitions and the group's offsets, now.
        produced_per_second: growth of the log ends, measured by the caller.
        window: seconds of rows that rates and percentiles are taken over.
        now: seconds since the epoch.
    """
    table = f"{database}.{pipeline.table}"
    letters = f"{database}.{pipeline.dead_letters}"
    topic = f"_topic = '{pipeline.topic}'"
    mine = f"_table = '{pipeline.table}' AND {topic}"
    since = f"_inserted_at >= now64(3) - toIntervalMillisecond({round(window * 1000)})"

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return queries.query(sql, settings=READ_ONLY)

    stored = int(ask(f"SELECT count() FROM {table} WHERE {topic}")[0][0])
    recent, *latencies = ask(
        "SELECT count(), quantilesExact(0.5, 0.95, 0.99)"
        "(greatest(0, toUnixTimestamp64Milli(_inserted_at) - toUnixTimestamp64Milli(_timestamp)) "
        f"/ 1000.) FROM {table} WHERE {topic} AND {since}"
    )[0]
    newest = ask(
        f"SELECT count(), toUnixTimestamp64Milli(max(_inserted_at)) FROM {table} WHERE {topic}"
    )[0]
    reasons = {
        str(reason): int(count)
        for reason, count in ask(
            f"SELECT reason, count() FROM {letters} WHERE {mine} GROUP BY reason "
            "ORDER BY count() DESC, reason LIMIT 50"
        )
    }
    dead = int(ask(f"SELECT count() FROM {letters} WHERE {mine}")[0][0])
    dead_recent = int(ask(f"SELECT count() FROM {letters} WHERE {mine} AND {since}")[0][0])
    parts = ask(
        "SELECT count() FROM system.parts WHERE active "
        f"AND database = '{database}' AND table = '{pipeline.table}'"
    )
    lags = [
        PartitionLag(
            each.partition,
            each.log_end,
            each.committed,
            max(0, each.log_end - max(each.log_start, each.committed or 0)),
        )
        for each in sorted(log, key=lambda each: each.partition)
    ]
    return Snapshot(
        version=SCHEMA_VERSION,
        time=now,
        topic=pipeline.topic,
        table=pipeline.table,
        group=group,
        window_seconds=window,
        lag_records=sum(each.lag_records for each in lags),
        lag=lags,
        produced_per_second=produced_per_second,
        stored_per_second=int(recent) / window,
        dead_letters_per_second=dead_recent / window,
        freshness_seconds=max(0.0, now - int(newest[1]) / 1000) if newest[0] else None,
        end_to_end_latency_seconds=_percentiles(latencies[0] if int(recent) else ()),
        stored=stored,
        dead_letters=dead,
        dead_letters_by_reason=reasons,
        active_parts=int(parts[0][0]),
    )


def _percentiles(values: Sequence[float]) -> Percentiles:
    p50, p95, p99 = [None if math.isnan(v) else float(v) for v in values] or [None, None, None]
    return Percentiles(p50, p95, p99)
