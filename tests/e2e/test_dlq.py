"""`nrtctl dlq` as a person types it: dry, exactly once, through kills, and back in Kafka."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from nrtctl.kafka.admin import NewTopic
from nrtctl.store.faultpoints import LETTER_POINTS
from tests.plugins import damage
from tests.plugins.stack import Project

FIX = ("--reason", "invalid UTF-8", "--fix", "substring(value, 3)")


@pytest.fixture
def filled(stack: Project) -> Project:
    """4,000 messages, a fifth of them dead letters, of every reason."""
    stack.run("produce", "--count", "4000", "--seed", "5", "--invalid", "20", "--ledger", "l.jsonl")
    stack.run("consume", "--until-end")
    return stack


def counts(stack: Project) -> tuple[int, int, int, int]:
    found = json.loads(stack.run("verify", "-o", "json", code=None).stdout)
    return found["stored"], found["dead_letters"], found["missing"], found["duplicated"]


def everything(stack: Project) -> Any:
    mutations = "SELECT count() AS n FROM system.mutations WHERE database = 'nrt'"
    log = "SELECT count() AS n FROM dead_letters_log"
    return damage.content(stack), stack.rows(mutations), stack.rows(log), damage.committed(stack)


def test_found_shown_mended_and_purged(filled: Project) -> None:
    letters = [
        json.loads(line) for line in filled.run("dlq", "list", "-o", "jsonl").stdout.splitlines()
    ]
    stored, dead, missing, duplicated = counts(filled)
    assert (len(letters), missing, duplicated) == (dead, 0, 0)
    bad = [each for each in letters if each["reason"] == "invalid UTF-8"]
    first = bad[0]
    name = f"{first['partition']}/{first['offset']}"
    only = ("--partition", str(first["partition"]), "--offset", str(first["offset"]))
    assert filled.json("dlq", "list", *only) == [first]
    nowhere = filled.run("dlq", "list", "--partition", "99")
    assert b"no dead letter matches; dead letters are in" in nowhere.stdout + nowhere.stderr
    assert b"ff fe" in filled.run("dlq", "show", name).stdout
    whole = filled.json("dlq", "show", name)
    assert (whole["reason"], whole["history"]) == ("invalid UTF-8", [])
    assert set(whole["value"]) == {"base64"}

    before = everything(filled)
    dry = filled.json("dlq", "replay", *FIX)
    assert (dry["executed"], dry["stored"]) == (False, len(bad))
    assert dry["command"].endswith("--execute")
    filled.run("dlq", "purge")
    filled.run("dlq", "replay", "--to-topic", "elsewhere")
    filled.run("dlq", "replay", "--edit", code=2)
    assert everything(filled) == before

    filled.run("dlq", "purge", "--reason", "not an object", "--execute")
    assert counts(filled) == (stored, dead, 0, 0)
    assert all(each["purged"] for each in filled.json("dlq", "list", "--reason", "not an object"))
    book = filled.json("verify", "--ledger", "l.jsonl")["ledger"]
    assert book["right"] == book["entries"] == 4000

    two = [filled.start("dlq", "replay", *FIX, "--execute") for _ in range(2)]
    for each in two:
        each.communicate(timeout=120)
    assert {each.returncode for each in two} <= {0, 1}
    filled.run("dlq", "replay", *FIX, "--execute")
    assert counts(filled) == (stored + len(bad), dead - len(bad), 0, 0)
    assert b"a replay turned it into a row" in filled.run("dlq", "show", name, code=1).stderr


def test_a_load_says_that_what_was_purged_comes_back(filled: Project) -> None:
    number = len(filled.json("dlq", "list", "--reason", "not JSON"))
    load = ("replay", "load", "--execute")
    assert b"purged" not in filled.run("replay", "load").stderr
    filled.run("dlq", "purge", "--reason", "not JSON", "--execute")
    assert f"{number} purged dead letters in the range".encode() in filled.run(*load).stderr
    assert not any(each["purged"] for each in filled.json("dlq", "list"))


def test_nothing_is_replayed_beside_a_load(filled: Project) -> None:
    """The load deletes the dead letters and makes them again: a row would be there, too."""
    before = counts(filled)
    number = len(filled.json("dlq", "list", "--reason", "invalid UTF-8"))
    filled.environ["NRTCTL_FAULT"] = "load-begun=1"
    killed = filled.run("replay", "load", "--execute", code=None)
    del filled.environ["NRTCTL_FAULT"]
    assert killed.returncode == -signal.SIGKILL
    refused = filled.run("dlq", "replay", *FIX, "--execute", code=1).stderr
    assert b"nothing was replayed: a load of events is running or was interrupted" in refused
    assert b"nrtctl replay load --resume --execute" in refused
    assert counts(filled) == before
    filled.run("dlq", "replay", *FIX)  # which changes nothing
    filled.run("replay", "load", "--resume", "--execute")
    filled.run("dlq", "replay", *FIX, "--execute")
    assert counts(filled) == (before[0] + number, before[1] - number, 0, 0)


@pytest.mark.parametrize(
    "point",
    [
        LETTER_POINTS[0],
        *(pytest.param(point, marks=pytest.mark.long) for point in LETTER_POINTS[1:]),
    ],
)
def test_a_killed_replay_is_finished_by_the_next_or_by_repair(filled: Project, point: str) -> None:
    stored, dead, *_ = counts(filled)
    number = len(filled.json("dlq", "list", "--reason", "invalid UTF-8"))
    small = ("--set", "batch.max_rows=20")
    filled.environ["NRTCTL_FAULT"] = f"{point}=2" if point == "letter-inserted" else f"{point}=1"
    killed = filled.run("dlq", "replay", *FIX, "--execute", *small, code=None)
    del filled.environ["NRTCTL_FAULT"]
    assert killed.returncode == -signal.SIGKILL
    _, _, missing, duplicated = counts(filled)
    assert missing == 0
    if point != "letter-forgotten":
        assert duplicated >= 20
    if point == "letter-noted":
        filled.run("verify", "--repair", "--execute")
        assert counts(filled)[2:] == (0, 0)
    filled.run("dlq", "replay", *FIX, "--execute")
    assert counts(filled) == (stored + number, dead - number, 0, 0)
    rollup = "SELECT sum(total_events) FROM event_metrics"
    assert int(filled.value(rollup)) == stored + number


def test_forwarded_to_a_topic_and_edited(filled: Project, tmp_path: Path) -> None:
    number = len(filled.json("dlq", "list", "--reason", "not JSON"))
    admin = damage.admin(filled)
    for future in admin.create_topics([NewTopic("rejected", 1, 1)]).values():
        future.result()
    filled.run("dlq", "replay", "--reason", "not JSON", "--to-topic", "rejected", "--execute")
    consumer = Consumer({"bootstrap.servers": damage.bootstrap(filled), "group.id": "r"})
    consumer.assign([TopicPartition("rejected", 0, 0)])
    got: list[Message] = []
    while len(got) < number:
        got += [each for each in consumer.consume(1000, 1) if each.error() is None]
    consumer.close()
    given = got[0].headers()
    assert isinstance(given, list)
    headers: dict[str, Any] = dict(given)
    assert headers["nrtctl.reason"] == b"not JSON"
    assert headers["nrtctl.topic"] == b"user_events"
    where = f"{headers['nrtctl.partition'].decode()}/{headers['nrtctl.offset'].decode()}"
    shown = filled.json("dlq", "show", where)
    assert got[0].value() == shown["value"].encode()
    assert [each["outcome"] for each in shown["history"]] == ["sent"]

    good = filled.rows("SELECT * FROM events LIMIT 1")[0]
    fields = {
        name: value for name, value in good.items() if name[0] != "_" and name != "event_time"
    }
    (tmp_path / "good.json").write_text(json.dumps(fields))
    editor = tmp_path / "an editor"
    editor.write_text(f"#!/bin/sh\ncat '{tmp_path}/good.json' > \"$1\"\n")
    editor.chmod(0o755)
    filled.environ["EDITOR"] = f"'{editor}'"
    partition, offset = where.split("/")
    one = ("--partition", partition, "--offset", offset)
    filled.run("dlq", "replay", *one, "--edit", "--execute")
    row = filled.rows(
        f"SELECT event_id FROM events WHERE _partition = {partition} AND _offset = {offset}"
    )
    assert row == [{"event_id": good["event_id"]}]
    assert counts(filled)[2:] == (0, 0)
