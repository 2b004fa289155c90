"""`--metrics-port`, scraped as Prometheus would while a stack is under load."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from tests.plugins.exposition import by_label, complaints, get, total
from tests.plugins.ports import free_port
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

_URL = re.compile(rb"metrics: (http://\S+)/metrics")


def url_of(process: subprocess.Popen[bytes]) -> str:
    """What the command says on stderr."""
    assert process.stderr is not None
    seen = b""
    while line := process.stderr.readline():
        if match := _URL.search(line):
            return match[1].decode()
        seen += line
    raise AssertionError(seen.decode())


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("count", "outage"), [(3000, False), pytest.param(9000, True, marks=pytest.mark.long)]
)
def test_a_consumer_under_load_counts_what_verify_counts(
    stack: Project, count: int, outage: bool
) -> None:
    consumer = stack.start("consume", "--metrics-port", "0", "--set", "batch.max_rows=500")
    producer = stack.start(
        "produce",
        "--count",
        str(count),
        "--rate",
        str(count // 3),
        "--invalid",
        "10",
        "--metrics-port",
        "0",
    )
    rude: list[socket.socket] = []
    stats: subprocess.Popen[bytes] | None = None
    try:
        source, url = url_of(producer), url_of(consumer)
        for _ in range(4):  # scrapers that ask and never read, or never ask
            parts = urlsplit(url)
            rude.append(socket.create_connection((parts.hostname, parts.port), timeout=60))
            rude[-1].sendall(b"GET /metrics HTTP/1.0\r\n\r\n"[: 24 - 8 * (len(rude) % 2)])
        sent = 0.0

        def begun() -> bool:
            return total(get(f"{source}/metrics")[1], "nrtctl_producer_records_sent_total") > 0

        eventually(begun, "the first message is sent")
        while producer.poll() is None:
            try:
                text = get(f"{source}/metrics")[1]
            except OSError:
                break  # it has ended
            assert complaints(text) == []
            before, sent = sent, total(text, "nrtctl_producer_records_sent_total")
            assert before <= sent
            assert sent >= total(text, "nrtctl_producer_records_acknowledged_total")
            assert complaints(get(f"{url}/metrics")[1]) == []
            time.sleep(0.3)
        assert producer.wait(60) == 0
        assert get(f"{url}/healthz") == (200, "ok\n")
        wait_until_ready(url)
        eventually(lambda: stack.json("verify", code=None)["lag"] == 0, "lag")

        def counted() -> bool:
            text = get(f"{url}/metrics")[1]
            names = ("nrtctl_rows_inserted_total", "nrtctl_records_dead_lettered_total")
            return sum(total(text, name) for name in names) == count

        eventually(counted, get(f"{url}/metrics")[1])
        eventually(
            lambda: total(get(f"{url}/metrics")[1], "nrtctl_consumer_unstored_records") == 0, "lag"
        )
        text = get(f"{url}/metrics")[1]
        busy = stack.run("consume", "--metrics-port", str(urlsplit(url).port), code=2)
        assert b"is in use" in busy.stderr
        report = stack.json("verify")
        reasons = stack.rows("SELECT reason, count() AS n FROM dead_letters GROUP BY reason")
        stats = stack.start("stats", "--serve", "0")
        looked = url_of(stats)
        wait_until_ready(looked)
        snapshot = get(f"{looked}/metrics")[1]
        if outage:
            go_and_come_back(stack, url, looked)
        for process in (consumer, stats):
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
    finally:
        for each in rude:
            each.close()
        end(consumer)
        if stats is not None:
            end(stats)
        end(producer)
    assert complaints(text) == []
    assert total(text, "nrtctl_records_consumed_total") == count
    assert total(text, "nrtctl_rows_inserted_total") == report["stored"]
    assert by_label(text, "nrtctl_records_dead_lettered_total", "reason") == {
        row["reason"]: row["n"] for row in reasons
    }
    by_partition = by_label(text, "nrtctl_records_consumed_total", "partition")
    assert len(by_partition) == 4
    assert total(text, "nrtctl_batch_rows_sum") == count
    assert total(text, "nrtctl_end_to_end_latency_seconds_count") == count
    mean = total(text, "nrtctl_end_to_end_latency_seconds_sum") / count
    assert 0 < mean < 60
    batches = total(text, "nrtctl_batch_rows_count")
    assert total(text, "nrtctl_insert_duration_seconds_count") == batches
    assert total(text, "nrtctl_clickhouse_active_parts") > 0
    assert "nrtctl_consumer_unstored_records{" in text
    assert total(text, "nrtctl_consumer_unstored_seconds") == 0
    assert total(text, "nrtctl_consumer_assigned_partitions") == 4

    assert complaints(snapshot) == []
    assert total(snapshot, "nrtctl_up") == 2
    assert total(snapshot, "nrtctl_table_rows") == report["stored"]
    assert total(snapshot, "nrtctl_consumer_lag_records") == 0
    assert total(snapshot, "nrtctl_committed_offset") == count
    assert total(snapshot, "nrtctl_log_end_offset") == count
    assert by_label(snapshot, "nrtctl_dead_letter_rows", "reason") == {
        row["reason"]: row["n"] for row in reasons
    }
    assert total(snapshot, "nrtctl_consumer_members") == 1


def go_and_come_back(stack: Project, consumer: str, stats: str) -> None:
    """Both servers are killed, and started again."""
    for row in stack.json("status"):
        os.kill(row["pid"], signal.SIGKILL)
    for told in (consumer, stats):
        wait_until_gone(told)
    assert total(get(f"{stats}/metrics")[1], "nrtctl_up") == 0
    stack.run("up")
    for told in (consumer, stats):
        wait_until_ready(told)
    assert total(get(f"{stats}/metrics")[1], "nrtctl_up") == 2


def wait_until_ready(url: str) -> None:
    eventually(lambda: get(f"{url}/readyz") == (200, "ok\n"), "readiness")


def wait_until_gone(url: str) -> None:
    """Alive, not ready, and it says which two do not answer."""

    def gone() -> bool:
        status, text = get(f"{url}/readyz")
        return status == 503 and all(name in text.lower() for name in ("kafka", "clickhouse"))

    eventually(gone, "neither Kafka nor ClickHouse")
    assert get(f"{url}/healthz")[0] == 200


def test_stats_serves_until_a_condition_holds(stack: Project) -> None:
    stats = stack.start("stats", "--serve", "0", "--fail-if", "lag_records >= 500")
    try:
        url = url_of(stats)
        wait_until_ready(url)
        stack.run("produce", "--count", "400")
        eventually(
            lambda: total(get(f"{url}/metrics")[1], "nrtctl_consumer_lag_records") == 400, "400"
        )
        stack.run("produce", "--count", "100")
        _, errors = stats.communicate(timeout=60)
    finally:
        end(stats)
    assert stats.returncode == 5
    assert b"lag_records >= 500: it is 500" in errors


def test_each_worker_serves_its_own(stack: Project) -> None:
    stack.run("produce", "--count", "400")
    port = free_port(2)
    parent = stack.start("consume", "--workers", "2", "--metrics-port", str(port))
    urls = [f"http://127.0.0.1:{port + number}" for number in range(2)]
    try:

        def stored() -> bool:
            try:
                texts = [get(f"{url}/metrics")[1] for url in urls]
            except OSError:
                return False
            return sum(total(text, "nrtctl_records_consumed_total") for text in texts) == 400

        eventually(stored, "400 records")
        parent.send_signal(signal.SIGINT)
        assert parent.wait(60) == 0
    finally:
        end(parent)
    stack.run("consume", "--workers", "2", "--metrics-port", "0", code=2)
