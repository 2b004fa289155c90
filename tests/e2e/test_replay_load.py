"""`nrtctl replay load`: a range is made again, without the group, whatever is killed when."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from nrtctl.store.faultpoints import LOAD_POINTS
from tests.e2e.test_replay_offsets import Setup, apache, local
from tests.plugins import damage
from tests.plugins.waiting import eventually

__all__ = ["apache", "local"]

SMALL = ("--set", "batch.max_rows=100", "--set", "consumer.session_timeout=6s")
TWICE = ("--set", "pipeline.columns.twice='request_latency_ms * 2'")
THRICE = ("--set", "pipeline.columns.twice='request_latency_ms * 3'")
FAULTS = (*LOAD_POINTS, "intent-declared", "insert-answered", "idle-committed")


def filled(setup: Setup, messages: int = 2000) -> None:
    """Messages stored by a pipeline whose column `twice` is wrong."""
    setup.project.run("up", *THRICE)
    setup.project.run("produce", "--count", str(messages), "--seed", "6", "--invalid", "5")
    setup.project.run("consume", "--until-end")


def clean(setup: Setup) -> object:
    """What one clean load with the right pipeline stores; the tables are full of it then."""
    project = setup.project
    for table in ("events", "dead_letters"):
        damage.delete(project, table, "1")
    project.run("replay", "offsets", "--to-earliest", "--execute", "--wait")
    project.run("consume", "--until-end")
    return damage.content(project)


def test_a_range_is_made_again_and_only_it(local: Setup) -> None:
    filled(local)
    project = local.project
    project.run("up", *TWICE)
    before, content = local.committed(), damage.content(project)
    dry = project.json("replay", "load", "--offset", "100:400", "--partition", "1")
    assert (dry["state"], dry["offsets"]) == ("dry", 300)
    assert (local.committed(), damage.content(project)) == (before, content)
    done = project.json("replay", "load", "--offset", "100:400", "--partition", "1", "--execute")
    assert (done["state"], done["missing"], done["duplicated"]) == ("loaded", 0, 0)
    assert local.committed() == before
    wrong = "twice != request_latency_ms * 2"
    inside = "_partition = 1 AND _offset >= 100 AND _offset < 400"
    assert project.value(f"SELECT countIf({wrong}) FROM events WHERE {inside}") == 0
    outside = project.rows(
        f"SELECT countIf({wrong}) AS w, count() AS n FROM events WHERE NOT ({inside})"
    )
    assert outside[0]["w"] == outside[0]["n"] - project.value(
        f"SELECT count() FROM events WHERE NOT ({inside}) AND request_latency_ms = 0"
    )
    project.run("replay", "load", "--resume", code=1)
    project.run("replay", "load", "--offset", "soon", code=2)
    empty = project.run("replay", "load", "--offset", "5:3", code=2).stderr
    assert b"error: --offset: '5:3' is an empty range" in empty
    unnamed = project.run("replay", "load", "--into", "2x", code=2).stderr
    assert b"error: --into: '2x' is not an SQL identifier" in unnamed


@pytest.mark.long
def test_all_of_it_is_made_again_beside_a_consumer(local: Setup) -> None:
    """At a limited speed; `test_replay_into.py` has a consumer beside a load in its short form."""
    filled(local)
    project = local.project
    project.run("up", *TWICE)
    consumer = project.start("consume", *TWICE, "--set", "batch.max_wait=400ms")
    producer = project.start("produce", "--count", "1500", "--rate", "750")
    try:
        project.run("replay", "load", "--execute", "--rate", "1500", *TWICE)
        assert producer.wait(60) == 0
        eventually(lambda: sum(local.offsets()) == 3500, "all offsets committed")
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(60) == 0
    finally:
        for process in (consumer, producer):
            process.kill()
            process.communicate()
    report = project.json("verify")
    assert report["stored"] + report["dead_letters"] == 3500
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    wrong = "twice != request_latency_ms * 2"
    assert project.value(f"SELECT countIf({wrong}) FROM events") == 0


def killed_and_resumed(
    setup: Setup,
    faults: tuple[str, ...],
    random_kills: int,
    *,
    messages: int = 4000,
    batch: tuple[str, ...] = SMALL,
) -> None:
    filled(setup, messages)
    project = setup.project
    project.run("up", *TWICE)
    before = setup.offsets()
    resume: tuple[str, ...] = ()
    for fault in faults:
        setup.kill(f"{fault}=1", "replay", "load", "--execute", *resume, *TWICE, *batch)
        if fault == "load-begun":
            done = project.run("replay", "load", "--execute", code=1)
            assert b"--resume" in done.stderr
            done = project.run("replay", "offsets", "--to-earliest", "--execute", code=1)
            assert b"--resume" in done.stderr
            purge = project.run("topics", "purge", "--before", "end", "--execute", code=1)
            for done in (purge, project.run("verify", "--repair", "--execute", code=5)):
                assert b"replay load --resume" in done.stderr
                assert b"not finished" in done.stderr or b"was interrupted" in done.stderr
            resume = ("--resume",)
        doubled = project.rows(
            "SELECT _partition, _offset FROM events GROUP BY 1, 2 HAVING count() > 1 LIMIT 1"
        )
        assert doubled == []
    chance = random.Random(7)
    for _ in range(random_kills):
        load = project.start("replay", "load", "--execute", *resume, *TWICE, *batch)
        time.sleep(chance.uniform(0.8, 3))
        load.kill()
        load.communicate()
        if load.returncode == 0:
            break
    project.run("replay", "load", "--execute", "--resume", *TWICE, *batch, code=None)
    assert setup.offsets() == before
    report = project.json("verify")
    assert report["stored"] + report["dead_letters"] == messages
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    found = damage.content(project)
    assert found == clean(setup)


def test_killed_it_is_finished(local: Setup) -> None:
    """As it deletes, and as it stores."""
    points = ("load-begun", "load-deleting", "insert-answered")
    larger = ("--set", "batch.max_rows=400")
    killed_and_resumed(local, points, 0, messages=2000, batch=larger)


def test_one_that_stalls_takes_no_row_of_another_that_went_on(local: Setup) -> None:
    filled(local)
    project = local.project
    load = ("replay", "load", "--execute")
    local.kill("load-begun=1", *load)
    environ = {**project.environ, "NRTCTL_FAULT": "load-deleting=1:stop"}
    nothing = subprocess.DEVNULL
    stalled = project.spawn(*load, "--resume", stdout=nothing, stderr=nothing, environ=environ)
    try:
        stat = Path(f"/proc/{stalled.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "it stalls")
        local.kill("load-window-done=1", *load, "--resume")
        stalled.send_signal(signal.SIGCONT)
        assert stalled.wait(60) == 0
    finally:
        stalled.kill()
    report = project.json("verify")
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)


@pytest.mark.long
def test_killed_anywhere_it_is_finished(local: Setup) -> None:
    killed_and_resumed(local, FAULTS[:-4] + FAULTS[-3:], 0)
    local.kill("load-finishing=1", "replay", "load", "--execute", *TWICE)
    local.project.run("replay", "load", "--execute", "--resume", *TWICE)
    assert local.project.json("verify")["duplicated"] == 0


@pytest.mark.long
def test_killed_at_random_it_is_finished(local: Setup) -> None:
    killed_and_resumed(local, ("load-begun",), 4)


@pytest.mark.long
def test_killed_on_apache_kafka(apache: Setup) -> None:
    killed_and_resumed(apache, ("load-begun", "load-deleted", "insert-answered"), 0)
