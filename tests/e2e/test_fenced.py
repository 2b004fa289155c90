"""A consumer whose `group.instance.id` another member takes joining again once, then ends."""

from __future__ import annotations

import signal
from pathlib import Path

from confluent_kafka import Consumer

from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

OURS = ("--set", 'kafka.properties."group.instance.id"="one"')


def take_its_place(stack: Project) -> None:
    """Join as the same member and go away at once, as an outage leaves a member behind."""
    config = stack.json("config", "show")
    other = Consumer({
        "bootstrap.servers": config["kafka"]["bootstrap_servers"],
        "group.id": config["consumer"]["group"],
        "group.instance.id": "one",
    })  # fmt: skip
    given: list[int] = []
    other.subscribe(
        [config["pipeline"]["topic"]], on_assign=lambda _, found: given.append(len(found))
    )

    def joined() -> bool:
        other.poll(0.1)
        return bool(given)

    try:
        eventually(joined, "the other member has its place")
    finally:
        other.close()


def test_it_joins_again_once(stack: Project, tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    stack.run("produce", "--count", "100")
    with stack.consuming(log, *OURS) as consumer:
        eventually(lambda: stack.value("SELECT count() FROM events") == 100, "stored")
        take_its_place(stack)
        eventually(lambda: "joining again once" in log.read_text(), "it says so")
        stack.run("produce", "--count", "100")
        eventually(lambda: stack.value("SELECT count() FROM events") == 200, "it goes on")
        take_its_place(stack)
        consumer.communicate(timeout=60)
        assert consumer.returncode == 3
    assert "another member of the group has the same group.instance.id" in log.read_text()
    assert "of its own" in log.read_text()
    with stack.consuming(log, *OURS) as consumer:
        stack.run("produce", "--count", "100")
        eventually(lambda: stack.value("SELECT count() FROM events") == 300, "the next one stores")
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=60)
        assert consumer.returncode == 0
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (300, 0, 0)
