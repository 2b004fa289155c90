"""`nrtctl verify --repair`: dry by default, heals with --execute, goes on after a kill."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from nrtctl.store.intents import Intent, OffsetRange, encode_metadata
from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.fixture
def filled(stack: Project) -> Project:
    """4,000 messages stored, one in ten a dead letter; in one part."""
    stack.run("produce", "--count", "4000", "--seed", "5", "--invalid", "10")
    stack.run("consume", "--until-end")
    stack.write("OPTIMIZE TABLE events FINAL")
    return stack


def wound(stack: Project) -> None:
    """Lost and doubled rows, in and across both tables, with gaps that are far apart."""
    damage.delete(stack, "events", "_partition = 0 AND _offset % 7 = 1")
    damage.delete(stack, "events", "_partition = 1 AND _offset >= 50 AND _offset < 750")
    damage.delete(stack, "dead_letters", "_partition = 1")
    damage.double(stack, "events", "_partition = 2 AND _offset % 3 = 0", copies=2)
    damage.double(stack, "events", "_partition = 0 AND _offset < 500")
    damage.double(stack, "dead_letters", "_partition = 2")
    damage.dead_letter_too(stack, "_partition = 3 AND _offset < 200")


def differences(stack: Project) -> tuple[int, int]:
    found = json.loads(stack.run("verify", "-o", "json", code=None).stdout)
    return found["missing"], found["duplicated"]


def test_a_dry_repair_changes_nothing_and_an_executed_one_heals_all(filled: Project) -> None:
    """Rows, dead letters and rollups; the dry one names the command."""
    whole = damage.content(filled)
    wound(filled)
    written = "SELECT table, mutation_id FROM system.mutations WHERE database = 'nrt' ORDER BY 1, 2"
    before = (damage.content(filled), filled.rows(written))
    assert before[0] != whole
    missing, duplicated = differences(filled)
    dry = filled.run("verify", "--repair", "--set", "batch.max_rows=50", code=5)
    command = "nrtctl verify --repair --execute --set batch.max_rows=50"
    assert f"nothing was changed; to do it, run: {command}" in dry.stdout.decode()
    plan = filled.json("verify", "--repair", code=5)["repair"]
    assert not plan["executed"]
    assert sum(step["reload"] for step in plan["plan"]) == missing > 500
    assert sum(step["remove"] for step in plan["plan"]) == duplicated > 500
    assert (damage.content(filled), filled.rows(written)) == before

    done = filled.json("verify", "--repair", "--execute")
    assert (done["repair"]["reloaded"], done["repair"]["removed"]) == (missing, duplicated)
    assert (done["missing"], done["duplicated"], done["ok"]) == (0, 0, True)
    assert damage.content(filled) == whole
    again = filled.json("verify", "--repair", "--execute")["repair"]
    assert (again["plan"], again["reloaded"], again["removed"]) == ([], 0, 0)


def test_a_repair_that_is_killed_is_finished_by_the_next(filled: Project) -> None:
    """Killed when rows have begun to come back, one insert in doubt."""
    whole = damage.content(filled)
    wound(filled)
    missing, _ = differences(filled)
    environ = dict(filled.environ)
    filled.environ["NRTCTL_FAULT"] = "insert-answered=2"
    killed = filled.run("verify", "--repair", "--execute", "--set", "batch.max_rows=400", code=None)
    assert killed.returncode == -signal.SIGKILL
    filled.environ = environ
    done = filled.json("verify", "--repair", "--execute")
    assert 0 < done["repair"]["reloaded"] < missing
    assert (done["missing"], done["duplicated"], done["ok"]) == (0, 0, True)
    assert damage.content(filled) == whole


@pytest.mark.long
def test_a_repair_that_is_killed_at_any_time_is_finished_by_the_next(filled: Project) -> None:
    """When rows have begun to come back, and when doubled ones have begun to go."""
    whole = damage.content(filled)
    wound(filled)
    caught = 0
    while True:
        was = differences(filled)
        if was == (0, 0):
            break
        repair = filled.start("verify", "--repair", "--execute", "--set", "batch.max_rows=80")
        try:
            rows = stored(filled)

            def moved(repair: subprocess.Popen[bytes] = repair, rows: int = rows) -> bool:
                return repair.poll() is not None or stored(filled) != rows

            eventually(moved, "a change or the end")
            if caught < 3:
                repair.send_signal(signal.SIGKILL)
            ended = repair.wait(60)
        finally:
            repair.kill()
            repair.communicate()
        caught += ended == -signal.SIGKILL
    assert caught >= 2
    assert damage.content(filled) == whole


def stored(stack: Project) -> int:
    """Rows and dead letters."""
    return int(
        stack.value("SELECT (SELECT count() FROM events) + (SELECT count() FROM dead_letters)")
    )


def test_a_spent_token_does_not_stop_a_repair(filled: Project) -> None:
    """The rows of a repair are taken out again: their token is still in the window."""
    whole = damage.content(filled)
    for _ in range(2):
        damage.delete(filled, "events", "_partition = 1 AND _offset < 50")
        assert filled.json("verify", "--repair", "--execute")["repair"]["reloaded"] > 30
        assert damage.content(filled) == whole


def test_a_batch_under_way_is_not_touched(filled: Project) -> None:
    at = filled.value("SELECT max(_offset) FROM events WHERE _partition = 0") - 200
    damage.double(filled, "events", f"_partition = 0 AND _offset >= {at} AND _offset < {at + 20}")
    damage.delete(filled, "events", f"_partition = 0 AND _offset >= {at + 50}")
    damage.commit_offset(
        filled, 0, at, encode_metadata("events", Intent(OffsetRange(at, at + 100), "e1"))
    )
    before = damage.content(filled)
    plan = filled.json("verify", "--repair", "--execute", code=5)["repair"]
    assert [(step["reload"], step["remove"]) for step in plan["plan"]] == [(0, 0)]
    assert plan["plan"][0]["later"] > 10
    assert damage.content(filled) == before


def test_a_repair_beside_a_running_consumer(filled: Project) -> None:
    wound(filled)
    consumer = filled.start("consume", "--set", "batch.max_wait=250ms")
    producer = filled.start("produce", "--count", "2000", "--rate", "1000")
    try:
        repaired = filled.json("verify", "--repair", "--execute")
        assert (repaired["missing"], repaired["duplicated"]) == (0, 0)
        assert repaired["repair"]["reloaded"] > 500
        assert producer.wait(60) == 0
        eventually(lambda: stored(filled) == 6_000, "everything is stored")
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(60) == 0
    finally:
        for process in (consumer, producer):
            process.kill()
            process.communicate()
    report = filled.json("verify")
    assert report["stored"] + report["dead_letters"] == 6_000
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)


def test_a_message_that_the_sql_fails_on_is_reloaded_as_a_dead_letter(filled: Project) -> None:
    """The pipeline has got a column since that throws on some messages: the others come back."""
    damage.delete(filled, "events", "_partition = 1 AND _offset < 150")
    throws = "throwIf(request_latency_ms % 50 = 7)"
    filled.run("up", "--set", f"pipeline.columns.odd='{throws}'")
    gone = filled.json("verify", code=5)["missing"]
    done = filled.json("verify", "--repair", "--execute")
    assert (done["missing"], done["duplicated"], done["repair"]["reloaded"]) == (0, 0, gone)
    failed = filled.rows("SELECT _offset, error FROM dead_letters WHERE reason = 'insert failed'")
    back = filled.value("SELECT count() FROM events WHERE _partition = 1 AND _offset < 150")
    assert 0 < len(failed) == gone - back
    assert all(row["error"] for row in failed)
