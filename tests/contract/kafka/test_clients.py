"""Unmodified clients: confluent-kafka's producer, consumer and AdminClient, and kcat."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry

from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka import refusals as kafka_refusals
from nrtctl.kafka.admin import LATEST, AdminClient, ConfigResource, NewPartitions, NewTopic
from nrtctl.kafka.producing import Health
from nrtctl.producer.run import find_topic
from tests.contract.kafka.conftest import Broker
from tests.plugins.waiting import eventually


def produce_all(broker: Broker, topic: str, count: int, **settings: object) -> None:
    """Produce `count` messages, numbered, keyed over the partitions; all must be acknowledged."""
    failed: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap} | settings)
    for at in range(count):
        while True:
            try:
                producer.produce(
                    topic,
                    b"%d" % at,
                    key=b"%d" % at,
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                )
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0
    assert failed == []


@pytest.fixture
def consumer(broker: Broker, group: str) -> Iterator[Callable[..., Consumer]]:
    """Make a consumer; closed at the test's end."""
    made: list[Consumer] = []

    def make(**settings: object) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 200,
                "log_level": 0,
            }
            | settings
        )
        made.append(consumer)
        return consumer

    yield make
    for one in made:
        one.close()


def read(consumers: list[Consumer], count: int) -> list[int]:
    """The numbers of `count` messages, read by all the consumers in turn."""
    found: list[int] = []
    while len(found) < count:
        for consumer in consumers:
            for message in consumer.consume(1000, 0.05):
                assert message.error() is None
                found.append(int(message.value() or b""))
    return found


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("idempotent", [False, True])
def test_everything_comes_back(
    broker: Broker,
    new_topic: Callable[..., str],
    consumer: Callable[..., Consumer],
    compression: str,
    idempotent: bool,
) -> None:
    topic = new_topic(3)
    settings = {"compression.type": compression, "enable.idempotence": idempotent}
    produce_all(broker, topic, 2000, **settings)
    reader = consumer()
    reader.assign([TopicPartition(topic, at, 0) for at in range(3)])
    assert sorted(read([reader], 2000)) == list(range(2000))
    times = reader.offsets_for_times([TopicPartition(topic, 0, 1)])
    assert times[0].offset == 0


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_members_share_the_partitions(
    broker: Broker,
    new_topic: Callable[..., str],
    consumer: Callable[..., Consumer],
    strategy: str,
) -> None:
    topic = new_topic(4)
    first = consumer(**{"partition.assignment.strategy": strategy})
    second = consumer(**{"partition.assignment.strategy": strategy})
    first.subscribe([topic])
    while len(first.assignment()) != 4:
        first.poll(0.05)
    second.subscribe([topic])
    while {len(first.assignment()), len(second.assignment())} != {2}:
        first.poll(0.05)
        second.poll(0.05)
    produce_all(broker, topic, 1000)
    assert sorted(read([first, second], 1000)) == list(range(1000))
    second.close()
    while len(first.assignment()) != 4:
        first.poll(0.05)


