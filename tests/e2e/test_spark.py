"""The job of deploy/spark in Apache Spark, over a local stack, by ClickHouse's JDBC driver."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.plugins.airflow import Airflow
from tests.plugins.spark import Spark
from tests.plugins.stack import Project

# The first run on a machine installs Spark.
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

NINE = 1_767_258_000_000
"""2026-01-01T09:00:00Z, in ms."""
HOUR = 3_600_000
HOURS = ("--from", "2026-01-01T09:00:00Z", "--until", "2026-01-01T11:00:00Z")
EXACT = """
SELECT toStartOfHour(event_time) AS hour, event_type, count() AS total_events,
    countIf(status = 'ERROR') AS error_count, uniqExact(user_id) AS users,
    avg(request_latency_ms) AS avg_latency_ms,
    quantileExactInclusive(0.95)(request_latency_ms) AS p95_latency_ms
FROM events WHERE event_timestamp >= {begin} AND event_timestamp < {end}
GROUP BY ALL ORDER BY ALL
"""
WRITTEN = """
SELECT * EXCEPT computed_at FROM hourly_events FINAL ORDER BY ALL
"""


def send(stack: Project, count: int) -> None:
    """Events over three hours, five types of them, with values that differ."""
    types = ("SEARCH", "VIEW_PRODUCT", "ADD_TO_CART", "CHECKOUT", "PAYMENT")
    lines = [
        json.dumps(
            {
                "event_id": f"00000000-0000-4000-a000-{number:012d}",
                "user_id": f"00000000-0000-4000-a000-{number % 97:012d}",
                "session_id": "00000000-0000-4000-a000-000000000002",
                "event_type": types[number % 7 % 5],
                "event_timestamp": NINE + number * 3 * HOUR // count,
                "request_latency_ms": number * 31 % 1009,
                "status": "ERROR" if number % 11 == 0 else "SUCCESS",
            }
        )
        for number in range(count)
    ]
    stack.run("produce", "--input", "-", stdin="\n".join(lines).encode())
    stack.run("consume", "--until-end")


def rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Averages of two programs may differ in the last bit."""
    return [{n: round(v, 6) if isinstance(v, float) else v for n, v in row.items()} for row in rows]


def expected(stack: Project, hours: int) -> list[dict[str, Any]]:
    return rounded(stack.rows(EXACT.format(begin=NINE, end=NINE + hours * HOUR)))


def test_hours_are_written_and_written_again(spark: Spark, stack: Project) -> None:
    send(stack, 3000)
    done = spark.run(stack, *HOURS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "hourly_events: 10 rows from 2026-01-01T09:00Z until 2026-01-01T11:00Z" in done.stdout
    assert len(expected(stack, 2)) == 10
    assert rounded(stack.rows(WRITTEN)) == expected(stack, 2)

    stack.run(
        *("query", "--write"),
        "ALTER TABLE events DELETE WHERE event_type = 'PAYMENT' OR request_latency_ms > 900 "
        "SETTINGS mutations_sync = 2",
    )
    done = spark.run(stack, *HOURS)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(expected(stack, 2)) == 8
    assert rounded(stack.rows(WRITTEN)) == expected(stack, 2)
    assert stack.rows("SELECT count() AS n FROM hourly_events") == [{"n": 8}]


def test_what_cannot_be_done_is_said(spark: Spark, stack: Project) -> None:
    done = spark.run(stack, "--table", "nothing", *HOURS)
    assert done.returncode != 0
    assert "UNKNOWN_TABLE" in done.stdout + done.stderr


def test_the_dag_calls_the_job(airflow: Airflow, spark: Spark, stack: Project) -> None:
    send(stack, 300)
    more = {
        **spark.environ(stack),
        "AIRFLOW_VAR_NRTCTL_SPARK_JOB": json.dumps(spark.words),
    }
    passed, log = airflow.test(stack, "nrtctl_hourly", "2026-01-01T10:00:00+00:00", more=more)
    assert passed, log[-4000:]
    airflow.notifications.take()
    assert rounded(stack.rows(WRITTEN)) == expected(stack, 1)
