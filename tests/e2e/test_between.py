"""A consumer whose ClickHouse is behind something that sometimes answers in its place."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.clickhouse.test_between import Between, Faulty
from tests.plugins.stack import Project


@pytest.fixture
def between(stack: Project) -> Iterator[Between]:
    address = {row["part"]: row["address"] for row in stack.json("status")}
    made = Between(f"http://{address['clickhouse']}")
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def consumed(stack: Project, between: Between, tmp_path: Path, *options: str) -> str:
    """What a consumer says that reaches ClickHouse through it."""
    state = stack.directory / ".nrtctl"
    password = (state / "clickhouse" / "password").read_text().strip()
    address = {row["part"]: row["address"] for row in stack.json("status")}
    environ = {
        **stack.environ,
        "NRTCTL_STACK__KIND": "external",
        "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": address["kafka"],
        "NRTCTL_CLICKHOUSE__URL": between.url,
        "NRTCTL_CLICKHOUSE__PASSWORD": password,
    }
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = stack.spawn(
            "consume", "--until-end", *options, stdout=out, stderr=out, environ=environ
        )
        process.wait(120)
    assert process.returncode == 0, log.read_text()
    return log.read_text()


def test_a_page_of_a_proxy_is_not_taken_for_rows_that_are_stored(
    stack: Project, between: Between, tmp_path: Path
) -> None:
    stack.run("produce", "--count", "500", "--invalid", "5")
    strange = itertools.cycle([Faulty(200), None, Faulty(200, b""), Faulty(502), None])
    # The first insert is of what is known of the topic, before anything is consumed.
    between.inserted = lambda number, size: next(strange) if number > 1 else None
    said = consumed(stack, between, tmp_path, "--set", "batch.max_rows=50")
    assert "is something else (HTTP status 200" in said
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] + report["dead_letters"] == 500


def test_a_batch_that_is_too_large_for_a_proxy_is_halved(
    stack: Project, between: Between, tmp_path: Path
) -> None:
    stack.run("produce", "--count", "400", "--invalid", "5")
    sizes: list[int] = []

    def inserted(number: int, size: int) -> Faulty | None:
        sizes.append(size)
        return Faulty(413) if size > 20_000 else None

    between.inserted = inserted
    consumed(stack, between, tmp_path)
    assert max(sizes) > 20_000
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] + report["dead_letters"] == 400
