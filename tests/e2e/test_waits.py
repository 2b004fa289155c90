"""What the consumer says while it waits, and how it ends while it does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

CLOSING_SECONDS = 30
"""What the documentation promises for an end."""


def pid(stack: Project, part: str) -> int:
    found = Endpoint.read(stack.directory / ".nrtctl" / part)
    assert found is not None
    return found.pid


@contextmanager
def consuming(stack: Project, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as errors, stack.start("consume", *options, errors=errors) as consumer:
        try:
            yield consumer
        finally:
            consumer.kill()


def ended(consumer: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Its exit code, after one signal."""
    consumer.send_signal(number)
    consumer.communicate(timeout=CLOSING_SECONDS)
    return consumer.returncode


def test_one_sigterm_ends_it_while_clickhouse_is_away(stack: Project, tmp_path: Path) -> None:
    stack.run("produce", "--count", "100")
    log = tmp_path / "stderr"
    with consuming(stack, log) as consumer:
        eventually(lambda: stack.value("SELECT count() FROM events") == 100, "stored")
        os.kill(pid(stack, "clickhouse"), signal.SIGKILL)
        stack.run("produce", "--count", "100")
        eventually(lambda: "ClickHouse" in log.read_text(), "it says what it waits for")
        assert ended(consumer, signal.SIGTERM) == 0
    assert "left pending" in log.read_text()
    assert "this passes when ClickHouse answers" in log.read_text()
    stack.run("up")
    stack.run("consume", "--until-end")
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (200, 0, 0)


def test_it_says_that_kafka_is_away_and_ends_then_too(stack: Project, tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    with consuming(stack, log) as consumer:
        stack.run("produce", "--count", "100")
        eventually(lambda: stack.value("SELECT count() FROM events") == 100, "stored")
        os.kill(pid(stack, "kafka"), signal.SIGKILL)
        eventually(lambda: "Kafka does not answer" in log.read_text(), "it says that Kafka is away")
        stack.run("up")
        eventually(lambda: "Kafka answers again" in log.read_text(), "it says that Kafka is back")
        stack.run("produce", "--count", "100")
        eventually(lambda: stack.value("SELECT count() FROM events") == 200, "it goes on")
        os.kill(pid(stack, "kafka"), signal.SIGKILL)
        assert ended(consumer, signal.SIGINT) == 0
    stack.run("up")
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (200, 0, 0)


def test_a_range_that_retention_takes_while_it_runs_is_skipped_if_asked(
    stack: Project, tmp_path: Path
) -> None:
    stack.run("produce", "--count", "400")
    log = tmp_path / "stderr"
    admin = AdminClient({"bootstrap.servers": damage.bootstrap(stack)})
    with consuming(stack, log, "--skip-lost") as consumer:
        eventually(lambda: stack.value("SELECT count() FROM events") == 400, "stored")
        consumer.send_signal(signal.SIGSTOP)
        stack.run("produce", "--count", "8000")
        starts = [TopicPartition("user_events", number, 1_000) for number in range(4)]
        for future in admin.delete_records(starts).values():
            future.result(30)
        consumer.send_signal(signal.SIGCONT)
        eventually(
            lambda: log.read_text().count("is lost; continuing") == 4, "it says what is lost"
        )
        beyond = "SELECT uniqExact(_partition) FROM events WHERE _offset >= 1000"
        eventually(lambda: stack.value(beyond) == 4, "rows of what is left")
        eventually(lambda: stack.json("verify", code=None)["lag"] == 0, "it goes on")
        assert ended(consumer, signal.SIGTERM) == 0
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"], report["lost"]) == (0, 0, 0)
    assert all(each["committed"] == each["log_end"] for each in report["partitions"])


def test_a_server_that_takes_connections_and_answers_nothing_is_named(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        kafka = ("--set", f"kafka.bootstrap_servers={address}", "--set", "kafka.connect_timeout=5s")
        done = project.run("produce", "--count", "1", *kafka, code=3)
        assert f"waiting for Kafka at {address} for up to 5 s".encode() in done.stderr
        clickhouse = ("--set", f"clickhouse.url=http://{address}",
                      "--set", "clickhouse.request_timeout=5s")  # fmt: skip
        done = project.run("query", "SELECT 1", *clickhouse, code=3)
        assert f"waiting for ClickHouse at http://{address}".encode() in done.stderr
