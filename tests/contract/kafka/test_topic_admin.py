"""`nrtctl topics` against both brokers: what is listed, described, made, changed and deleted."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from nrtctl.clock import SystemClock
from nrtctl.config.load import load_config
from nrtctl.config.servers import Kafka
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.kafka.topic_admin import TopicAdmin
from nrtctl.kafka.topic_states import Setting
from nrtctl.store.intents import Intent, encode_metadata, tag_of
from tests.contract.kafka.conftest import Broker
from tests.plugins.kafka_wire import Wire, batch, produce
from tests.plugins.waiting import eventually


def admin_of(broker: Broker) -> TopicAdmin:
    return TopicAdmin(Kafka(), address=broker.bootstrap, clock=SystemClock())


@pytest.fixture
def admin(broker: Broker) -> TopicAdmin:
    return admin_of(broker)


@pytest.fixture
def fresh() -> str:
    return f"t-{uuid.uuid4().hex[:12]}"


def setting(admin: TopicAdmin, topic: str, name: str) -> Setting:
    return next(each for each in admin.settings(topic) if each.name == name)


def test_what_is_told_of_topics(
    admin: TopicAdmin, connection: Wire, new_topic: Callable[..., str]
) -> None:
    one, two = new_topic(1), new_topic(3)
    records = batch([b"x" * 100] * 5)
    for partition in (0, 2, 2):
        produce(connection, two, records, partition=partition)
    states, told = admin.states([one, two])
    assert not told.unknown
    by_name = {each.name: each for each in states}
    assert by_name[one].messages == by_name[one].size == 0
    found = by_name[two]
    assert [each.messages for each in found.partitions] == [5, 0, 10]
    assert [each.size for each in found.partitions] == [len(records), 0, 2 * len(records)]
    assert {each.leader for each in found.partitions} == {1}
    assert found.replication_factor == 1
    assert found.leaderless == found.under_replicated == ()
    assert {one, two} <= set(admin.names())
    assert {one, two} <= {each.name for each in admin.states()[0]}
    assert len(admin.state(two)[0].topic_id) == 22


def test_what_is_not_there(admin: TopicAdmin, topic: str) -> None:
    asks: list[Callable[[str], object]] = [admin.state, admin.settings, admin.marks]
    for ask in asks:
        with pytest.raises(NrtctlError, match="does not exist"):
            ask("no-such-topic")
    with pytest.raises(NrtctlError) as raised:
        admin.state(topic + "x")
    assert repr(topic) in (raised.value.hint or ""), "the name that was meant"
    with pytest.raises(NrtctlError, match="does not exist"):
        admin.delete("no-such-topic")
    with pytest.raises(NrtctlError, match="does not exist"):
        admin.grow("no-such-topic", 5)
    with pytest.raises(NrtctlError, match="does not exist"):
        admin.configure("no-such-topic", {"retention.ms": "1"}, ())


def test_a_topic_is_made_changed_and_deleted(admin: TopicAdmin, fresh: str) -> None:
    admin.create(fresh, 2, 1, {"retention.ms": "7000000"})
    eventually(lambda: fresh in admin.names(), "the topic")
    with pytest.raises(NrtctlError, match="exists already"):
        admin.create(fresh, 2, 1, {})
    found = setting(admin, fresh, "retention.ms")
    assert (found.value, found.origin) == ("7000000", "topic")
    assert found.default != "7000000"
    admin.configure(fresh, {"segment.bytes": "2097152"}, ["retention.ms"])
    eventually(lambda: setting(admin, fresh, "segment.bytes").value == "2097152", "the new setting")
    eventually(lambda: setting(admin, fresh, "retention.ms").origin != "topic", "the setting's end")
    admin.grow(fresh, 5)
    eventually(lambda: len(admin.marks(fresh)) == 5, "its partitions")
    admin.delete(fresh)
    eventually(lambda: fresh not in admin.names(), "its end")


@pytest.mark.parametrize(
    ("name", "partitions", "replicas", "settings", "words"),
    [
        ("a b", None, None, {}, "up to 249 letters"),
        (None, None, 3, {}, "as many replicas as there are brokers"),
        (None, None, None, {"no.such": "1"}, "--all-settings"),
        (None, None, None, {"retention.ms": "soon"}, "--all-settings"),
    ],
)
def test_what_cannot_be_made(
    admin: TopicAdmin,
    fresh: str,
    name: str | None,
    partitions: int | None,
    replicas: int | None,
    settings: dict[str, str],
    words: str,
) -> None:
    with pytest.raises(ConfigError) as raised:
        admin.create(name or fresh, partitions, replicas, settings)
    assert words in (raised.value.hint or "")


def test_the_brokers_own_numbers_hold_where_none_is_given(admin: TopicAdmin, fresh: str) -> None:
    admin.create(fresh, None, None, {})
    eventually(lambda: fresh in admin.names(), "the topic")
    (found,), _ = admin.states([fresh])
    assert (len(found.partitions), found.replication_factor) == (1, 1)


def test_purging(admin: TopicAdmin, connection: Wire, new_topic: Callable[..., str]) -> None:
    topic = new_topic(2)
    for partition in (0, 1):
        produce(connection, topic, batch([b"x"] * 8), partition=partition)
    assert admin.purge(topic, {0: 3, 1: 8}) == {0: 3, 1: 8}
    assert admin.marks(topic) == {0: (3, 8), 1: (8, 8)}
    assert admin.purge(topic, {0: 1}) == {0: 3}, "what is gone already"
    with pytest.raises(NrtctlError, match="cannot be deleted"):
        admin.purge(topic, {0: 9})
    assert admin.at_time(topic, [0, 1], 1_000_005) == {0: 5, 1: None}


def test_unstored_is_what_the_group_has_not_committed(
    broker: Broker, connection: Wire, new_topic: Callable[..., str], group: str
) -> None:
    topic = new_topic(3)
    for partition in (0, 1):
        produce(connection, topic, batch([b"x"] * 6), partition=partition)
    settings = ["stack.kind=external", f"pipeline.topic={topic}", f"consumer.group={group}"]
    config = load_config(overrides=settings, environ={}).config
    admin = admin_of(broker)
    assert admin.unstored(config).messages == 12
    member = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group})
    member.commit(
        offsets=[TopicPartition(topic, 0, 6), TopicPartition(topic, 1, 2)], asynchronous=False
    )
    member.close()
    left = admin.unstored(config)
    assert (left.partitions, left.messages) == ({1: 2}, 4)
    earlier = encode_metadata("events", Intent(None, "e0", topic=tag_of("an earlier topic's id")))
    clock, timeout = SystemClock(), config.kafka.connect_timeout
    GroupOffsets(
        admin.client, group, topic, address=broker.bootstrap, timeout=timeout, clock=clock
    ).commit_offsets({0: (6, earlier)})
    assert admin.unstored(config).partitions == {0: 0, 1: 2}


def test_a_compacted_topic_cannot_be_purged(broker: Broker, fresh: str) -> None:
    admin = admin_of(broker)
    admin.create(fresh, 1, 1, {"cleanup.policy": "compact"})
    eventually(lambda: fresh in admin.names(), "the topic")
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(fresh, b"v", b"k")
    assert producer.flush(30) == 0
    with pytest.raises(NrtctlError) as raised:
        admin.purge(fresh, {0: 1})
    assert "cleanup.policy" in (raised.value.hint or "")
