"""Damaged bytes in Kafka's log: never stored, never passed in silence, passed when asked for."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.log_files import flip, frames, reseal, segments, write
from tests.plugins.stack import Project

COUNT = 600


@pytest.fixture
def damaged(stack: Project) -> dict[int, int]:
    """The project with a damage of its own kind in three of four partitions, and how many messages
    each batch had."""
    for seed in range(3):
        stack.run("produce", "--count", str(COUNT // 3), "--seed", str(seed))
    stack.run("down")
    sizes = {}
    for partition in range(3):
        (path,) = segments(stack.directory / ".nrtctl" / "kafka", partition)
        sizes[partition] = DAMAGES[partition](path)
    stack.run("up")
    return sizes


def _digit(path: Path) -> int:
    return flip(path, batch=1, at=re.compile(rb'"request_latency_ms":\s*(\d)'))


def _garbage(path: Path) -> int:
    return reseal(path, batch=1, payload=b"\xff" * 30)


def _codec(path: Path) -> int:
    return reseal(path, batch=1, attributes=5)


DAMAGES = (_digit, _garbage, _codec)


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_damage_stops_its_partition_and_is_passed_only_when_asked(
    stack: Project, damaged: dict[int, int], whole: bool
) -> None:
    """The whole has a load that is refused, and a repair."""
    ended = stack.run("consume", "--until-end", code=5)
    said = ended.stderr.decode()
    for partition in range(3):
        assert re.search(rf"user_events/{partition}: the record batch at offset \d+ is", said)
    assert "--skip-damaged" in said
    report = stack.json("verify")
    parts = {each["partition"]: each for each in report["partitions"]}
    assert [parts[n]["lag"] > 0 for n in range(4)] == [True, True, True, False]
    assert all(parts[n]["stored"] == parts[n]["committed"] > 0 for n in range(4))

    printed = stack.run("consume", "-o", "jsonl", "--until-end", code=5)
    offsets = [
        (line["partition"], line["offset"]) for line in map(json.loads, printed.stdout.splitlines())
    ]
    assert sorted(offsets) == [(n, at) for n in range(4) for at in range(parts[n]["stored"])]

    seen = stack.run("peek", "--all", "-o", "jsonl")
    assert len(seen.stdout.splitlines()) == COUNT - sum(damaged.values())
    assert seen.stderr.decode().count("is damaged and skipped") == 3
    newest = stack.run("peek", "-n", "50", "-o", "jsonl")
    assert len(newest.stdout.splitlines()) == 50

    passed = stack.run("consume", "--until-end", "--skip-damaged")
    assert passed.stderr.decode().count("is damaged and skipped") == 3
    report = stack.json("verify", code=5)
    parts = {each["partition"]: each for each in report["partitions"]}
    assert {n: parts[n]["lost"] for n in range(4)} == {**damaged, 3: 0}
    assert report["missing"] == report["duplicated"] == report["lag"] == 0
    assert report["stored"] == COUNT - sum(damaged.values())
    assert sum("is damaged in Kafka" in note for note in report["notes"]) == 3

    _known_to_the_broker(stack)
    if not whole:
        return
    stack.run("consume", "--until-end")
    refused = stack.run("replay", "load", "--offset", "start:end", "--execute", code=5)
    assert "was not started" in refused.stderr.decode()
    assert stack.json("verify", code=5)["stored"] == report["stored"]
    stack.run("query", "--write", "ALTER TABLE events DELETE WHERE _partition = 3 AND _offset = 0")
    assert stack.json("verify", code=5)["missing"] == 1
    stack.run("verify", "--repair", "--execute", code=5)
    report = stack.json("verify", code=5)
    assert (report["missing"], report["lost"]) == (0, sum(damaged.values()))


def _known_to_the_broker(stack: Project) -> None:
    """After a kill the log is looked through; then up, status and doctor tell what is damaged."""
    endpoint = Endpoint.read(stack.directory / ".nrtctl" / "kafka")
    assert endpoint is not None
    os.kill(endpoint.pid, signal.SIGKILL)
    (path,) = segments(stack.directory / ".nrtctl" / "kafka", 3)
    last = frames(path)[-1]
    write(path, last.start + 4, b"\xff" * 4)
    with path.open("ab") as file:
        file.write(b"torn")
    boot = stack.directory / ".nrtctl" / "kafka" / "running"
    boot.write_text("an earlier boot of the machine")
    for command, code in (("up", 0), ("status", 0), ("doctor", 5)):
        ended = stack.run(command, code=code)
        said = (ended.stdout + ended.stderr).decode()
        assert said.count("are damaged") == 2
        assert "user_events/0" in said
        assert "torn" in said
        assert "--skip-damaged" in said


def test_messages_at_the_offsets_of_lost_ones_are_not_taken_for_stored(stack: Project) -> None:
    for seed in range(2):
        stack.run("produce", "--count", "400", "--seed", str(seed), "--invalid", "5")
    stack.run("consume", "--until-end")
    stack.run("down")
    (path,) = segments(stack.directory / ".nrtctl" / "kafka", 2)
    last = frames(path)[-1]
    os.truncate(path, last.start)
    for beside in (path.with_suffix(".index"), path.parent / "checkpoint"):
        beside.unlink(missing_ok=True)
    stack.run("up")
    assert b"the log ends at" in stack.run("consume", "--until-end", code=1).stderr
    move = ("replay", "offsets", "--to-current", "--execute")
    ways = (move, ("consume", "--until-end", "--group", "other"), ("replay", "load", "--execute"))
    for refused in (stack.run(*way, code=1).stderr.decode() for way in ways):
        assert "has lost messages that are stored" in refused
        assert f"but the log ends at {last.base}" in refused
    assert not list(stack.directory.glob("nrtctl-undo-*"))
    gone = f"_topic = 'user_events' AND _partition = 2 AND _offset >= {last.base}"
    for table in ("events", "dead_letters"):
        stack.write(f"ALTER TABLE {table} DELETE WHERE {gone} SETTINGS mutations_sync = 2")
    stack.run(*move)
    stack.run("produce", "--count", "400", "--seed", "3")
    stack.run("consume", "--until-end")
    report = stack.json("verify")
    assert report["stored"] + report["dead_letters"] == 1200 - last.records
    assert (report["missing"], report["duplicated"], report["lost"]) == (0, 0, 0)
