"""`consume --workers`: several processes in one group, watched by their parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


def _children(parent: int) -> list[int]:
    """Process ids, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _wait_until_stored(stack: Project, messages: int) -> None:
    """As rows or as dead letters."""
    there = "SELECT (SELECT count() FROM events) + (SELECT count() FROM dead_letters)"
    eventually(lambda: stack.value(there) >= messages, f"{messages} messages are stored", within=90)


def _wait_for_children(parent: subprocess.Popen[bytes], count: int) -> list[int]:
    def all_there() -> list[int]:
        found = _children(parent.pid)
        return found if len(found) == count else []

    return eventually(all_there, f"{count} workers")


@pytest.mark.long
def test_workers_share_the_partitions_and_end_at_the_end(stack: Project) -> None:
    """`test_consume_several.py` has the short form, and those that follow here."""
    stack.run("produce", "--count", "3000", "--invalid", "2")
    summary = stack.json("consume", "--workers", "2", "--until-end")
    assert (summary["records"], summary["workers"], summary["restarts"]) == (3000, 2, 0)
    report = stack.json("verify")
    assert report["stored"] + report["dead_letters"] == 3000
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)


def test_a_worker_that_is_killed_is_started_again(stack: Project) -> None:
    """It takes the place of the dead one: nobody waits for the session's end. At the end all of
    them leave the group."""
    parent = stack.start("consume", "--workers", "2", "-o", "json",
                         "--set", "consumer.session_timeout=5m",
                         "--set", "batch.max_wait=100ms")  # fmt: skip
    try:
        workers = _wait_for_children(parent, 2)
        stack.run("produce", "--count", "1000")
        ids = eventually(lambda: _instances(stack, 2), "both in the group")
        os.kill(workers[0], signal.SIGKILL)
        stack.run("produce", "--count", "1000")
        _wait_until_stored(stack, 2000)
        assert _instances(stack, 2) == ids
        assert set(_wait_for_children(parent, 2)) != set(workers)
        parent.send_signal(signal.SIGINT)
        out, errors = parent.communicate(timeout=60)
    finally:
        parent.kill()
        parent.communicate()
    assert parent.returncode == 0, errors.decode()
    assert json.loads(out)["restarts"] == 1
    assert b"SIGKILL" in errors
    assert stack.json("groups", "describe")["members"] == []
    report = stack.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (2000, 0, 0)


def _instances(stack: Project, count: int) -> set[str]:
    """Ids of the members that have partitions; none before there are so many."""
    client = damage.admin(stack)
    members = client.describe_consumer_groups([damage.GROUP])[damage.GROUP].result(20).members
    found = {each.group_instance_id for each in members if each.assignment.topic_partitions}
    return found if len(found) == count else set()


@pytest.mark.parametrize("steps", [2, pytest.param(8, marks=pytest.mark.long)])
def test_partitions_change_hands_while_they_share_inserts(stack: Project, steps: int) -> None:
    """Members come, go in order and are killed, with many partitions and an insert at any time."""
    wide = ("--set", "pipeline.topic=wide", "--set", "pipeline.partitions=24")
    wait, rate = ("20ms", "1500") if steps > 2 else ("300ms", "500")
    quick = (*wide, "--set", "consumer.session_timeout=6s", "--set", f"batch.max_wait={wait}")
    stack.run("up", *wide)
    producer = stack.start(
        "produce", *wide, "--rate", rate, "--duration", f"{2 * steps + 4}s", "--invalid", "2",
        "-o", "json",
    )  # fmt: skip
    members: list[subprocess.Popen[bytes]] = []
    killed: list[subprocess.Popen[bytes]] = []
    ended: list[subprocess.Popen[bytes]] = []
    try:
        for step in range(steps):
            members.append(stack.start("consume", "-o", "json", *quick))
            time.sleep(2)
            if step % 4 == 3 or step + 1 == steps:
                killed.append(members.pop(0))
                killed[-1].kill()
            elif step % 2:
                ended.append(members.pop(0))
                ended[-1].send_signal(signal.SIGINT)
        sent = json.loads(producer.communicate(timeout=60)[0])["acknowledged"]
        _wait_until_stored(stack, sent)
        for member in members:
            member.send_signal(signal.SIGINT)
        accounts = [each.communicate(timeout=60)[0] for each in ended + members]
        # On a machine that does much else, one may be stopped before it has begun.
        assert {each.returncode for each in ended + members} <= {0, 130}
        summaries = [json.loads(account) for account in accounts if account]
        assert len(summaries) >= len(members)
    finally:
        for process in (producer, *members, *killed, *ended):
            process.kill()
            process.communicate()
    assert sum(each["inserts"] for each in summaries) < sum(each["batches"] for each in summaries)
    report = stack.json("verify", *wide)
    assert report["stored"] + report["dead_letters"] == sent
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    # How much they share depends on how long a hand-over takes; of one member it does not.
    stack.run("produce", *wide, "--count", "1200")
    # Nobody is to take it for dead, however slow the machine is: it would begin again.
    patient = ("--set", "consumer.session_timeout=5m")
    calm = stack.json("consume", "--until-end", *quick, *patient)
    assert (calm["records"], len(calm["partitions"])) == (1200, 24)
    assert calm["inserts"] * 3 < calm["batches"]


def test_no_worker_outlives_a_parent_that_is_killed(stack: Project) -> None:
    parent = stack.start("consume", "--workers", "2")
    workers = _wait_for_children(parent, 2)
    parent.kill()
    parent.communicate()
    eventually(
        lambda: not any(Path(f"/proc/{each}").exists() for each in workers), "the end of workers"
    )


def test_what_one_worker_cannot_mend_ends_all(stack: Project) -> None:
    done = stack.run("consume", "--workers", "2", "--set", "clickhouse.password=wrong", code=3)
    assert b"refuses the user" in done.stderr


def test_a_count_is_refused(stack: Project) -> None:
    assert b"--count" in stack.run("consume", "--workers", "2", "--count", "5", code=2).stderr
