"""`nrtctl replay load --into --swap`: a new table takes the old one's place, whatever is killed
when, and the group goes on with the next message; on the local broker and Apache Kafka."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

import pytest

from nrtctl.kafka.admin import NewPartitions
from nrtctl.store.faultpoints import SWAP_POINTS
from tests.e2e.test_replay_load import clean
from tests.e2e.test_replay_offsets import TIMES_OUT, Setup, apache, local
from tests.plugins import damage
from tests.plugins.waiting import eventually

__all__ = ["apache", "local"]

SMALL = ("--set", "batch.max_rows=100", *TIMES_OUT)
LARGER = ("--set", "batch.max_rows=400", *TIMES_OUT)
LOAD = ("replay", "load", "--into", "events_2")
TABLES = "SELECT name, toString(uuid) AS id FROM system.tables WHERE database = 'nrt' ORDER BY name"
WRONG = "SELECT countIf(twice != request_latency_ms * 2) FROM events"
TYPE = "SELECT type FROM system.columns WHERE table = 'events' AND name = 'request_latency_ms'"


def configure(setup: Setup, column: str, kind: str) -> None:
    path = setup.project.directory / "nrtctl.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("twice")]
    text = "\n".join(lines) + "\n"
    old = "UInt32" if kind == "Float64" else "Float64"
    text = text.replace(f'request_latency_ms = "{old}"', f'request_latency_ms = "{kind}"')
    path.write_text(
        text.replace("[pipeline.columns]", f'[pipeline.columns]\ntwice = "{column}"', 1)
        .replace('"latency out of range" = "request_latency_ms > 600000"',
                 '"too slow" = "request_latency_ms > 400"' if kind == "Float64" else
                 '"latency out of range" = "request_latency_ms > 600000"')
    )  # fmt: skip


def filled(setup: Setup) -> None:
    """2,000 messages of a pipeline with a wrong column; then one that stores another type too, and
    rejects other messages."""
    configure(setup, "request_latency_ms * 3", "UInt32")
    setup.project.run("up")
    setup.project.run("produce", "--count", "2000", "--seed", "6", "--invalid", "5")
    setup.project.run("consume", "--until-end")
    configure(setup, "request_latency_ms * 2", "Float64")
    assert b"--into" in setup.project.run("up", code=2).stderr


def made_again(setup: Setup) -> None:
    """The topic is the second of its name; of the first there is no row."""
    setup.project.run("up")
    setup.project.run("consume", "--until-end")
    client = damage.admin(setup.project)
    client.delete_topics([setup.topic])[setup.topic].result(20)
    eventually(
        lambda: setup.topic not in client.list_topics(timeout=20).topics, "the topic is deleted"
    )


def state(setup: Setup) -> Any:
    tables = setup.project.rows(TABLES)
    return setup.committed(), damage.content(setup.project), tables


def right(setup: Setup, messages: int) -> None:
    """Everything is there once, as one clean load with the new pipeline stores it."""
    project = setup.project
    report = project.json("verify")
    assert report["stored"] + report["dead_letters"] == messages
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    assert project.value(WRONG) == 0
    assert project.value(TYPE) == "Float64"
    found = damage.content(project)
    assert found == clean(setup)
    assert project.value("SELECT count() FROM dead_letters WHERE _target = 'events_2'") == 0


def given_up(setup: Setup, tables: set[str]) -> None:
    """A load, of which nothing is left but the tables that there were."""
    project = setup.project
    loaded = project.json(*LOAD, "--offset", "+9:", "--execute", "--rate", "9000")
    assert (loaded["state"], loaded["missing"], loaded["duplicated"]) == ("loaded", 0, 0)
    assert b"--resume" in project.run(*LOAD, "--execute", code=1).stderr
    assert b"from before the range" in project.run(*LOAD, "--resume", "--swap", code=2).stderr
    project.run(*LOAD, "--abandon")
    assert project.value("SELECT count() FROM events_2") > 0
    project.run(*LOAD, "--abandon", "--execute")
    assert {each["name"] for each in project.rows(TABLES)} == tables


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_new_table_beside_a_consumer(local: Setup, whole: bool) -> None:
    """The whole is loaded once before, and given up."""
    filled(local)
    project = local.project
    before = state(local)
    dry = project.json(*LOAD, "--swap")
    assert (dry["state"], dry["offsets"]) == ("dry", 2000)
    assert state(local) == before
    consumer = project.start("consume", "--set", "batch.max_wait=400ms")
    producer = project.start("produce", "--count", "1500", "--rate", "500", "--invalid", "5")
    swap = None
    try:
        if whole:
            given_up(local, {each["name"] for each in before[2]})
        refused = project.run(*LOAD, "--swap", "--execute", code=1)
        assert b"1 member," in refused.stderr
        assert project.value(TYPE) == "UInt32"

        # What the consumer stores from now on is loaded before the exchange.
        assert producer.wait(60) == 0
        project.run("produce", "--count", "500", "--invalid", "5")
        eventually(lambda: sum(local.offsets()) >= 4000, "all offsets committed")
        swap = project.start(*LOAD, "--resume", "--swap", "--wait", "--execute")
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(60) == 0
        _, errors = swap.communicate(timeout=120)
        assert swap.returncode == 0, errors
    finally:
        for process in (consumer, producer, *([swap] if swap else [])):
            process.kill()
            process.communicate()
    project.run("up")
    project.run("produce", "--count", "500", "--invalid", "5")
    project.run("consume", "--until-end")
    right(local, 4500)
    assert project.value("SELECT count() FROM events_2") > 0
    assert b"events_2 exists already" in project.run(*LOAD, "--execute", code=2).stderr


def killed_and_finished(
    setup: Setup,
    points: tuple[str, ...],
    random_kills: int,
    batch: tuple[str, ...] = SMALL,
) -> None:
    """A consumer is killed with a batch declared and inserted; then the load, wherever it is."""
    filled(setup)
    project = setup.project
    project.run("produce", "--count", "1000", "--seed", "8", "--invalid", "20")
    setup.kill("insert-answered=2", "consume", "--until-end", *SMALL)
    before = setup.committed()
    assert any(text.split(":")[2:3] not in ([], ["-"]) for _, text in before.values())
    command = (*LOAD, "--swap", "--wait", "--execute", *batch)
    resume: tuple[str, ...] = ()
    for point in points:
        setup.kill(f"{point}=1", *command, *resume)
        resume = ("--resume",)
        if point == "swap-fenced":
            stopped = project.run("consume", "--until-end", *SMALL, code=1)
            assert b"replay load --into events_2 --resume" in stopped.stderr
            words = ("replay", "offsets", "--to-earliest", "--execute", "--wait")
            assert b"is being exchanged" in project.run(*words, code=1).stderr
            assert b"no longer be given up" in project.run(*LOAD, "--abandon", code=1).stderr
    chance = random.Random(7)
    for _ in range(random_kills):
        load = project.start(*command, *resume)
        time.sleep(chance.uniform(0.5, 2))
        load.kill()
        load.communicate()
        if load.returncode == 0:
            break
    project.run(*command, "--resume", code=None)
    project.run(*command, "--resume", code=1)
    assert setup.committed() == before
    project.run("consume", "--until-end", *batch)
    right(setup, 3000)


def test_killed_in_the_exchange(local: Setup) -> None:
    """Loading, before the exchange, and after it."""
    points = ("intent-declared", "swap-fenced", "swap-letters-copied")
    killed_and_finished(local, points, 0, LARGER)


@pytest.mark.long
def test_killed_at_every_step_of_the_exchange(local: Setup) -> None:
    """Of a topic that was made again."""
    made_again(local)
    points = ("load-begun", "intent-declared", *SWAP_POINTS, "load-finishing")
    killed_and_finished(local, points, 0, LARGER)


@pytest.mark.long
def test_killed_at_random(local: Setup) -> None:
    killed_and_finished(local, ("load-begun",), 2)


@pytest.mark.long
def test_killed_on_apache_kafka(apache: Setup) -> None:
    killed_and_finished(apache, ("swap-fenced", "swap-letters-copied"), 0)


def test_what_is_refused(local: Setup) -> None:
    filled(local)
    project = local.project
    for words, said in (
        (("--into", "events"), b"own table"),
        (("--into", "dead_letters"), b"two tables"),
        (("--into", "a b"), b"identifier"),
        (("--into", "event_metrics"), b"two tables"),
        (("--swap",), b"only be used with --into"),
        (("--abandon",), b"only be used with --into"),
        (("--into", "t", "--swap", "--partition", "1"), b"cannot be used with --partition"),
        (("--into", "t", "--wait"), b"only be used with --swap"),
        (("--into", "t", "--abandon", "--swap"), b"cannot be used with --swap"),
    ):
        done = project.run("replay", "load", *words, code=2)
        assert said in done.stderr, words
        assert done.stdout == b""

    damage.forget_below(project, 0, 100)
    assert b"--leave-older" in project.run(*LOAD, "--swap", "--execute", code=2).stderr
    tables = project.rows(TABLES)
    local.kill("load-begun=1", *LOAD, "--swap", "--leave-older", "--execute")
    assert b"--resume" in project.run(*LOAD, "--execute", code=1).stderr
    project.run(*LOAD, "--abandon", "--execute")
    assert project.rows(TABLES) == tables
    local.kill("load-begun=1", *LOAD, "--swap", "--leave-older", "--execute")
    configure(local, "request_latency_ms * 4", "Float64")
    changed = project.run(*LOAD, "--resume", "--execute", code=2)
    assert b"has changed since" in changed.stderr
    configure(local, "request_latency_ms * 2", "Float64")
    admin = damage.admin(project)
    admin.create_partitions([NewPartitions(local.topic, 5)])[local.topic].result(20)
    done = project.json(*LOAD, "--resume", "--swap", "--leave-older", "--execute")
    assert (done["state"], len(done["partitions"])) == ("swapped", 4)
    report = project.json("verify")
    assert (report["missing"], report["duplicated"], report["lag"]) == (0, 0, 0)
    left = "SELECT countIf(_partition = 0 AND _offset < 100) FROM"
    assert project.value(f"{left} events") == 0
    assert project.value(f"{left} events_2") > 80
