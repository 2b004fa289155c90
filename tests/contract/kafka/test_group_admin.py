"""`nrtctl groups` against both brokers: groups without members, with them, and none at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from kio.schema.errors import ErrorCode

from nrtctl.clock import SystemClock
from nrtctl.config.servers import Kafka
from nrtctl.errors import NrtctlError
from nrtctl.kafka.groups import GroupsAdmin
from tests.contract.kafka.conftest import Broker
from tests.plugins.kafka_wire import Wire, batch, produce
from tests.plugins.waiting import eventually


@pytest.fixture
def admin(broker: Broker) -> GroupsAdmin:
    return GroupsAdmin(Kafka(), address=broker.bootstrap, clock=SystemClock())


def member_of(broker: Broker, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "client.id": "somebody",
            "group.instance.id": "one",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def test_a_group_without_members(
    admin: GroupsAdmin, broker: Broker, connection: Wire, new_topic: Callable[..., str], group: str
) -> None:
    one, two = new_topic(2), new_topic(1)
    produce(connection, one, batch([b"x"] * 6), partition=1)
    member = member_of(broker, group)
    member.commit(
        offsets=[
            TopicPartition(one, 1, 2, "nrtctl1:events:5:3a04f4a2#700e23fe"),
            TopicPartition(two, 0, 0, "by hand"),
        ],
        asynchronous=False,
    )
    member.close()
    found = admin.state(group)
    assert (found.state, found.members) == ("empty", ())
    assert {(e.topic, e.partition, e.committed, e.lag) for e in found.offsets} == {
        (one, 1, 2, 4),
        (two, 0, 0, 0),
    }
    assert found.tables == ("events",)
    assert found.lag == 4
    listed, errors = admin.list(lambda name: name == group)
    assert not errors
    assert [(e.group, e.state, e.kind) for e in listed] == [(group, "empty", "classic")]
    admin.delete(group)
    eventually(lambda: admin.list(lambda name: name == group)[0] == [], "its end")
    with pytest.raises(NrtctlError, match="there is no consumer group"):
        admin.delete(group)


def test_a_group_with_a_member(
    admin: GroupsAdmin, broker: Broker, new_topic: Callable[..., str], group: str
) -> None:
    topic = new_topic(3)
    member = member_of(broker, group)
    member.subscribe([topic])

    def stable() -> bool:
        member.poll(0.1)
        return len(member.assignment()) == 3

    eventually(stable, "its partitions")
    found = admin.state(group)
    assert found.state == "stable"
    assert found.protocol == "range"
    assert found.coordinator == broker.bootstrap
    (one,) = found.members
    assert (one.client_id, one.host, one.instance_id) == ("somebody", "127.0.0.1", "one")
    assert one.partitions == ((topic, 0), (topic, 1), (topic, 2))
    assert [(e.committed, e.client_id, e.lag) for e in found.offsets] == [
        (None, "somebody", None)
    ] * 3
    with pytest.raises(NrtctlError, match="has members"):
        admin.delete(group)
    member.close()


def test_a_topic_that_is_gone(
    admin: GroupsAdmin, broker: Broker, connection: Wire, new_topic: Callable[..., str], group: str
) -> None:
    kept, gone = new_topic(1), new_topic(1)
    member = member_of(broker, group)
    offsets = [TopicPartition(kept, 0, 0), TopicPartition(gone, 0, 0)]
    member.commit(offsets=offsets, asynchronous=False)
    member.close()
    connection.call("delete_topics", 1, topic_names=(gone,), timeout=10_000)

    def known() -> set[tuple[str, bool]]:
        return {(e.topic, e.log_end is not None) for e in admin.state(group).offsets}

    eventually(
        lambda: known() in ({(kept, True)}, {(kept, True), (gone, False)}), "its end is seen"
    )


def test_no_such_group(admin: GroupsAdmin, group: str) -> None:
    with pytest.raises(NrtctlError, match="there is no consumer group"):
        admin.state(group)
    with pytest.raises(NrtctlError, match="there is no consumer group"):
        admin.delete(f"g-{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("kind", "assignment"),
    [
        pytest.param("connect", b"\0\1\0\0\0\0\0\x0bhttp://h/", id="connect"),
        pytest.param("consumer", b"\0\1\x7f\xff\xff\xff", id="damaged"),
        pytest.param("tasks", b"\xff", id="another"),
    ],
)
def test_a_group_of_another_kind(
    admin: GroupsAdmin, connection: Wire, group: str, kind: str, assignment: bytes
) -> None:
    """Described by Kafka's client, it ends the process."""
    connection.call("find_coordinator", 3, key=group, key_type=0)
    joined: list[Any] = []

    def join() -> bool:
        joined[:] = [
            connection.call(
                "join_group", 7, group_id=group, session_timeout=30_000, rebalance_timeout=30_000,
                member_id="", group_instance_id="one", protocol_type=kind,
                protocols=[{"name": "mine", "metadata": b"x"}], reason=None,
            )
        ]  # fmt: skip
        return bool(joined[0].error_code == ErrorCode.none)

    eventually(join, "its only member")
    member = {"group_id": group, "generation_id": joined[0].generation_id,
              "member_id": joined[0].member_id, "group_instance_id": "one"}  # fmt: skip
    synced = connection.call(
        "sync_group", 5, **member, protocol_type=kind, protocol_name="mine",
        assignments=[{"member_id": joined[0].member_id, "assignment": assignment}],
    )  # fmt: skip
    assert synced.error_code == ErrorCode.none
    found = admin.state(group)
    assert (found.state, found.kind, found.protocol) == ("stable", kind, "mine")
    assert [(each.member_id, each.partitions) for each in found.members] == [
        (joined[0].member_id, ())
    ]
    assert (found.offsets, found.foreign) == ((), True)
