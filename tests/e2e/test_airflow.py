"""The DAGs of deploy/airflow in Apache Airflow, over a local stack, with the installed command."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.plugins.airflow import Airflow
from tests.plugins.stack import Project

# The first run on a machine installs Airflow.
pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NINE = 1_767_258_000_000
"""2026-01-01T09:00:00Z, in ms."""
HOUR = 3_600_000
RUN_AT_TEN = "2026-01-01T10:00:00+00:00"


def event(number: int, time: int, **more: Any) -> dict[str, Any]:
    plain = {
        "event_id": f"00000000-0000-4000-a000-{number:012d}",
        "user_id": "00000000-0000-4000-a000-000000000001",
        "session_id": "00000000-0000-4000-a000-000000000002",
        "event_type": "SEARCH",
        "event_timestamp": time,
        "request_latency_ms": 10,
        "status": "SUCCESS",
    }
    return plain | more


def message(timestamp: int, value: Any) -> dict[str, Any]:
    return {"nrtctl_message": 1, "timestamp": timestamp, "key": "k", "headers": [], "value": value}


def send(stack: Project, messages: Iterable[dict[str, Any]]) -> None:
    """Kafka messages with timestamps of their own, sent and stored."""
    lines = "".join(f"{json.dumps(each)}\n" for each in messages)
    stack.run("produce", "--input", "-", "--format", "messages", stdin=lines.encode())
    stack.run("consume", "--until-end")


def test_an_hour_is_measured_verified_and_told(airflow: Airflow, stack: Project) -> None:
    good = [
        event(1, NINE - 1),
        event(2, NINE),
        event(3, NINE + HOUR - 1, request_latency_ms=15),
        event(4, NINE + 1, event_type="PAYMENT", status="ERROR", error_code=500),
        event(5, NINE + HOUR),
    ]
    send(stack, [message(each["event_timestamp"], json.dumps(each)) for each in good])
    passed, log = airflow.test(stack, "nrtctl_hourly", RUN_AT_TEN)
    assert passed, log[-4000:]
    path = airflow.metrics / "2026-01-01" / "09.jsonl"
    names = ("event_type", "total_events", "success_count", "error_count", "avg_latency_ms")
    written = path.read_text()
    rows = [json.loads(line) for line in written.splitlines()]
    assert rows == [
        dict(zip(names, ("PAYMENT", 1, 0, 1, 10.0), strict=True)),
        dict(zip(names, ("SEARCH", 2, 2, 0, 12.5), strict=True)),
    ]
    (told,) = airflow.notifications.take()
    assert (told["outcome"], told["from"], told["until"]) == (
        "ok", "2026-01-01T09:00:00Z", "2026-01-01T10:00:00Z",
    )  # fmt: skip
    assert told["metrics"] == {"file": str(path), "event_types": 2}
    assert (told["verify"]["stored"], told["verify"]["missing"]) == (5, 0)

    stack.run(
        *("query", "--write"),
        "ALTER TABLE events DELETE WHERE event_id = '00000000-0000-4000-a000-000000000005' "
        "SETTINGS mutations_sync = 2",
    )
    before = path.stat().st_ino
    passed, log = airflow.test(stack, "nrtctl_hourly", RUN_AT_TEN)
    assert not passed, log[-4000:]
    (told,) = airflow.notifications.take()
    assert (told["outcome"], told["task"]) == ("failed", "verify")
    assert "1 missing" in told["error"]
    assert path.read_text() == written
    assert path.stat().st_ino != before
    assert [each.name for each in path.parent.iterdir()] == ["09.jsonl"]


def test_dead_letters_are_counted_judged_and_replayed(airflow: Airflow, stack: Project) -> None:
    late = event(1, NINE, request_latency_ms=700_000)
    latin = {"base64": base64.b64encode(b"\xff").decode()}
    send(
        stack,
        [
            *(message(NINE + number, "no JSON") for number in range(3)),
            message(NINE, latin),
            message(NINE + 1, json.dumps(late)),
            message(NINE + HOUR, "no JSON"),
        ],
    )
    dag = "nrtctl_dead_letters"
    passed, log = airflow.test(stack, dag, RUN_AT_TEN, conf={"most": 4})
    assert not passed, log[-4000:]
    (told,) = airflow.notifications.take()
    assert (told["outcome"], told["task"]) == ("failed", "judge")
    assert "5 dead letters, more than 4: 3 not JSON" in told["error"]
    assert not any(each["tries"] for each in stack.json("dlq", "list"))

    rule = '"latency out of range" = "request_latency_ms > 600000"\n'
    settings = stack.directory / "nrtctl.toml"
    settings.write_text(settings.read_text().replace(rule, ""))
    stack.run("up")
    conf = {"most": 1, "replay": "execute", "reasons": ["latency out of range"]}
    passed, log = airflow.test(stack, dag, RUN_AT_TEN, conf=conf)
    assert passed, log[-4000:]
    (told,) = airflow.notifications.take()
    assert told["dead_letters"] == {"latency out of range": 1}
    report = stack.json("verify")
    assert (report["stored"], report["dead_letters"], report["missing"]) == (1, 5, 0)
