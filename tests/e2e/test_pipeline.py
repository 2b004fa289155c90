"""The whole pipeline through the installed command, as a person types it."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

ROOT = Path(__file__).parents[2]


def at_their_ends(stack: Project) -> bool:
    """Whether the group has said of each partition that all of it is stored."""
    partitions = stack.json("verify", code=None)["partitions"]
    return all(each["committed"] == each["log_end"] > 0 for each in partitions)


def test_up_makes_everything_once_and_keeps_it(project: Project) -> None:
    first = project.json("up")
    assert {step["action"] for step in first["steps"]} == {"made"}
    second = project.json("up")
    assert {step["action"] for step in second["steps"]} == {"kept"}
    assert (first["kafka"], first["clickhouse"]) == (second["kafka"], second["clickhouse"])
    assert all(row["ok"] for row in project.json("doctor"))
    project.run("down")
    assert [row["state"] for row in project.json("status", code=3)] == ["stopped", "stopped"]
    assert project.run("stats", "--once", code=3).stdout == b""


def test_produce_consume_verify_query(stack: Project) -> None:
    sent = stack.json("produce", "--count", "5000", "--seed", "7", "--invalid", "2")
    assert (sent["sent"], sent["acknowledged"], sent["failed"]) == (5000, 5000, 0)
    behind = stack.json("stats", "--once")
    assert behind["lag_records"] == 5000
    assert stack.json("consume", "--until-end")["records"] == 5000
    report = stack.json("verify")
    assert report["stored"] + report["dead_letters"] == 5000
    assert report["missing"] == report["duplicated"] == report["lag"] == 0
    assert stack.json("consume", "--until-end")["records"] == 0
    assert stack.value("SELECT count() FROM events") == report["stored"]
    assert stack.value("SELECT sum(total_events) FROM event_metrics") == report["stored"]
    shot = stack.json("stats", "--once")
    assert (shot["stored"], shot["dead_letters"]) == (report["stored"], report["dead_letters"])
    assert shot["end_to_end_latency_seconds"]["p99"] > 0
    assert sum(shot["dead_letters_by_reason"].values()) == report["dead_letters"]


def test_verify_sees_what_is_missing_and_what_is_doubled(stack: Project) -> None:
    stack.run("produce", "--count", "1000", "--seed", "1")
    stack.run("consume", "--until-end")
    damage.delete(stack, "events", "_partition = 0 AND _offset IN (3, 4, 9)")
    stack.run("query", "--write", "INSERT INTO events SELECT * FROM events WHERE _partition = 1 "
              "AND _offset < 5")  # fmt: skip
    report = stack.json("verify", code=5)
    assert (report["missing"], report["duplicated"]) == (3, 5)
    assert report["partitions"][0]["missing_ranges"] == [[3, 5], [9, 10]]


def test_count_stops_exactly_and_goes_on_from_there(stack: Project) -> None:
    stack.run("produce", "--count", "1000", "--seed", "1")
    assert stack.json("consume", "--count", "300")["records"] == 300
    assert stack.json("verify")["lag"] == 700
    assert stack.json("consume", "--until-end")["records"] == 700
    assert stack.json("verify")["stored"] == 1000


def test_a_batch_that_was_left_is_stored_whole_by_a_count_below_it(stack: Project) -> None:
    short = ("--set", "consumer.session_timeout=6s")
    stack.run("produce", "--count", "900")
    stack.environ["NRTCTL_FAULT"] = "intent-declared=1"
    stack.run("consume", "--until-end", *short, code=-signal.SIGKILL)
    del stack.environ["NRTCTL_FAULT"]
    result = stack.json("consume", "--count", "3", *short)
    assert (result["ended"], result["records"] > 3) == ("3 messages", True)
    assert stack.json("verify")["stored"] == result["records"]


def test_a_topic_that_retention_has_emptied_is_at_its_end(stack: Project) -> None:
    """For a member that waits for another one, and for one that is not told of the loss again."""
    stack.run("produce", "--count", "400")
    purge = ("topics", "purge", "--before", "end", "--unstored", "--execute")
    stack.run(*purge)
    with stack.start("consume") as other:
        eventually(lambda: at_their_ends(stack), "it says where it stands")
        assert stack.json("consume", "--until-end")["ended"] == "the log's end"
        other.send_signal(signal.SIGINT)
        other.communicate(timeout=30)
    stack.run("produce", "--count", "400")
    stack.run(*purge)
    assert b"--skip-lost" in stack.run("consume", "--until-end", code=1).stderr
    stack.run("consume", "--until-end", "--skip-lost")
    assert at_their_ends(stack)
    stack.run("consume", "--until-end")


def test_a_deleted_commit_does_not_double_rows(stack: Project) -> None:
    """A group that starts over finds the rows that are there, by their offsets."""
    stack.run("produce", "--count", "1000", "--seed", "1")
    stack.run("consume", "--until-end")
    stack.run("consume", "--until-end", "--group", "again")
    assert stack.value("SELECT count() FROM events") == 1000


def test_four_terminals_at_once(stack: Project) -> None:
    consumer = stack.start("consume")
    producers = [stack.start("produce", "--count", "4000", "--rate", "2000") for _ in range(2)]
    try:
        for _ in range(3):
            stack.run("stats", "--once")
            stack.run("query", "SELECT count() FROM events")
        for producer in producers:
            assert producer.wait(60) == 0
        count = "SELECT count() FROM events"
        eventually(lambda: stack.value(count) == 8000, "everything, while the consumer runs")
        consumer.send_signal(signal.SIGINT)
        out, errors = consumer.communicate(timeout=60)
        assert consumer.returncode == 0, errors.decode()
        assert b"stored 8,000 rows" in out
    finally:
        for process in (consumer, *producers):
            process.kill()
            process.communicate()
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (8000, 0, 0)


@pytest.mark.parametrize("part", ["clickhouse", pytest.param("kafka", marks=pytest.mark.long)])
def test_kill_9_loses_nothing_that_was_acknowledged(stack: Project, part: str) -> None:
    """The broker's short forms are in `tests/chaos` and `tests/contract/kafka/test_crash.py`."""
    stack.run("produce", "--count", "4000", "--seed", "1")
    stack.run("consume", "--count", "2000")
    count = "3000" if part == "clickhouse" else "90000"  # still at it when it is killed
    producer = stack.start("produce", "--count", count, "--rate", "3000", "-o", "json")
    endpoint = Endpoint.read(stack.directory / ".nrtctl" / part)
    assert endpoint is not None
    if part == "clickhouse":
        producer.wait(60)
    else:
        stack.run("stats", "--once")
        os.kill(producer.pid, signal.SIGKILL)
    os.kill(endpoint.pid, signal.SIGKILL)
    producer.communicate()
    # A large process goes on listening for some milliseconds, and `up` would take it for alive.
    eventually(lambda: not Path(f"/proc/{endpoint.pid}").exists(), "its end")
    before = 2000
    stack.run("up")
    report = stack.json("verify")
    assert report["stored"] >= before
    assert report["missing"] == report["duplicated"] == 0
    stack.run("consume", "--until-end")
    report = stack.json("verify")
    assert report["stored"] >= 4000
    assert report["missing"] == report["duplicated"] == report["lag"] == 0


