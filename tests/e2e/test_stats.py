"""`stats` without its view, while a pipeline works: agreement, JSON lines, conditions, outages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

COUNT = 3000


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Under load: two thirds are stored, a third waits, and a tenth of all is invalid."""
    project = Project(tmp_path_factory.mktemp("stats"))
    project.run("init")
    project.use_free_ports()
    project.run("up")
    try:
        producer = project.start("produce", "--count", str(COUNT), "--rate", "1500",
                                 "--invalid", "10", "-q")  # fmt: skip
        project.run("consume", "--count", str(2 * COUNT // 3), "--set", "batch.max_rows=500")
        assert producer.wait(120) == 0
        producer.communicate()
        yield project
    finally:
        project.down()


def once(project: Project, *more: str, code: int = 0) -> Any:
    return project.json("stats", "--once", "--interval", "100ms", "--window", "1h", *more,
                        code=code)  # fmt: skip


def test_it_agrees_with_verify_an_independent_client_and_the_rows(stored: Project) -> None:
    shot = once(stored)
    report = stored.json("verify", code=None)
    assert shot["stored"] == report["stored"] == stored.value("SELECT count() FROM events")
    assert shot["lag_records"] == report["lag"] > 0
    address = next(f"{row['address']}" for row in stored.json("status") if row["part"] == "kafka")
    client = Consumer({"bootstrap.servers": address, "group.id": shot["group"]})
    try:
        for each in shot["lag"]:
            place = TopicPartition(shot["topic"], each["partition"])
            (committed,) = client.committed([place], timeout=30)
            low, high = client.get_watermark_offsets(place, timeout=30)
            assert (each["log_start"], each["log_end"]) == (low, high)
            assert each["lag_records"] == high - max(low, committed.offset)
            assert (each["lag_seconds"] > 0) == (each["lag_records"] > 0)
    finally:
        client.close()
    reasons = stored.rows("SELECT reason, count() AS n FROM dead_letters GROUP BY reason")
    assert shot["dead_letters_by_reason"] == {row["reason"]: row["n"] for row in reasons}
    assert shot["window_rows"] == shot["stored"]
    (exact,) = stored.rows(
        "SELECT arraySort(groupArray(date_diff('millisecond', _timestamp, _inserted_at))) AS l "
        "FROM events"
    )
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        rank = int(share * len(exact["l"]))
        least, most = exact["l"][rank - 2], exact["l"][rank + 2]
        got = round(1000 * shot["end_to_end_latency_seconds"][name])
        assert max(0, least) <= got <= max(0, most), name
    metrics = {each["name"]: each for each in shot["metrics"]}
    assert metrics["consumer_lag"]["values"][0]["value"] == shot["lag_records"]
    assert sum(v["value"] for v in metrics["dead_letters"]["values"]) == shot["dead_letters"]


def test_conditions_end_it_with_5(stored: Project) -> None:
    once(stored, "--fail-if", "lag_records < 1", "--fail-if", "lag_seconds > 1000h")
    done = stored.run("stats", "--once", "--interval", "100ms", "--fail-if",
                      "lag_records > 1", code=5)  # fmt: skip
    assert b"lag_records > 1: it is" in done.stderr
    assert b"lag_seconds" in stored.run("stats", "--fail-if", "lagg > 1", code=2).stderr


def test_lines_in_a_pipe_until_it_closes(stored: Project) -> None:
    process = stored.spawn(
        "stats", "--interval", "100ms", "--by", "type",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, environ=stored.environ | {"TERM": "dumb"},
    )  # fmt: skip
    assert process.stdout is not None
    lines = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        errors = process.stderr.read()
    assert (process.wait(60), errors) == (0, b"")
    assert lines[0]["time"] < lines[1]["time"] < lines[2]["time"]
    assert {line["version"] for line in lines} == {2}
    assert lines[2]["by"]["column"] == "event_type"


def test_a_terminal_that_cannot_be_drawn_on_gets_tables(stored: Project) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as terminal:
        process = stored.spawn(
            "stats", "--interval", "100ms", stdin=terminal, stdout=terminal,
            stderr=subprocess.DEVNULL, environ=stored.environ | {"TERM": "dumb"},
        )  # fmt: skip
    seen = b""

    def twice() -> bool:
        nonlocal seen
        seen += os.read(ours, 4096)
        return seen.count(b"verdict") >= 2

    try:
        eventually(twice, "two snapshots")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"\x1b" not in seen
