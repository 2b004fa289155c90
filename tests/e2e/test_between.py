"""A consumer whose ClickHouse is behind something that sometimes answers in its place."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.between import PAGE, Between
from tests.plugins.stack import Project


@pytest.fixture
def between(stack: Project) -> Iterator[Between]:
    address = {row["part"]: row["address"] for row in stack.json("status")}
    host, _, port = address["clickhouse"].rpartition(":")
    made = Between((host, int(port)))
    yield made
    made.close()


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


def is_insert(url: str) -> bool:
    return "_landing" in url and "INSERT INTO" in url


def test_a_page_of_a_proxy_is_not_taken_for_rows_that_are_stored(
    stack: Project, between: Between, tmp_path: Path
) -> None:
    stack.run("produce", "--count", "500", "--invalid", "5")
    strange = itertools.cycle([(200, PAGE), None, (200, b""), (502, PAGE), None])
    between.answer = lambda url, size: next(strange) if is_insert(url) else None
    said = consumed(stack, between, tmp_path, "--set", "batch.max_rows=50")
    assert "something else answers in its place" in said
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] + report["dead_letters"] == 500


def test_a_batch_that_is_too_large_for_a_proxy_is_halved(
    stack: Project, between: Between, tmp_path: Path
) -> None:
    stack.run("produce", "--count", "400", "--invalid", "5")
    sizes: list[int] = []

    def answer(url: str, size: int) -> tuple[int, bytes] | None:
        if not is_insert(url):
            return None
        sizes.append(size)
        return (413, PAGE) if size > 20_000 else None

    between.answer = answer
    consumed(stack, between, tmp_path)
    assert max(sizes) > 20_000
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)
    assert report["stored"] + report["dead_letters"] == 400
