"""A broker and its directory: what it does when that is taken from under it, and when something
lies in it that it does not know."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from nrtctl.local.process import EXIT_NOT_OURS
from tests.plugins.kafka_wire import (
    Closed,
    Wire,
    batch,
    create_topic,
    fetch,
    produce,
)
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

TOPIC = "kept"
Make = Callable[..., LocalBroker]
Connect = Callable[[str], Wire]


def ended(broker: LocalBroker) -> int:
    assert broker.process is not None
    broker.process.wait(60)
    return broker.stop()


def tree(directory: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize("how", ["deleted", "moved", "linked"])
def test_it_ends_and_touches_nothing_that_came_to_its_place(
    make_local_broker: Make, wire: Connect, tmp_path: Path, how: str
) -> None:
    if how == "linked":
        (tmp_path / "0" / "first").mkdir(parents=True)
        (tmp_path / "0" / "broker").symlink_to("first")
        broker = LocalBroker(tmp_path / "0")
        broker.start()
    else:
        broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    assert produce(connection, TOPIC, batch([b"a"])).error_code == 0
    other = tmp_path / "another"
    (other / "topics" / str(uuid.uuid4())).mkdir(parents=True)
    (other / "topics.json").write_text("another's")
    (other / "endpoint.json").write_text("another's")
    (other / "lock").touch()
    before = tree(other)
    if how == "deleted":
        shutil.rmtree(broker.data_dir)
        with contextlib.suppress(Closed, OSError):
            assert keep_producing(connection) == 56
        other.rename(broker.data_dir)
    elif how == "moved":
        broker.data_dir.rename(tmp_path / "away")
        other.rename(broker.data_dir)
    else:
        broker.data_dir.unlink()
        broker.data_dir.symlink_to(other)
    with pytest.raises((Closed, OSError)):
        eventually(
            lambda: produce(connection, TOPIC, batch([b"b"])) is None, "the end of the broker"
        )
    assert ended(broker) == EXIT_NOT_OURS
    assert tree(broker.data_dir) == before


def test_a_directory_that_was_moved_is_whole(
    make_local_broker: Make, wire: Connect, tmp_path: Path
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    acknowledged = 0
    away = tmp_path / "away"
    try:
        for number in range(1_000_000):
            if number == 50:
                broker.data_dir.rename(away)
            produce(connection, TOPIC, batch([b"%d" % number]))
            acknowledged += 1
    except (Closed, OSError):
        pass
    assert ended(broker) == EXIT_NOT_OURS
    assert not broker.data_dir.exists()
    away.rename(broker.data_dir)
    broker.start()
    answer = wire(broker.bootstrap)
    assert produce(answer, TOPIC, batch([b"next"])).base_offset in (acknowledged, acknowledged + 1)


@pytest.mark.parametrize("what", ["log", "journal"])
def test_nothing_is_acknowledged_in_a_file_that_was_deleted(
    make_local_broker: Make, wire: Connect, what: str
) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    assert produce(connection, TOPIC, batch([b"a"])).error_code == 0
    if what == "log":
        shutil.rmtree(broker.data_dir / "topics")
        assert keep_producing(connection) == 56
        return
    (broker.data_dir / "groups.journal").unlink()
    assert commit(connection) == 56


def keep_producing(connection: Wire) -> int:
    """The first error."""
    return int(
        eventually(
            lambda: produce(connection, TOPIC, batch([b"b"])).error_code,
            "a message that is not acknowledged",
        )
    )


def commit(connection: Wire) -> int:
    answer = connection.call(
        "offset_commit", 7, group_id="g", generation_id_or_member_epoch=-1, member_id="",
        group_instance_id=None,
        topics=({"name": TOPIC, "partitions": ({"partition_index": 0, "committed_offset": 1,
                 "committed_leader_epoch": -1, "committed_metadata": ""},)},),
    )  # fmt: skip
    return int(answer.topics[0].partitions[0].error_code)


def test_what_no_topic_owns_is_set_aside(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, TOPIC)
    produce(connection, TOPIC, batch([b"a"]))
    broker.stop()
    unknown = broker.data_dir / "topics" / str(uuid.uuid4()) / "0"
    unknown.mkdir(parents=True)
    (unknown / f"{0:020}.log").write_bytes(b"somebody's messages")
    broker.start()
    (aside,) = (broker.data_dir / "set-aside").iterdir()
    assert (aside / "0" / f"{0:020}.log").read_bytes() == b"somebody's messages"
    assert not unknown.exists()
    assert "set aside" in broker.log.read_text()
    assert fetch(wire(broker.bootstrap), TOPIC, 0).high_watermark == 1


def test_a_deletion_that_a_crash_interrupts_is_finished(
    make_local_broker: Make, wire: Connect
) -> None:
    broker = make_local_broker()
    create_topic(wire(broker.bootstrap), TOPIC)
    broker.stop()
    path = broker.data_dir / "topics.json"
    state = json.loads(path.read_text())
    gone = state["topics"].pop(TOPIC)["id"]
    path.write_text(json.dumps({**state, "deleting": [gone]}))
    broker.start()
    assert not (broker.data_dir / "topics" / gone).exists()
    assert not (broker.data_dir / "set-aside").exists()


def test_it_takes_the_id_of_its_stack(make_local_broker: Make, wire: Connect) -> None:
    broker = make_local_broker("--stack-id", "of-this-stack")
    answer = wire(broker.bootstrap).call("metadata", 9, topics=None)
    assert answer.cluster_id == "of-this-stack"