def test_a_static_member_returns_to_its_partitions(
    broker: Broker, new_topic: Callable[..., str], consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic(4)
    revoked: list[int] = []
    stays = consumer(**{"group.instance.id": "stays"})
    stays.subscribe([topic], on_revoke=lambda _, lost: revoked.append(len(lost)))
    leaves = consumer(**{"group.instance.id": "leaves"})
    leaves.subscribe([topic])
    while {len(stays.assignment()), len(leaves.assignment())} != {2}:
        stays.poll(0.05)
        leaves.poll(0.05)
    revoked.clear()
    mine = {(found.topic, found.partition) for found in leaves.assignment()}
    leaves.close()
    again = consumer(**{"group.instance.id": "leaves"})
    again.subscribe([topic])
    while len(again.assignment()) != 2:
        stays.poll(0.05)
        again.poll(0.05)
    assert {(found.topic, found.partition) for found in again.assignment()} == mine
    assert revoked == []


def test_committed_offsets_and_metadata(
    broker: Broker, topic: str, consumer: Callable[..., Consumer]
) -> None:
    produce_all(broker, topic, 10)
    reader = consumer()
    reader.subscribe([topic])
    read([reader], 10)
    intent = '{"v":1,"end":10}'
    reader.commit(offsets=[TopicPartition(topic, 0, 4, metadata=intent)], asynchronous=False)
    (found,) = reader.committed([TopicPartition(topic, 0)], timeout=10)
    assert (found.offset, found.metadata) == (4, intent)
    reader.close()
    other = consumer()
    other.subscribe([topic])
    assert read([other], 6) == list(range(4, 10))


def test_watermarks_and_seeking(
    broker: Broker, topic: str, consumer: Callable[..., Consumer]
) -> None:
    produce_all(broker, topic, 10)
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 7)])
    assert read([reader], 3) == [7, 8, 9]
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 10)
    reader.seek(TopicPartition(topic, 0, 2))
    assert read([reader], 8) == list(range(2, 10))


def test_a_large_message(
    broker: Broker, new_topic: Callable[..., str], consumer: Callable[..., Consumer]
) -> None:
    topic = new_topic(configs={"max.message.bytes": str(4 << 20)})
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 4 << 20})
    producer.produce(topic, b"x" * (2 << 20))
    assert producer.flush(30) == 0
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    messages: list[int] = []
    while not messages:
        messages += [len(message.value() or b"") for message in reader.consume(1, 0.1)]
    assert messages == [2 << 20]


