"""`nrtctl consume` of several pipelines: one process, and each of them by itself."""

from __future__ import annotations

import json
import re
import signal
import urllib.error
import urllib.request

import pytest
from confluent_kafka import Producer

from tests.plugins import damage
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

NAMES = ("orders", "clicks", "visits")


def configured(project: Project, *names: str) -> Project:
    pipelines = "".join(f'[pipelines.{name}.fields]\nid = "UInt64"\n' for name in names)
    project.use_pipelines(f"[pipeline]\npartitions = 2\n{pipelines}")
    return project


@pytest.fixture
def three(stack: Project) -> Project:
    return configured(stack, *NAMES)


@pytest.fixture
def two(stack: Project) -> Project:
    return configured(stack, "orders", "clicks")


def send(project: Project, name: str, *messages: bytes) -> None:
    producer = Producer({"bootstrap.servers": damage.bootstrap(project)})
    for message in messages:
        producer.produce(name, message)
    assert producer.flush(60) == 0


def stored(project: Project, name: str) -> int:
    return int(project.rows(f"SELECT count() AS n FROM {name}")[0]["n"])


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_all_of_them_are_stored_and_counted_by_name(three: Project, workers: int) -> None:
    three.run("up")
    for number, name in enumerate(NAMES, 1):
        send(three, name, *(b'{"id":%d}' % each for each in range(number)), b"broken")
    done = three.json("consume", "--until-end")["pipelines"]
    assert {name: (each["rows"], each["dead_letters"]) for name, each in done.items()} == {
        "orders": (1, 1), "clicks": (2, 1), "visits": (3, 1),
    }  # fmt: skip
    for name in NAMES if workers > 1 else ():
        send(three, name, b'{"id":7}')
    if workers > 1:
        done = three.json("consume", "--until-end", "--workers", str(workers))["pipelines"]
        assert {name: (each["rows"], each["workers"]) for name, each in done.items()} == {
            "orders": (1, 2), "clicks": (1, 2), "visits": (1, 2),
        }  # fmt: skip
    refused = three.run("consume", "--count", "1", code=2)
    assert b"--count is a number of messages of one pipeline, and there are 3" in refused.stderr


def test_one_without_a_table_is_begun_again_while_the_others_go_on(three: Project) -> None:
    made = three.run("up", "--pipeline", "orders")
    assert b"  nrtctl consume --pipeline orders --until-end    store them" in made.stderr
    nothing = three.run("consume", "--pipeline", "clicks", "--pipeline", "visits", code=1)
    assert b"nrtctl up" in nothing.stderr
    three.run("up", "--pipeline", "visits")
    log = three.directory / "said"
    options = ("-o", "json", "--metrics-port", "0", "--set", "batch.max_wait=50ms")
    with three.consuming(log, *options) as consumer:
        send(three, "orders", b'{"id":1}')
        eventually(lambda: stored(three, "orders") == 1, "the order")
        url = eventually(lambda: re.search(r"(http:\S+)/metrics", log.read_text()), "the address")
        assert url is not None
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"{url[1]}/readyz")
        assert b"clicks: stopped:" in unready.value.read()
        three.run("up")
        send(three, "clicks", b'{"id":2}')
        eventually(lambda: stored(three, "clicks") == 1, "the click")
        counted = 'nrtctl_rows_inserted_total{pipeline="clicks",table="clicks"} 1.0'
        eventually(
            lambda: counted in urllib.request.urlopen(f"{url[1]}/metrics").read().decode(),
            "the click in the metrics",
        )
        consumer.send_signal(signal.SIGTERM)
        out, _ = consumer.communicate(timeout=60)
    assert consumer.returncode == 0
    assert "warning: clicks: stopped: " in log.read_text()
    done = json.loads(out)["pipelines"]
    assert done["clicks"]["restarts"] >= 1
    assert (done["orders"]["restarts"], done["orders"]["records"]) == (0, 1)


def test_a_backlog_of_one_keeps_no_other_waiting(two: Project) -> None:
    two.run("up")
    backlog = 8_000
    send(two, "orders", *(b'{"id":%d}' % each for each in range(backlog)))
    limits = ("--set", "batch.max_rows=200", "--set", "consumer.max_buffer=1MiB")
    with two.consuming(two.directory / "said", *limits) as consumer:
        eventually(lambda: stored(two, "orders") > 0, "the first orders")
        send(two, "clicks", b'{"id":1}')
        eventually(lambda: stored(two, "clicks") == 1, "the click")
        eventually(lambda: stored(two, "orders") == backlog, "all orders")
        consumer.terminate()
        consumer.communicate(timeout=60)
    assert consumer.returncode == 0
    before = "_inserted_at <= (SELECT max(_inserted_at) FROM clicks)"
    (row,) = two.rows(f"SELECT count() AS n FROM orders WHERE {before}")
    assert int(row["n"]) < backlog


def test_a_paused_pipeline_waits_and_the_others_go_on(three: Project) -> None:
    three.run("up")
    refused = three.run("pause", code=2)
    assert b"orders, clicks, visits" in refused.stderr
    assert three.json("pause", "clicks")["paused_since"]
    shot = three.json("stats", "--once", "--pipeline", "clicks")
    assert shot["verdict"]["state"] == "paused"
    for name in NAMES:
        send(three, name, b'{"id":1}')
    log = three.directory / "said"
    with three.consuming(log, "--set", "batch.max_wait=50ms") as consumer:
        eventually(lambda: stored(three, "orders") == stored(three, "visits") == 1, "the others")
        assert stored(three, "clicks") == 0
        assert "clicks: paused since" in log.read_text()
        three.run("pause", "visits")
        eventually(lambda: "visits: paused since" in log.read_text(), "the pause")
        three.run("resume", "--pipeline", "clicks")
        eventually(lambda: stored(three, "clicks") == 1, "the click")
        send(three, "visits", b'{"id":2}')
        send(three, "orders", b'{"id":2}')
        eventually(lambda: stored(three, "orders") == 2, "the order")
        assert stored(three, "visits") == 1
        consumer.terminate()
        consumer.communicate(timeout=60)
    three.run("resume", "*")
    done = three.json("consume", "--until-end")["pipelines"]
    assert {name: each["rows"] for name, each in done.items()}["visits"] == 1
    report = three.json("verify")["pipelines"]
    assert [(each["stored"], each["missing"], each["duplicated"]) for each in report.values()] == [
        (2, 0, 0), (1, 0, 0), (2, 0, 0),
    ]  # fmt: skip
