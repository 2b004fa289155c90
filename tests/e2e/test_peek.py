"""`nrtctl peek` on both brokers: which messages, how they are shown, and what stops it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.plugins.local_broker import LocalBroker
from tests.plugins.place import Place
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

START = 1_767_225_600_000
"""Milliseconds: 2026-01-01."""

SAME_ON_BOTH = pytest.mark.parametrize(
    "place", ["embedded", pytest.param("apache", marks=pytest.mark.long)], indirect=True
)
"""Where what is tested comes after the broker, or a contract test has the broker's part."""


def send(place: Place, messages: list[dict[str, Any]], **settings: Any) -> None:
    producer = Producer({"bootstrap.servers": place.bootstrap, **settings})
    for each in messages:
        producer.produce(place.topic, **each)
    assert producer.flush(60) == 0


def values(place: Place, *arguments: str) -> list[str]:
    printed = place.run("peek", "-o", "jsonl", *arguments)
    return [json.loads(line)["value"] for line in printed.splitlines()]


@SAME_ON_BOTH
def test_which_messages(place: Place) -> None:
    assert place.json("peek") == []
    assert place.run("peek") == ""
    send(place, [
        {"value": str(n), "partition": n % 2, "timestamp": START + 1000 * n} for n in range(40)
    ])  # fmt: skip
    assert values(place) == [str(n) for n in range(30, 40)]
    assert values(place, "-n", "3") == ["37", "38", "39"]
    assert values(place, "-n", "2", "--partition", "0") == ["36", "38"]
    assert values(place, "--partition", "1", "--offset", "4", "-n", "2") == ["9", "11"]
    assert values(place, "--partition", "1", "--offset", "-1", "-n", "9") == ["39"]
    assert sorted(values(place, "--offset", "@2026-01-01T00:00:36Z"), key=int) == [
        "36", "37", "38", "39",
    ]  # fmt: skip
    assert values(place, "--offset", "end") == []
    assert len(values(place, "--offset", "start")) == 10
    assert len(values(place, "--all")) == 40
    assert len(values(place, "--all", "--offset", "+5")) == 30
    assert values(place, "--grep", "^[12]$") == ["1", "2"]
    forward = ("--grep", "^1[0-9]$", "-n", "2", "--offset", "+2", "--partition", "0")
    assert values(place, *forward) == ["10", "12"]


@SAME_ON_BOTH
def test_what_is_asked_for_and_is_not_there(place: Place) -> None:
    for arguments, words, code in (
        (("no-such-topic",), "does not exist", 1),
        (("--partition", "9"), "no partition 9", 2),
        (("--offset", "soon"), "not a place in the log", 2),
        (("--where", "a b"), "not a condition", 2),
        (("--grep", "("), "not a regular expression", 2),
        (("--as", "avro"), "auto, json, raw or hex", 2),
        (("--all", "-n", "3"), "cannot be used together", 2),
    ):
        assert words in place.run("peek", *arguments, code=code)


@SAME_ON_BOTH
def test_conditions_and_forms(place: Place) -> None:
    send(place, [
        {"value": json.dumps({"user": {"country": c}, "n": n}), "key": f"k{n}",
         "headers": [("source", f"s{n}".encode())], "timestamp": START + n, "partition": n % 2}
        for n, c in enumerate(["DE", "FR", "DE", "IT"])
    ])  # fmt: skip
    send(place, [{"value": b"\xff\x00", "timestamp": START + 9}])
    found = values(place, "--where", "user.country = DE")
    assert [json.loads(each)["n"] for each in found] == [0, 2]
    both = values(place, "--where", "user.country != DE", "--where", "n > 1")
    assert [json.loads(each)["n"] for each in both] == [3]
    assert values(place, "--grep", "s1") == values(place, "--grep", "^k1$")
    text = place.run("peek", "--where", "n = 1")
    assert 'key k1\n  header source: s1\n  {\n    "user": {\n' in text
    assert '"n": 1}' in place.run("peek", "--where", "n = 1", "--as", "raw")
    assert "ff 00" in place.run("peek", "-n", "1")


@SAME_ON_BOTH
def test_whole_messages_come_back(place: Place) -> None:
    sent: list[dict[str, Any]] = [
        {"value": b"v", "key": b"\xff", "headers": [("h", None), ("h", b"")], "timestamp": START},
        {"value": None, "key": b"k", "timestamp": START + 1},
        {"value": b"", "key": None, "timestamp": START + 2},
    ]
    send(place, [{**each, "partition": 0} for each in sent])
    lines = place.project.run("peek", "-o", "jsonl").stdout
    place.project.run("produce", "--input", "-", stdin=lines)
    again = place.run("peek", "-n", "6", "-o", "jsonl").splitlines()
    parts = [{k: v for k, v in json.loads(line).items() if k not in ("offset", "partition")}
             for line in again]  # fmt: skip
    assert len(parts) == 6
    assert all(parts.count(each) == 2 for each in parts)
    assert "a tombstone" in place.run("peek", "--all")


