"""What deploy/spark/hourly.py says to ClickHouse, and its arguments, without Spark.

`tests/e2e/test_spark.py` has the whole of it in Spark, in `make test-long`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.clickhouse_front import ClickHouseFront

JOB = Path(__file__).parents[3] / "deploy" / "spark" / "hourly.py"
NINE = datetime(2026, 1, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = 1_767_258_000_000
"""Nine o'clock, in ms."""


@pytest.fixture(scope="module")
def hourly() -> Any:
    spec = importlib.util.spec_from_file_location("spark_hourly", JOB)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(front: ClickHouseFront, sql: str) -> list[dict[str, Any]]:
    text = front.sql(f"{sql} FORMAT JSONEachRow", output_format_json_quote_64bit_integers=0)
    return [json.loads(line) for line in text.splitlines()]


def test_parts_of_hours_have_each_event_once(
    hourly: Any, clickhouse_front: ClickHouseFront
) -> None:
    front = clickhouse_front
    front.sql(
        "CREATE OR REPLACE TABLE spark_events (event_id UUID, event_type LowCardinality(String), "
        "status LowCardinality(String), user_id UUID, request_latency_ms UInt32, "
        "event_time DateTime64(3)) ENGINE = MergeTree ORDER BY event_time"
    )
    front.sql(
        "INSERT INTO spark_events SELECT generateUUIDv4(), 'SEARCH', 'ERROR', toUUID("
        "'00000000-0000-4000-a000-000000000001'), 4294967295, "
        f"fromUnixTimestamp64Milli(toInt64({FIRST} - 1 + number * 899_999)) FROM numbers(12)"
    )
    read = hourly.EVENTS.format(table="spark_events")
    conditions = list(hourly.slices(NINE, NINE + 2 * HOUR))
    parts = [
        rows(front, f"SELECT at, event_type, status, user_id, latency_ms FROM {read} WHERE {each}")
        for each in conditions
    ]
    wanted = [FIRST - 1 + number * 899_999 for number in range(1, 9)]
    assert sorted(row["at"] for part in parts for row in part) == wanted
    assert len(parts) == 8
    assert all(parts)
    assert parts[0][0] == {
        "at": wanted[0], "event_type": "SEARCH", "status": "ERROR",
        "user_id": "00000000-0000-4000-a000-000000000001", "latency_ms": 4_294_967_295,
    }  # fmt: skip


def test_the_newest_row_of_a_key_stays(hourly: Any, clickhouse_front: ClickHouseFront) -> None:
    front, into = clickhouse_front, "spark_hourly"
    front.sql(f"DROP TABLE IF EXISTS {into}")
    for _ in range(2):
        front.sql(hourly.TABLE.format(into=into))
    computed = datetime(2026, 1, 2, 0, 0, 0, 123_999, tzinfo=UTC)

    def write(hour: datetime, kind: str, total: int, at: str) -> None:
        front.sql(
            f"INSERT INTO {into} VALUES ({int(hour.timestamp())}, '{kind}', {total}, 0, 1, 1, 1, "
            f"'2026-01-02 00:00:00.{at}')"
        )

    write(NINE, "SEARCH", 1, "122")
    write(NINE, "PAYMENT", 2, "122")
    write(NINE + HOUR, "PAYMENT", 3, "122")
    write(NINE - HOUR, "PAYMENT", 4, "122")
    write(NINE, "SEARCH", 5, "123")
    write(NINE, "SEARCH", 5, "123")
    front.sql(hourly.older(into, NINE, NINE + HOUR, computed))
    left = rows(front, f"SELECT hour, total_events FROM {into} FINAL ORDER BY hour")
    assert left == [
        {"hour": "2026-01-01 08:00:00", "total_events": 4},
        {"hour": "2026-01-01 09:00:00", "total_events": 5},
        {"hour": "2026-01-01 10:00:00", "total_events": 3},
    ]


def test_arguments_that_go_into_sql_are_checked(hourly: Any) -> None:
    assert hourly.hour("2026-01-01T10:00:00+01:00") == NINE
    for text in ("2026-01-01T09:00:00", "2026-01-01T09:30:00Z", "yesterday"):
        with pytest.raises(argparse.ArgumentTypeError, match="no whole hour with its zone"):
            hourly.hour(text)
    assert hourly.name("events_2") == "events_2"
    for text in ("", "2events", "a b", "events;DROP", "`events`", "nrt.events", "événements"):
        with pytest.raises(argparse.ArgumentTypeError, match="not a table's name"):
            hourly.name(text)


def test_the_login_is_read_as_nrtctl_reads_it(hourly: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NRTCTL_CLICKHOUSE__URL", "https://clickhouse.test\n")
    monkeypatch.setenv("NRTCTL_CLICKHOUSE__USERNAME", "spark\r\n")
    monkeypatch.setenv("NRTCTL_CLICKHOUSE__PASSWORD", "its secret \n")
    found = hourly.ClickHouse(None)
    assert found.url == "jdbc:clickhouse:https://clickhouse.test:8443/nrt"
    assert found._login == {"user": "spark", "password": "its secret "}
