"""Whether a log is still the one whose rows are stored, where the broker gives topics no id.

Kafka before 2.8 and some brokers that speak its protocol have no ids. What is known of the log is
compared instead: a message at a stored offset has the time stamp that its row carries, and a log
never ends before an offset that it has given out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from nrtctl.intents import OffsetRange
from nrtctl.pipeline import Pipeline

MAX_TIME = 10**13
"""Milliseconds since the epoch that a row's time stamp certainly holds."""


class Queries(Protocol):
    """The part of `ClickHouseClient` that is needed here."""

    def query(self, sql: str) -> list[tuple[Any, ...]]: ...


class Ends(Protocol):
    """The part of `verify.log.LogPartition` that is needed here."""

    @property
    def partition(self) -> int: ...
    @property
    def log_start(self) -> int: ...
    @property
    def log_end(self) -> int: ...


class Log(Protocol):
    """The part of `kafka_log.KafkaLog` that is needed here."""

    def messages(self, partition: int, spans: Iterable[OffsetRange]) -> Iterator[Any]: ...


def is_another_log(
    queries: Queries,
    log: Log,
    partitions: Iterable[Ends],
    pipeline: Pipeline,
    database: str,
    incarnation: int,
) -> bool:
    """Whether the rows of `incarnation` are those of an earlier topic of the name.

    One message that is the one of its row shows that they are not. Where nothing can be compared
    (no rows, or none that the log still holds), the log is taken to be the same.
    """
    rows = _Rows(queries, pipeline, database, incarnation)
    tops = rows.highest()
    for entry in partitions:
        top = tops.get(entry.partition)
        if top is None:
            continue
        if entry.log_end == 0:
            return True
        offset = top if top < entry.log_end else rows.highest_below(entry.partition, entry.log_end)
        if offset is None or offset < entry.log_start:
            continue
        span = OffsetRange(offset, offset + 1)
        message = next(iter(log.messages(entry.partition, [span])), None)
        if message is None:  # compacted, or a marker
            continue
        sent = max(0, int(message.timestamp()[1]))
        if 0 < sent < MAX_TIME:
            return sent != rows.time_at(entry.partition, offset)
    return False


class _Rows:
    def __init__(
        self, queries: Queries, pipeline: Pipeline, database: str, incarnation: int
    ) -> None:
        self._queries = queries
        mine = f"_topic = '{pipeline.topic}' AND _incarnation = {incarnation}"
        self._tables = (
            (f"{database}.{pipeline.table}", mine),
            (f"{database}.{pipeline.dead_letters}", f"_target = '{pipeline.table}' AND {mine}"),
        )

    def _both(self, columns: str, where: str, more: str = "") -> list[tuple[Any, ...]]:
        return self._queries.query(
            " UNION ALL ".join(
                f"SELECT {columns} FROM {table} WHERE {mine}{where}{more}"
                for table, mine in self._tables
            )
        )

    def highest(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for partition, top in self._both("_partition, max(_offset)", "", " GROUP BY _partition"):
            found[int(partition)] = max(int(top), found.get(int(partition), -1))
        return found

    def highest_below(self, partition: int, end: int) -> int | None:
        where = f" AND _partition = {partition} AND _offset < {end}"
        found = [int(top) for top, count in self._both("max(_offset), count()", where) if count]
        return max(found, default=None)

    def time_at(self, partition: int, offset: int) -> int | None:
        """ms since the epoch."""
        where = f" AND _partition = {partition} AND _offset = {offset}"
        found = self._both("toUnixTimestamp64Milli(_timestamp)", where)
        return int(found[0][0]) if found else None
