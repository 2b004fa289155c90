"""`stats`, what Prometheus scrapes, the dashboard and `status` over three pipelines of one file."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_dashboard import ask, dashboard
from tests.e2e.test_metrics import end, url_of
from tests.plugins.exposition import by_label, complaints, get
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

TWO = """
[pipelines.orders.fields]
id = "UInt64"

[pipelines.clicks.fields]
url = "String"
"""
LATE = '[pipelines.late]\nfields = { id = "UInt64" }\n'
"""Comes after `up`: it has neither a topic nor a table."""

NAMES = ["orders", "clicks", "late"]
QUICKLY = ("--interval", "100ms")


@pytest.fixture
def three(stack: Project) -> Project:
    """`orders` is stored, with a dead letter; in `clicks` three records wait."""
    stack.use_pipelines(TWO)
    stack.run("up")
    of_orders = b'{"id":1}\n{"id":2}\n{"id":"x"}\n'
    stack.run("produce", "--pipeline", "orders", "--input", "-", stdin=of_orders)
    stack.run("produce", "--pipeline", "clicks", "--input", "-", stdin=b'{"url":"/"}\n' * 3)
    stack.run("consume", "--pipeline", "orders", "--until-end")
    path = stack.directory / "nrtctl.toml"
    path.write_text(path.read_text() + LATE)
    return stack


def states(project: Project) -> list[str]:
    return [
        each["state"] for each in project.json("status") if each["part"].startswith("pipelines.")
    ]


def scraped(url: str) -> bool:
    text = get(f"{url}/metrics")[1]
    rows, letters, verdicts = (
        by_label(text, f"nrtctl_{name}", "pipeline")
        for name in ("table_rows", "dead_letter_rows", "pipeline_state")
    )
    return rows == {"orders": 2, "clicks": 0} and letters == {"orders": 1} and [*verdicts] == NAMES


def names_the_bad_one(url: str) -> bool:
    status, why = get(f"{url}/readyz")
    first = why.startswith("late: kafka: topic 'late' does not exist")
    return status == 503 and first and all(line.startswith("late: ") for line in why.splitlines())


def lag_on_the_page(address: str) -> int | None:
    status, _, body = ask(address, "/snapshot.json?pipeline=clicks")
    lag: int | None = json.loads(body)["lag_records"] if status == 200 else None
    return lag


def test_all_of_three_are_shown_and_one_that_fails_hides_no_other(three: Project) -> None:
    behind = ("--fail-if", "lag_records > 2")
    done = three.run("stats", "--once", *QUICKLY, "-o", "json", *behind, code=1)
    shots = json.loads(done.stdout)["pipelines"]
    assert list(shots) == NAMES
    assert {
        name: (each["table"], each["stored"], each["dead_letters"], each["lag_records"])
        for name, each in shots.items()
    } == {
        "orders": ("orders", 2, 1, 0),
        "clicks": ("clicks", 0, 0, 3),
        "late": ("late", None, None, None),
    }
    assert shots["clicks"]["lag_seconds"] > 0
    assert [each["source"] for each in shots["late"]["errors"]] == ["kafka", "clickhouse"]
    assert b"error: late: topic 'late' does not exist" in done.stderr
    assert b"error: clicks: lag_records > 2: it is 3" in done.stderr
    one = three.json("stats", "--once", *QUICKLY, "--pipeline", "orders")
    assert (one["stored"], one["group"]) == (2, "nrtctl-orders")

    two = ("--pipeline", "orders", "--pipeline", "clicks")
    done = three.run("stats", "--once", *QUICKLY, *two, *behind, code=5)
    assert b"clicks: lag_records > 2: it is 3" in done.stderr
    assert b"orders: lag" not in done.stderr
    assert done.stdout.index(b"\norders ") < done.stdout.index(b"\nclicks ")
    assert b"--pipeline orders" in three.run("stats", "--by", "partition", code=2).stderr
    # A look of a view that goes on waits for two seconds only, which a busy machine may need.
    eventually(lambda: states(three) == ["idle", "stopped", "unknown"], "status asks them all")

    served = three.start("stats", "--serve", "0")
    try:
        url = url_of(served)
        eventually(lambda: scraped(url), "a scrape has all three")
        assert complaints(get(f"{url}/metrics")[1]) == []
        eventually(lambda: names_the_bad_one(url), "readiness names the one that is bad")
    finally:
        end(served)

    with dashboard(three, "--port", "0") as address:
        eventually(lambda: lag_on_the_page(address) == 3, "the page has one in depth")
        page = json.loads(ask(address, "/snapshot.json")[2])["pipelines"]
        assert list(page) == NAMES
        assert page["clicks"].keys() == shots["clicks"].keys()
        status, _, body = ask(address, "/snapshot.json?pipeline=click")
        assert (status, b"there are orders, clicks, late" in body) == (404, True)
