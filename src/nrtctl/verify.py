"""Kafka's offsets against ClickHouse's rows: what is missing, what is there twice.

Called by `nrtctl verify` and `nrtctl demo`. Only what the group has committed is expected to be
stored; what it has not read yet is lag, not loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from nrtctl import intents
from nrtctl.intents import OffsetRange
from nrtctl.pipeline import Pipeline

MOST_RANGES = 1000


class Queries(Protocol):
    """The part of `ClickHouseClient` that verifying needs."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class LogPartition:
    """What Kafka says of one partition: its log, and what the group has committed."""

    partition: int
    log_start: int
    log_end: int
    committed: int | None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What verify says of one partition. Offsets are half-open ranges; counts are messages."""

    partition: int
    log_start: int
    log_end: int
    committed: int | None
    lag: int
    stored: int
    dead_letters: int
    missing: int
    duplicated: int
    pending: list[int] | None = None
    missing_ranges: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    topic: str
    table: str
    group: str
    stored: int
    dead_letters: int
    missing: int
    duplicated: int
    lag: int
    partitions: list[PartitionReport]

    @property
    def ok(self) -> bool:
        return self.missing == 0 and self.duplicated == 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Exists = Callable[[int, OffsetRange], int]
"""How many messages the log really holds in a range: gaps of compaction and markers are no loss."""


def verify(
    queries: Queries,
    pipeline: Pipeline,
    *,
    database: str,
    group: str,
    log: list[LogPartition],
    exists: Exists,
) -> Report:
    """Compare every partition of the topic.

    Raises:
        QueryError, ClickHouseGone: from `queries`.
    """
    counts = _counts(queries, pipeline, database)
    partitions = [
        _partition(queries, pipeline, database, entry, counts.get(entry.partition), exists)
        for entry in sorted(log, key=lambda each: each.partition)
    ]
    return Report(
        topic=pipeline.topic,
        table=pipeline.table,
        group=group,
        stored=sum(each.stored for each in partitions),
        dead_letters=sum(each.dead_letters for each in partitions),
        missing=sum(each.missing for each in partitions),
        duplicated=sum(each.duplicated for each in partitions),
        lag=sum(each.lag for each in partitions),
        partitions=partitions,
    )


@dataclass(frozen=True, slots=True)
class _Count:
    stored: int
    dead: int
    distinct: int


def _rows_of(pipeline: Pipeline, database: str, columns: str, where: str = "") -> str:
    topic = f"_topic = '{pipeline.topic}'"
    also = f" AND {where}" if where else ""
    return (
        f"SELECT {columns}, 0 AS dead FROM {database}.{pipeline.table} WHERE {topic}{also} "
        f"UNION ALL SELECT {columns}, 1 AS dead FROM {database}.{pipeline.dead_letters} "
        f"WHERE _table = '{pipeline.table}' AND {topic}{also}"
    )


def _counts(queries: Queries, pipeline: Pipeline, database: str) -> dict[int, _Count]:
    rows = queries.query(
        "SELECT _partition, countIf(dead = 0), countIf(dead = 1), uniqExact(_offset) "
        f"FROM ({_rows_of(pipeline, database, '_partition, _offset')}) GROUP BY _partition"
    )
    return {int(p): _Count(int(s), int(d), int(u)) for p, s, d, u in rows}


def _partition(
    queries: Queries,
    pipeline: Pipeline,
    database: str,
    entry: LogPartition,
    count: _Count | None,
    exists: Exists,
) -> PartitionReport:
    count = count or _Count(0, 0, 0)
    committed = entry.committed
    pending: list[int] | None = None
    try:
        intent = intents.decode_metadata(pipeline.table, committed or 0, entry.metadata)
    except intents.UnknownMetadataError:
        intent = None
    if intent is not None:
        pending = [intent.start, intent.end]
    gaps = (
        _gaps(queries, pipeline, database, entry.partition, entry.log_start, committed)
        if committed is not None and committed > entry.log_start
        else []
    )
    missing = 0
    ranges: list[list[int]] = []
    for gap in gaps:
        there = exists(entry.partition, gap)
        missing += there
        if there:
            ranges.append([gap.start, gap.end])
    return PartitionReport(
        partition=entry.partition,
        log_start=entry.log_start,
        log_end=entry.log_end,
        committed=committed,
        lag=max(0, entry.log_end - max(entry.log_start, committed or 0)),
        stored=count.stored,
        dead_letters=count.dead,
        missing=missing,
        duplicated=count.stored + count.dead - count.distinct,
        pending=pending,
        missing_ranges=ranges,
    )


def _gaps(
    queries: Queries, pipeline: Pipeline, database: str, partition: int, low: int, high: int
) -> list[OffsetRange]:
    """Ranges within [low, high) that no row names."""
    where = f"_partition = {partition} AND _offset >= {low} AND _offset < {high}"
    inside = _rows_of(pipeline, database, "_offset", where)
    rows = queries.query(
        "SELECT before + 1, _offset FROM ("
        f"SELECT _offset, lagInFrame(_offset, 1, toInt64({low - 1})) OVER ("
        "ORDER BY _offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before "
        f"FROM (SELECT DISTINCT toInt64(_offset) AS _offset FROM ({inside}) "
        f"UNION ALL SELECT toInt64({high}) AS _offset)) "
        f"WHERE _offset > before + 1 ORDER BY _offset LIMIT {MOST_RANGES}"
    )
    return [OffsetRange(int(start), int(end)) for start, end in rows]