def test_no_group_and_no_offset_is_left_behind(place: Place) -> None:
    place.fill(3)
    place.run("peek")
    place.run("peek", "--all")
    assert not [g for g in place.json("groups", "list") if place.topic in g["group"]]


def test_it_follows(place: Place, tmp_path: Path) -> None:
    place.fill(2)
    with (tmp_path / "errors").open("wb") as errors:
        process = place.project.start("peek", "-f", "-n", "1", "-o", "jsonl", errors=errors)
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["value"] == "1"
        for number in range(3):
            send(place, [{"value": f"new {number}", "partition": number % 2}])
            assert json.loads(process.stdout.readline())["value"] == f"new {number}"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_only_what_was_committed_of_a_transaction(place: Place) -> None:
    producer = Producer({"bootstrap.servers": place.bootstrap, "transactional.id": place.topic})
    producer.init_transactions(30)
    for number, end in enumerate(
        [producer.commit_transaction, producer.abort_transaction, producer.commit_transaction]
    ):
        producer.begin_transaction()
        for each in range(3):
            producer.produce(place.topic, f"{number}/{each}", partition=0)
        producer.flush(30)
        end(30)
    assert values(place, "-n", "4") == ["0/2", "2/0", "2/1", "2/2"]
    assert len(values(place, "--all")) == 6


@SAME_ON_BOTH
def test_a_message_of_twenty_megabytes(place: Place) -> None:
    place.run("topics", "set", place.topic, "max.message.bytes=40MiB")
    size = 20 * 2**20
    eventually(
        lambda: next(
            each["value"] == str(40 * 2**20)
            for each in place.json("topics", "describe")["settings"]
            if each["name"] == "max.message.bytes"
        ),
        "the setting",
    )
    send(place, [{"value": b"x" * size, "partition": 0}], **{"message.max.bytes": 40 * 2**20})
    text = place.run("peek")
    assert len(text) < 200_000
    assert f"{size - 64 * 1024:,} characters more" in text
    assert len(values(place)[0]) == size


def test_a_broker_that_goes_away_is_named(
    make_local_broker: Callable[..., LocalBroker], project: Project, tmp_path: Path
) -> None:
    broker = make_local_broker()
    place = Place(project, broker.bootstrap, "t", "g")
    place.run("topics", "create", "t", "--partitions", "1")
    said = tmp_path / "said"
    with said.open("wb") as errors:
        process = place.project.start("peek", "-f", "-o", "jsonl", errors=errors)
    assert process.stdout is not None
    try:
        send(place, [{"value": "before"}])
        assert b"before" in process.stdout.readline()
        broker.kill()
        eventually(lambda: "Kafka does not answer" in said.read_text(), "it says so")
        broker.start()
        send(place, [{"value": "after"}])
        assert b"after" in process.stdout.readline()
        eventually(lambda: "Kafka answers again" in said.read_text(), "it says so")
    finally:
        process.kill()
        process.communicate()


@SAME_ON_BOTH
def test_nothing_hostile_reaches_a_terminal(place: Place) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
    send(place, [
        {"value": json.dumps({"a": hostile}, ensure_ascii=False), "key": hostile,
         "headers": [(hostile, hostile.encode())], "partition": 0, "timestamp": START},
        {"value": hostile.encode() + b"\nforged", "key": b"\x9b", "partition": 0,
         "timestamp": START + 1},
    ])  # fmt: skip
    for form in ("table", "jsonl", "json"):
        for width in (80, 120):
            with place.project.terminal("peek", "-o", form, width=width) as screen:
                assert screen.wait_for_end() == 0
                shown = screen.raw.decode()
            assert not any(ord(each) < 32 and each not in "\r\n" for each in shown)
            assert not set(shown) & {"\u202e", "\x9b", "\x7f"}
            assert "owned" in shown


@SAME_ON_BOTH
def test_the_old_way_to_print_says_what_to_use_instead(place: Place) -> None:
    place.fill(1)
    done = place.project.run("consume", "-o", "jsonl", "--until-end")
    assert b"`nrtctl peek" in done.stderr
    assert len(done.stdout.splitlines()) == 1
