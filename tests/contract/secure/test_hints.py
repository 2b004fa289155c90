"""Apache Kafka refuses: the operations and limits that are to be changed are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._resource import ResourceType

from nrtctl.errors import NrtctlError
from nrtctl.kafka.admin import SET, AdminClient, ConfigEntry, ConfigResource, NewTopic
from nrtctl.kafka.error_codes import translate
from tests.plugins.secure_kafka import LIMITED, SecureKafka

TOPIC = "hints"


@pytest.fixture(scope="module")
def topic(secure_kafka: SecureKafka) -> Iterator[str]:
    """It takes record batches of 2,000 bytes."""
    admin = AdminClient({"bootstrap.servers": secure_kafka.bootstrap})
    new = NewTopic(TOPIC, 1, 1, config={"max.message.bytes": "2000"})
    admin.create_topics([new])[TOPIC].result(30)
    yield TOPIC
    admin.delete_topics([TOPIC])[TOPIC].result(30)


def limited(kafka: SecureKafka) -> dict[str, Any]:
    """Settings of a client that may do next to nothing."""
    return {
        "bootstrap.servers": kafka.addresses["SCRAM"],
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": LIMITED,
        "sasl.password": kafka.passwords[LIMITED],
    }


def failed(ask: Callable[[], Any]) -> NrtctlError:
    with pytest.raises(KafkaException) as caught:
        ask()
    return translate(caught.value, address="a:1")


def sent(settings: dict[str, Any], topic: str, *sizes: int) -> NrtctlError:
    errors: list[Any] = []
    producer = Producer({**settings, "linger.ms": 1000, "delivery.timeout.ms": 20_000})
    for size in sizes:
        producer.produce(topic, b"x" * size, on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors
    assert all(error is not None for error in errors)
    return translate(errors[0], address="a:1")


def hint_of(error: NrtctlError) -> str:
    assert error.hint is not None
    return error.hint


def test_a_topic(secure_kafka: SecureKafka, topic: str) -> None:
    secure_kafka.allow(ResourceType.TOPIC, topic, AclOperation.DESCRIBE)
    hint = hint_of(sent(limited(secure_kafka) | {"enable.idempotence": False}, topic, 10))
    assert "WRITE on the topic to produce, READ to consume, DESCRIBE for both" in hint


def test_a_group(secure_kafka: SecureKafka, topic: str) -> None:
    asked = ConsumerGroupTopicPartitions("hints-of-a-group", [TopicPartition(topic, 0)])
    admin = AdminClient(limited(secure_kafka))
    (future,) = admin.list_consumer_group_offsets([asked], request_timeout=20).values()
    error = failed(lambda: future.result(20))
    hint = hint_of(error)
    assert "READ on the consumer group to consume, DESCRIBE to see its offsets" in hint


def test_the_cluster(secure_kafka: SecureKafka) -> None:
    admin = AdminClient(limited(secure_kafka))
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    broker.add_incremental_config(
        ConfigEntry("log.cleaner.threads", "2", incremental_operation=SET)
    )
    asked = admin.incremental_alter_configs([broker])[broker]
    hint = hint_of(failed(lambda: asked.result(20)))
    assert "IDEMPOTENT_WRITE on the cluster" in hint
    assert "CREATE on the topic or on the cluster" in hint


def test_messages_and_batches_that_are_too_large(secure_kafka: SecureKafka, topic: str) -> None:
    plain = {"bootstrap.servers": secure_kafka.bootstrap}
    for sizes in ((3000,), (900, 900, 900)):
        hint = hint_of(sent(plain, topic, *sizes))
        assert "max.message.bytes of the topic" in hint
        assert "message.max.bytes of the brokers" in hint
        assert "batch.size" in hint