def test_online_retail(tmp_path: Path) -> None:
    """Seven days of real orders, compared with Python's own arithmetic."""
    source = ROOT / "examples" / "online-retail"
    shutil.copytree(source, tmp_path / "shop")
    shop = Project(tmp_path / "shop")
    shop.use_free_ports()
    days = sorted((tmp_path / "shop" / "data").glob("*.csv"))
    expected: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    lines = rejected = 0
    for day in days:
        with day.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                lines += 1
                price, quantity = Decimal(row["UnitPrice"]), int(row["Quantity"])
                if price <= 0:
                    rejected += 1
                    continue
                key = (row["InvoiceDate"][:10], row["Country"])
                count, total, revenue = expected[key]
                expected[key] = [count + 1, total + quantity, revenue + price * quantity]
    try:
        shop.run("up")
        for day in days:
            shop.run("produce", "--input", f"data/{day.name}")
        shop.run("consume", "--until-end")
        report = shop.json("verify")
        assert (report["missing"], report["duplicated"]) == (0, 0)
        assert (report["stored"], report["dead_letters"]) == (lines - rejected, rejected)
        rows = shop.rows(
            "SELECT toString(day) AS day, country, lines, quantity, toString(revenue) AS revenue "
            "FROM revenue_by_country"
        )
        found = {
            (row["day"], row["country"]): [row["lines"], row["quantity"], Decimal(row["revenue"])]
            for row in rows
        }
        assert found == dict(expected)
        assert len(days) == 7
        assert lines == 19_632
    finally:
        shop.down()
