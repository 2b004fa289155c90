"""A Spark job: read the events of whole hours from ClickHouse, write a row an hour and event type.

    spark-submit --jars JARS hourly.py --from 2026-01-31T09:00:00Z --until 2026-01-31T12:00:00Z

Without times it is about the last whole hour. Both ways go through ClickHouse's JDBC driver. The
address, the login and the database are those of nrtctl's environment: NRTCTL_CLICKHOUSE__URL,
NRTCTL_CLICKHOUSE__USERNAME, NRTCTL_CLICKHOUSE__PASSWORD and NRTCTL_CLICKHOUSE__DATABASE.

An hour may be computed as often as one likes: its rows replace those of the run before, and an
event type that is no longer there is deleted. See docs/spark.md.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DRIVER = "com.clickhouse.jdbc.Driver"
HOUR = timedelta(hours=1)
SLICES = 4
"""An hour is read in so many parts, which Spark's executors ask for side by side."""

EVENTS = """
(SELECT
    toInt64(toUnixTimestamp64Milli(event_time)) AS at,
    toString(event_type) AS event_type,
    toString(status) AS status,
    toString(user_id) AS user_id,
    toInt64(request_latency_ms) AS latency_ms,
    event_time
FROM {table}) AS events
"""
"""Over the reference events. For another pipeline this, TABLE and `aggregated` are what to change.
Columns have types that Spark knows: it has none for UUID or UInt32."""

TABLE = """
CREATE TABLE IF NOT EXISTS {into} (
    hour DateTime('UTC'),
    event_type LowCardinality(String),
    total_events Int64,
    error_count Int64,
    users Int64,
    avg_latency_ms Float64,
    p95_latency_ms Float64,
    computed_at DateTime64(3, 'UTC')
) ENGINE = ReplacingMergeTree(computed_at) ORDER BY (hour, event_type)
"""
"""Spark may write rows twice when it tries a task again; the engine keeps a key's newest row."""

OLDER = """
DELETE FROM {into}
WHERE hour >= toDateTime({begin}) AND hour < toDateTime({end})
    AND computed_at < fromUnixTimestamp64Milli({computed_at})
"""
"""What this run did not write. `begin`, `end`: seconds since the epoch; `computed_at`: ms."""


def aggregated(events: DataFrame, computed_at: datetime) -> DataFrame:
    """A row for each hour (UTC, of event time) and event type. The 95th percentile is exact."""
    from pyspark.sql import functions as f

    at = f.timestamp_millis("at")
    return (
        events.groupBy(f.date_trunc("hour", at).alias("hour"), "event_type")
        .agg(
            f.count("*").alias("total_events"),
            f.count_if(f.col("status") == "ERROR").alias("error_count"),
            f.count_distinct("user_id").alias("users"),
            f.avg("latency_ms").alias("avg_latency_ms"),
            f.percentile("latency_ms", 0.95).alias("p95_latency_ms"),
        )
        .withColumn("computed_at", f.lit(computed_at))
    )


def slices(begin: datetime, end: datetime) -> Iterator[str]:
    """The SQL conditions of the parts that are read side by side."""
    step = HOUR / SLICES
    while begin < end:
        yield f"event_time >= {moment(begin)} AND event_time < {moment(begin + step)}"
        begin += step


def moment(at: datetime) -> str:
    return f"fromUnixTimestamp64Milli({milliseconds(at)})"


def milliseconds(at: datetime) -> int:
    """Since the epoch. Whole ones are exact: no float takes part."""
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def setting(name: str, default: str) -> str:
    """Without the line end of the file that it was made from, as nrtctl reads it."""
    given = os.environ.get(f"NRTCTL_CLICKHOUSE__{name}", "")
    return (
        given.removesuffix("\n").removesuffix("\r") if given.endswith("\n") else given
    ) or default


class ClickHouse:
    """ClickHouse through its JDBC driver."""

    def __init__(self, spark: SparkSession) -> None:
        url = urlsplit(setting("URL", "http://127.0.0.1:8123"))
        self.database = setting("DATABASE", "nrt")
        self._spark = spark
        secure = url.scheme == "https"
        port = url.port or (8443 if secure else 8123)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        self.url = f"jdbc:clickhouse:{url.scheme}://{host}:{port}/{self.database}"
        self._login = {
            "user": setting("USERNAME", "default"),
            "password": setting("PASSWORD", ""),
        }

    def read(self, query: str, conditions: list[str]) -> DataFrame:
        properties = {"driver": DRIVER, **self._login}
        return self._spark.read.jdbc(self.url, query, predicates=conditions, properties=properties)

    def append(self, rows: DataFrame, table: str) -> None:
        properties = {"driver": DRIVER, **self._login}
        rows.write.jdbc(self.url, table, mode="append", properties=properties)

    def run(self, statement: str) -> None:
        """A statement without a result, by the driver and not by Spark, which has no such call."""
        jvm = self._spark.sparkContext._jvm
        properties = jvm.java.util.Properties()
        for name, value in self._login.items():
            properties.setProperty(name, value)
        connection = jvm.com.clickhouse.jdbc.Driver().connect(self.url, properties)
        try:
            connection.createStatement().execute(statement)
        finally:
            connection.close()


def run(spark: SparkSession, table: str, into: str, begin: datetime, end: datetime) -> int:
    """Compute the hours from `begin` until `end`; how many rows were written."""
    clickhouse = ClickHouse(spark)
    computed_at = datetime.now(UTC)
    clickhouse.run(TABLE.format(into=into))
    events = clickhouse.read(EVENTS.format(table=table), list(slices(begin, end)))
    rows = aggregated(events, computed_at).coalesce(1).cache()
    count = rows.count()
    clickhouse.append(rows, into)
    clickhouse.run(older(into, begin, end, computed_at))
    return count


def older(into: str, begin: datetime, end: datetime, computed_at: datetime) -> str:
    return OLDER.format(
        into=into,
        begin=int(begin.timestamp()),
        end=int(end.timestamp()),
        computed_at=milliseconds(computed_at),
    )


def hour(text: str) -> datetime:
    """A whole hour as ISO 8601 with a zone: 2026-01-31T09:00:00Z."""
    try:
        at: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or at.timestamp() % 3600:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole hour with its zone, such as 2026-01-31T09:00:00Z"
        )
    return at.astimezone(UTC)


def name(text: str) -> str:
    """A table's name, which goes into SQL."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a table's name of letters, digits and _")
    return text


def main() -> int:
    from pyspark.sql import SparkSession

    last = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--table", type=name, default="events", help="the pipeline's table")
    parser.add_argument("--into", type=name, default="hourly_events", help="made if it is missing")
    parser.add_argument(
        "--from", dest="begin", type=hour, default=last - HOUR,
        help="the first hour, such as 2026-01-31T09:00:00Z; else the last whole one",
    )  # fmt: skip
    parser.add_argument(
        "--until", dest="end", type=hour, help="the hour after the last one; else one hour is read"
    )
    given = parser.parse_args()
    begin, end = given.begin, given.end or given.begin + HOUR
    if end <= begin:
        parser.error("--until must be later than --from")
    session = SparkSession.builder.appName("nrtctl hourly")
    spark = session.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    try:
        count = run(spark, given.table, given.into, begin, end)
    finally:
        spark.stop()
    print(f"{given.into}: {count} rows from {begin:%Y-%m-%dT%H:%MZ} until {end:%Y-%m-%dT%H:%MZ}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
