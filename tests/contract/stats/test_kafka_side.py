"""What stats asks a real broker: how old the oldest record is that a group has not committed."""

from __future__ import annotations

import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

from nrtctl.config.load import load_config
from nrtctl.kafka.admin import AdminClient, NewTopic
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
