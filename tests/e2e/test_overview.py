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


def test_all_of_three_are_shown_and_one_that_fails_hides_no_other(three: Project) -> None:
    done = three.run("stats", "--once", *QUICKLY, "-o", "json", code=1)
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
    one = three.json("stats", "--once", *QUICKLY, "--pipeline", "orders")
    assert (one["stored"], one["group"]) == (2, "nrtctl-orders")

    two = ("--pipeline", "orders", "--pipeline", "clicks")
    done = three.run("stats", "--once", *QUICKLY, *two, "--fail-if", "lag_records > 2", code=5)
    assert b"clicks: lag_records > 2: it is 3" in done.stderr
    assert b"orders: lag" not in done.stderr
    assert done.stdout.index(b"\norders ") < done.stdout.index(b"\nclicks ")
    assert b"--pipeline orders" in three.run("stats", "--by", "partition", code=2).stderr
    states = {each["part"]: each["state"] for each in three.json("status")}
    assert states["pipelines.orders"] == "stopped"
    assert states["pipelines.late"] == "unknown"

    served = three.start("stats", "--serve", "0")
    try:
        url = url_of(served)
        eventually(lambda: "nrtctl_table_rows{" in get(f"{url}/metrics")[1], "the first look")
        text = get(f"{url}/metrics")[1]
        assert complaints(text) == []
        assert by_label(text, "nrtctl_table_rows", "pipeline") == {"orders": 2, "clicks": 0}
        assert by_label(text, "nrtctl_dead_letter_rows", "pipeline") == {"orders": 1}
        assert set(by_label(text, "nrtctl_pipeline_state", "pipeline")) == set(NAMES)
        status, why = get(f"{url}/readyz")
        assert status == 503
        assert why.startswith("late: kafka: topic 'late' does not exist")
        assert {line.partition(":")[0] for line in why.splitlines()} == {"late"}
    finally:
        end(served)

    with dashboard(three, "--port", "0") as address:
        eventually(lambda: ask(address, "/snapshot.json")[0] == 200, "the first look")
        page = json.loads(ask(address, "/snapshot.json")[2])["pipelines"]
        assert list(page) == NAMES
        one = json.loads(ask(address, "/snapshot.json?pipeline=clicks")[2])
        assert (one["topic"], one["lag_records"]) == ("clicks", 3)
        assert page["clicks"].keys() == one.keys()
        status, _, body = ask(address, "/snapshot.json?pipeline=click")
        assert (status, b"there are orders, clicks, late" in body) == (404, True)
