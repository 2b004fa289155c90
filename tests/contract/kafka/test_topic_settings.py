"""The settings of a topic: all that Apache Kafka 4.1 knows are accepted with its own defaults, and
what is not served is refused by name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from nrtctl.local.broker.configs import BROKER_NAMES, TopicConfig
from tests.contract.kafka.conftest import Broker
from tests.plugins.kafka_wire import Wire, batch, create_topic, produce
from tests.plugins.local_broker import LocalBroker

LONG = str(2**63 - 1)
DEFAULTS = {
    "cleanup.policy": "delete",
    "compression.gzip.level": "-1",
    "compression.lz4.level": "9",
    "compression.type": "producer",
    "compression.zstd.level": "3",
    "delete.retention.ms": "86400000",
    "file.delete.delay.ms": "60000",
    "flush.messages": LONG,
    "flush.ms": LONG,
    "follower.replication.throttled.replicas": "",
    "index.interval.bytes": "4096",
    "leader.replication.throttled.replicas": "",
    "local.retention.bytes": "-2",
    "local.retention.ms": "-2",
    "max.compaction.lag.ms": LONG,
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": LONG,
    "message.timestamp.type": "CreateTime",
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "min.insync.replicas": "1",
    "preallocate": "false",
    "remote.log.copy.disable": "false",
    "remote.log.delete.on.disable": "false",
    "remote.storage.enable": "false",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.index.bytes": "10485760",
    "segment.jitter.ms": "0",
    "segment.ms": "604800000",
    "unclean.leader.election.enable": "false",
}
"""https://kafka.apache.org/documentation/#topicconfigs"""

Make = Callable[..., LocalBroker]


def made(connection: Wire, configs: dict[str, str]) -> Any:
    return create_topic(connection, f"t-{uuid.uuid4().hex}", configs=configs)


def test_every_setting_is_accepted_with_the_default_of_apache_kafka(connection: Wire) -> None:
    answer = made(connection, DEFAULTS)
    assert (answer.error_code, answer.error_message) == (ErrorCode.none, None)
    assert {each.name for each in answer.configs} >= DEFAULTS.keys()


@pytest.mark.parametrize(
    ("key", "value"),
    [("no.such.key", "1"), ("segment.ms", "soon"), ("segment.ms", "0"),
     ("cleanup.policy", "shrink"), ("cleanup.policy", "delete,shrink"), ("compression.type", "rar"),
     ("min.cleanable.dirty.ratio", "2"), ("compression.zstd.level", "23")],
)  # fmt: skip
def test_what_is_no_setting_or_no_value_is_refused(connection: Wire, key: str, value: str) -> None:
    assert made(connection, {key: value}).error_code == ErrorCode.invalid_config


@pytest.mark.parametrize(
    ("key", "value"),
    [("flush.messages", "1"), ("min.insync.replicas", "2"),
     ("message.timestamp.before.max.ms", "1000"), ("remote.storage.enable", "true")],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_name(
    local_broker: LocalBroker, wire: Callable[[str], Wire], key: str, value: str
) -> None:
    answer = made(wire(local_broker.bootstrap), {key: value})
    assert answer.error_code == ErrorCode.invalid_config
    assert key in answer.error_message
    assert "not served here" in answer.error_message


def test_the_settings_of_the_broker(broker: Broker, connection: Wire) -> None:
    node = connection.call("metadata", 12, topics=[]).brokers[0].node_id
    resource = {"resource_type": 4, "resource_name": str(node), "configuration_keys": None}
    answer = connection.call("describe_configs", 4, resources=[resource]).results[0]
    assert answer.error_code == ErrorCode.none
    found = {each.name: each.value for each in answer.configs}
    wanted = {
        "auto.create.topics.enable": "false",
        "compression.type": "producer",
        "default.replication.factor": "1",
        "log.cleaner.min.cleanable.ratio": "0.5",
        "log.cleanup.policy": "delete",
        "message.max.bytes": str(10 * 2**20),
        "min.insync.replicas": "1",
        "node.id": str(node),
        "num.partitions": "1",
        "offset.metadata.max.bytes": "4096",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert broker.bootstrap in found["advertised.listeners"]
    directory = connection.call("describe_log_dirs", 4, topics=[]).results[0].log_dir
    assert directory in (found["log.dirs"], found["log.dir"])
    own = {*BROKER_NAMES.values(), "listeners", "process.roles", "group.max.session.timeout.ms"}
    names = {"log.roll.ms", "log.roll.jitter.ms", "log.retention.ms"} | {"log.local.retention.ms"}
    assert own - names <= found.keys()


def test_a_topic_takes_messages_as_large_as_in_apache_kafka(
    make_local_broker: Make, wire: Any
) -> None:
    broker = make_local_broker("--max-message-bytes", DEFAULTS["max.message.bytes"])
    connection = wire(broker.bootstrap)
    create_topic(connection, "t")
    assert TopicConfig({}, {})["max.message.bytes"] == DEFAULTS["max.message.bytes"]
    too_large = produce(connection, "t", batch([b"x" * 1_048_600]))
    assert too_large.error_code == ErrorCode.message_too_large
    assert produce(connection, "t", batch([b"x" * 1_048_000])).error_code == ErrorCode.none


def test_a_record_from_too_far_ahead_is_refused(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(configs={"message.timestamp.after.max.ms": "60000"})
    now = int(time.time() * 1000)
    assert produce(connection, topic, batch([b"a"], timestamps=[now])).error_code == ErrorCode.none
    ahead = batch([b"b", b"c"], timestamps=[now, now + 3_600_000])
    assert produce(connection, topic, ahead).error_code == ErrorCode.invalid_timestamp


def test_a_segment_ends_when_its_time_is_over(make_local_broker: Make, wire: Any) -> None:
    broker = make_local_broker()
    connection = wire(broker.bootstrap)
    create_topic(connection, "t", configs={"segment.ms": "1000"})

    def segments() -> int:
        return len(list(broker.data_dir.glob("topics/*/0/*.log")))

    for at in (10_000, 10_500, 11_000):
        produce(connection, "t", batch([b"a"], timestamps=[at]))
    assert segments() == 1
    broker.stop()
    broker.start()
    connection = wire(broker.bootstrap)
    produce(connection, "t", batch([b"b"], timestamps=[11_001]))
    assert segments() == 2
    produce(connection, "t", batch([b"c"], timestamps=[11_900]))
    assert segments() == 2
