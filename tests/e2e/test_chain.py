"""Tables and views that are changed behind a consumer's back."""

from __future__ import annotations

import os
import re
import shlex
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.e2e.test_topic_made_again import event
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.mark.parametrize(
    "names",
    [
        ["events_accepted"],
        pytest.param(["events_accepted", "events_parsed"], marks=pytest.mark.long),
        pytest.param(["events_landing_view", "events_rejected"], marks=pytest.mark.long),
    ],
)
def test_a_view_that_is_dropped_is_waited_for_and_nothing_is_lost(
    stack: Project, names: list[str], tmp_path: Path
) -> None:
    stack.run("produce", "--count", "100")
    log = tmp_path / "log"

    def says(text: str) -> bool:
        return text.encode() in log.read_bytes()

    with stack.consuming(log, "-o", "json") as consumer:
        eventually(lambda: stack.value("SELECT count() FROM events") == 100, "the first rows")
        for lost in names:
            stack.run("query", "--write", f"DROP TABLE {lost} SYNC")
            stack.run("produce", "--count", "50", "--invalid", "10")
            text = f"{lost} does not exist: nothing could be stored; `nrtctl up` creates it again"
            eventually(partial(says, text), f"what {lost} is")
            assert stack.run("verify", code=5).stderr.count(lost.encode())
            assert lost in str(stack.json("doctor", code=5))
            assert lost in str(stack.json("stats", "--once")["errors"])
            stack.run("up")
            eventually(partial(all_stored, stack, 100 + 50 * (1 + names.index(lost))), "all")
            assert stack.json("verify")["missing"] == 0
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=60)
        assert consumer.returncode == 0
    assert all_stored(stack, 100 + 50 * len(names))


def test_a_column_that_is_dropped_is_seen(stack: Project, tmp_path: Path) -> None:
    stack.run("produce", "--count", "50")
    log = tmp_path / "log"
    with stack.consuming(log) as consumer:
        eventually(lambda: stack.value("SELECT count() FROM events") == 50, "the first rows")
        stack.run("query", "--write", "ALTER TABLE events DROP COLUMN session_id")
        lost = b"events has lost the column session_id"
        send_until_said(stack, log, lost)
        assert lost in stack.run("verify", code=5).stderr
        assert lost.decode() in str(stack.json("doctor", code=5))
        stack.run("query", "--write", "DROP VIEW events_accepted SYNC")
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=60)
        assert consumer.returncode == 1
    assert b"could not be stored" in log.read_bytes()
    refused = stack.run("consume", "--until-end", code=1)
    assert b"nrtctl up" in refused.stderr


def test_a_type_that_is_changed_is_waited_for_until_it_is_back(
    stack: Project, tmp_path: Path
) -> None:
    stack.run("produce", "--count", "50")
    log = tmp_path / "log"
    with stack.consuming(log) as consumer:
        eventually(lambda: stack.value("SELECT count() FROM events") == 50, "the first rows")
        change = "ALTER TABLE events MODIFY COLUMN product_id {}"
        stack.run("query", "--write", change.format("Nullable(UInt8)"))
        said = b"stores the column product_id as Nullable(UInt8), but its view returns"
        sent = 50 + send_until_said(stack, log, said)
        assert said in stack.run("verify", code=5).stderr
        assert said.decode() in str(stack.json("doctor", code=5))
        assert said.decode() in str(stack.json("stats", "--once")["errors"])
        stack.run("query", "--write", change.format("Nullable(UInt32)"))
        eventually(lambda: all_stored(stack, sent), "all")
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=60)
        # What was stored between two looks may have been changed.
        assert consumer.returncode == int(b"stored shortly before" in log.read_bytes())
    report = stack.json("verify")
    assert (report["missing"], report["duplicated"]) == (0, 0)


@pytest.mark.parametrize("back", [False, True], ids=["gone", "gone and back"])
def test_what_was_stored_without_a_column_can_be_stored_again(stack: Project, back: bool) -> None:
    """The consumer had looked at the tables just before: the column was empty, without a word."""
    stack.run("produce", "--count", "50")
    stack.environ["NRTCTL_FAULT"] = "insert-sending=1:stop"
    consumer = stack.start("consume", *([] if back else ["--until-end"]), anew=True)
    del stack.environ["NRTCTL_FAULT"]
    assert os.WIFSTOPPED(os.waitpid(consumer.pid, os.WUNTRACED)[1])
    stack.run("query", "--write", "ALTER TABLE events DROP COLUMN session_id")
    if back:
        consumer.send_signal(signal.SIGCONT)
        eventually(lambda: all_stored(stack, 50), "all are stored")
        consumer.send_signal(signal.SIGSTOP)
        stack.run("up")
        consumer.send_signal(signal.SIGTERM)
    consumer.send_signal(signal.SIGCONT)
    said = consumer.communicate(timeout=60)[1].decode()
    assert consumer.returncode == 1
    how = "was for a time without" if back else "has lost"
    assert f"events {how} the column session_id" in said
    stack.run("up")
    empty = "SELECT countIf(empty(session_id)) FROM events"
    assert stack.value(empty) == 50
    command = re.search(r"`nrtctl (replay load .*?)`", said)
    assert command is not None
    again = shlex.split(command[1])
    for partition in range(4):
        again[again.index("--partition") + 1] = str(partition)
        again[again.index("--offset") + 1] = ":"
        stack.run(*again)
    assert stack.value(empty) == 0
    assert stack.json("verify")["missing"] == 0


def all_stored(stack: Project, count: int) -> bool:
    """Whether there are so many rows and dead letters."""
    both = "SELECT 1 FROM events UNION ALL SELECT 1 FROM dead_letters"
    return bool(stack.value(f"SELECT count() FROM ({both})") == count)


def send_until_said(stack: Project, log: Path, text: bytes) -> int:
    """Send an event now and then, until the consumer says it; how many were sent.

    It looks at its tables every few seconds, when it has something to store.
    """
    producer = Producer({"bootstrap.servers": damage.bootstrap(stack)})
    sent = [0.0]

    def said() -> bool:
        if time.monotonic() - sent[-1] > 1:
            producer.produce(damage.TOPIC, event(len(sent)))
            assert producer.flush(30) == 0
            sent.append(time.monotonic())
        return text in log.read_bytes()

    eventually(said, text.decode())
    return len(sent) - 1
