"""What stats asks a real broker: how old the oldest record is that a group has not committed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from nrtctl.config.load import load_config
from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka.admin import AdminClient, NewTopic
from nrtctl.kafka.oldest import OldestRecords
from nrtctl.stats.kafka_side import KafkaSide
from tests.plugins.local_broker import LocalBroker

RECORDS = 400
"""In each of two partitions, one batch of 20 after the other."""


def test_every_look_knows_how_old_the_lag_is(local_broker: LocalBroker) -> None:
    """With a committed offset that moves, as under load: each look reads other records.

    A client that waits before it asks a partition again (librdkafka does, for a second, once it has
    more messages than it wants) misses nearly all looks but the first.
    """
    topic, group = f"lag-{uuid.uuid4().hex}", uuid.uuid4().hex
    admin = AdminClient({"bootstrap.servers": local_broker.bootstrap})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": local_broker.bootstrap, "linger.ms": 100})
    for number in range(RECORDS):
        for partition in range(2):
            producer.produce(topic, b"x", partition=partition, timestamp=1_000_000 + number)
        if number % 20 == 19:
            assert producer.flush(30) == 0
    member = Consumer({"bootstrap.servers": local_broker.bootstrap, "group.id": group})
    overrides = [
        f"pipeline.topic={topic}",
        f"consumer.group={group}",
        "stack.kind=external",
        f"kafka.bootstrap_servers={local_broker.bootstrap}",
    ]
    config = load_config(overrides=overrides, environ={}).config
    side = KafkaSide(config, local_broker.bootstrap, timeout=30)
    side.look()
    side.oldest.patience = 0.3
    known = 0
    try:
        for look in range(1, 21):
            at = 7 * look
            member.commit(
                offsets=[TopicPartition(topic, partition, at) for partition in range(2)],
                asynchronous=False,
            )
            oldest = side.look().oldest
            assert set(oldest.values()) <= {(1_000_000 + at) / 1000}
            known += len(oldest)
    finally:
        side.close()
        member.close()
    assert known > 20, "most of 40; the machine may be too busy for some"


def test_one_client_reads_any_number_of_topics(local_broker: LocalBroker) -> None:
    """Also one topic at two offsets, as two pipelines of different groups have it."""
    topics = [f"oldest-{uuid.uuid4().hex}" for _ in range(3)]
    admin = AdminClient({"bootstrap.servers": local_broker.bootstrap})
    for made in admin.create_topics([NewTopic(topic, 2, 1) for topic in topics]).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": local_broker.bootstrap, "linger.ms": 0})
    for number in range(10):
        for at, topic in enumerate(topics):
            for partition in range(2):
                stamp = 1_000_000 * (at + 1) + 1000 * partition + number
                producer.produce(topic, b"x", partition=partition, timestamp=stamp)
        assert producer.flush(30) == 0
    settings = Kafka(bootstrap_servers=local_broker.bootstrap)
    oldest = OldestRecords(settings, "stats", address=local_broker.bootstrap, patience=60)
    first, second, third = topics
    wanted = {
        (first, 0, 3): 1000.003,
        (first, 0, 7): 1000.007,
        (first, 1, 0): 1001.0,
        (second, 1, 9): 2001.009,
        (third, 0, 5): 3000.005,
    }
    try:
        assert oldest.times(wanted.keys()) == wanted
        assert oldest.times([(third, 1, 1), (first, 0, 7)]) == {
            (third, 1, 1): 3001.001,
            (first, 0, 7): 1000.007,
        }
        assert oldest.times([]) == {}
    finally:
        oldest.close()


def test_a_partition_of_large_batches_keeps_no_other_from_being_read(
    local_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch has a batch beyond its limit of one partition only: the first that has any."""
    topic = f"large-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": local_broker.bootstrap})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": local_broker.bootstrap, "linger.ms": 1000})
    for _ in range(2):
        for number in range(1000):
            for partition in range(4):
                stamp = 1_000_000 + number
                producer.produce(topic, b"x" * 200, partition=partition, timestamp=stamp)
        assert producer.flush(30) == 0
    read: list[Polling] = []

    def counted(*arguments: Any, **named: Any) -> Polling:
        read.append(Polling(make_consumer(*arguments, **named)))
        return read[-1]

    make_consumer = clients.make_consumer
    monkeypatch.setattr(clients, "make_consumer", counted)
    settings = Kafka(bootstrap_servers=local_broker.bootstrap)
    oldest = OldestRecords(settings, "stats", address=local_broker.bootstrap, patience=60)
    try:
        for at in (0, 400, 800):
            wanted = [(topic, partition, at) for partition in range(4)]
            assert oldest.times(wanted) == dict.fromkeys(wanted, 1000 + at / 1000)
    finally:
        oldest.close()
    assert read[0].polls < 100, "of 8,000 records"


class Polling:
    """A consumer that counts how often it is asked for a message."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.polls = 0

    def poll(self, timeout: float) -> Any:
        self.polls += 1
        return self._consumer.poll(timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)