def test_admin(broker: Broker, topic: str, consumer: Callable[..., Consumer], group: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    name = topic + "-admin"
    admin.create_topics([NewTopic(name, 2, 1, config={"retention.ms": "-1"})])[name].result(30)
    while name not in admin.list_topics(timeout=10).topics:
        pass
    with pytest.raises(KafkaException) as again:
        admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    assert again.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    admin.create_partitions([NewPartitions(name, 3)])[name].result(30)
    eventually(
        lambda: len(admin.list_topics(name, timeout=10).topics[name].partitions) == 3,
        "the third partition",
    )
    resource = ConfigResource(
        ConfigResource.Type.TOPIC,
        name,
        incremental_configs=[
            ConfigEntry("retention.ms", "9", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin.incremental_alter_configs([resource])[resource].result(30)
    asked = ConfigResource(ConfigResource.Type.TOPIC, name)
    while admin.describe_configs([asked])[asked].result(30)["retention.ms"].value != "9":
        pass
    assert len(admin.describe_cluster().result(30).nodes) == 1
    produce_all(broker, topic, 10)
    at = TopicPartition(topic, 0)
    assert admin.list_offsets({at: LATEST})[at].result(30).offset == 10
    assert admin.delete_records([TopicPartition(topic, 0, 4)])[at].result(30).low_watermark == 4
    reader = consumer()
    reader.subscribe([topic])
    read([reader], 6)
    reader.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(30)
    assert described.state.name == "STABLE"
    assert len(described.members) == 1
    reader.close()
    assert group in {found.group_id for found in admin.list_consumer_groups().result(30).valid}
    admin.delete_consumer_groups([group])[group].result(30)
    admin.delete_topics([name])[name].result(30)


def test_a_producer_that_has_found_its_topic_waits_for_nothing(
    broker: Broker, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It asks for its producer id by then, and not half a second later."""
    caplog.set_level(logging.DEBUG, kafka_refusals.log.name)
    settings = Kafka(properties={"debug": "eos"})
    for _ in range(10):
        caplog.clear()
        health = Health(print, 1)
        producer = clients.make_producer(settings, address=broker.bootstrap, on_error=health)
        find_topic(producer, topic, broker.bootstrap, 30)
        producer.poll(0)
        assert "Acquiring ProducerId" in caplog.text


def test_messages_arrive_at_once(
    broker: Broker, topic: str, consumer: Callable[..., Consumer]
) -> None:
    """A fetch that waits is woken by the message: fifty of them take no fifty waits."""
    reader = consumer(**{"fetch.wait.max.ms": 20_000})
    reader.assign([TopicPartition(topic, 0, 0)])
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0})
    for at in range(50):
        producer.produce(topic, b"%d" % at)
        producer.flush(10)
        assert read([reader], 1) == [at]


def test_the_new_group_protocol_is_refused_for_good(local_broker: Broker, group: str) -> None:
    reader = Consumer(
        {
            "bootstrap.servers": local_broker.bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "log_level": 0,
        }
    )
    try:
        reader.subscribe(["anything"])

        def refused() -> Any:
            message = reader.poll(0.1)
            return message.error() if message is not None else None

        error = eventually(refused, "the refusal")
        assert error.code() == KafkaError._FATAL
        assert "ConsumerGroupHeartbeat" in error.str()
    finally:
        reader.close()


def test_librdkafka_reads_process_and_writes_exactly_once(
    broker: Broker, new_topic: Callable[..., str], group: str
) -> None:
    """Read a message, write one, commit the offset: all in one transaction, every third aborted and
    done again. What is open is not read."""
    source, target = new_topic(), new_topic(partitions=3)
    plain = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(9):
        plain.produce(source, b"%d" % number)
    assert plain.flush(30) == 0
    reader = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    reader.subscribe([source])
    writer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": group})
    writer.init_transactions(30)
    for number in range(9):
        message = reader.poll(30)
        assert message is not None
        assert message.value() == b"%d" % number
        for commits in (False, True) if number % 3 == 0 else (True,):
            writer.begin_transaction()
            for partition in range(3):
                writer.produce(target, message.value(), partition=partition)
            offsets = [TopicPartition(source, 0, number + 1)]
            writer.send_offsets_to_transaction(offsets, reader.consumer_group_metadata(), 30)
            assert writer.flush(30) == 0
            (writer.commit_transaction if commits else writer.abort_transaction)(30)
    (offset,) = reader.committed([TopicPartition(source, 0)], 30)
    assert offset.offset == 9
    reader.close()
    writer.begin_transaction()
    writer.produce(target, b"open", partition=0)
    assert writer.flush(30) == 0
    expected = sorted(b"%d" % number for number in range(9))
    for partition in range(3):
        assert sorted(values(broker, target, partition, "read_committed")) == expected
    assert b"open" in values(broker, target, 0, "read_uncommitted")
    writer.abort_transaction(30)


def values(broker: Broker, topic: str, partition: int, level: str) -> list[bytes]:
    """What a client with that isolation level is given until the end that it sees."""
    reader = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "values",
            "isolation.level": level,
            "enable.partition.eof": True,
        }
    )
    reader.assign([TopicPartition(topic, partition, 0)])
    found: list[bytes] = []
    while True:
        message = reader.poll(30)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            reader.close()
            return found
        found.append(message.value() or b"")


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
def test_kcat(broker: Broker, topic: str, group: str) -> None:
    def kcat(*arguments: str, given: str = "") -> str:
        return subprocess.run(
            ["kcat", "-b", broker.bootstrap, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout

    assert f'topic "{topic}" with 1 partitions' in kcat("-L", "-t", topic)
    kcat("-P", "-t", topic, "-z", "snappy", "-K", ":", given="a:one\nb:two\nc:three\n")
    assert kcat("-C", "-t", topic, "-e", "-q", "-f", "%o %k %s\n") == (
        "0 a one\n1 b two\n2 c three\n"
    )
    assert kcat("-Q", "-t", f"{topic}:0:-1").split() == [topic, "[0]", "offset", "3"]
    assert kcat("-G", group, "-c", "3", "-q", "-o", "beginning", topic).split() == [
        "one",
        "two",
        "three",
    ]
