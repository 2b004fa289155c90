"""Unmodified Java clients of Apache Kafka 4, through Apache's own command-line tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.plugins.apache_tools import ApacheTools
from tests.plugins.kafka_wire import Wire
from tests.plugins.local_broker import LocalBroker


@pytest.fixture
def member(
    broker: Broker, new_topic: Callable[..., str], apache_tools: ApacheTools, group: str
) -> Iterator[tuple[str, Popen[str]]]:
    """A Java consumer that reads a topic of two partitions in a group: (topic, process)."""
    topic = new_topic(2)
    process = apache_tools.start(
        "VerifiableConsumer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--group-id", group),
    )
    yield topic, process
    process.kill()
    process.communicate(timeout=60)


def described(tools: ApacheTools, broker: Broker, group: str) -> dict[int, dict[str, str]]:
    """kafka-consumer-groups --describe: by partition, a row's columns."""
    text = tools.consumer_groups(broker.bootstrap, "--describe", "--group", group)
    lines = [line.split() for line in text.splitlines() if line.strip()]
    at = next(at for at, line in enumerate(lines) if line[0] == "GROUP")
    rows = [dict(zip(lines[at], line, strict=True)) for line in lines[at + 1 :]]
    return {int(row["PARTITION"]): row for row in rows}


@dear_on_apache
def test_a_producer_a_member_and_the_group_described_and_reset(
    broker: Broker,
    apache_tools: ApacheTools,
    group: str,
    member: tuple[str, Popen[str]],
    tmp_path: Path,
) -> None:
    topic, process = member
    (tmp_path / "zstd.properties").write_text("compression.type=zstd\n")
    printed = apache_tools.run(
        "VerifiableProducer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic),
        *("--max-messages", "500", "--repeating-keys", "10"),
        *("--producer.config", str(tmp_path / "zstd.properties")),
    )
    acknowledged = [json.loads(line) for line in printed.splitlines() if "producer_send_s" in line]
    assert len({(one["partition"], one["offset"]) for one in acknowledged}) == 500
    assert process.stdout is not None
    ends = {0: 0, 1: 0}
    for one in acknowledged:
        ends[one["partition"]] = max(ends[one["partition"]], one["offset"] + 1)
    committed = dict.fromkeys(ends, 0)
    while committed != ends:
        event = json.loads(process.stdout.readline())
        if event["name"] == "offsets_committed":
            assert event["success"], event
            committed |= {found["partition"]: found["offset"] for found in event["offsets"]}
    for partition, row in described(apache_tools, broker, group).items():
        assert (row["TOPIC"], row["LAG"]) == (topic, "0")
        assert int(row["CURRENT-OFFSET"]) == int(row["LOG-END-OFFSET"]) == ends[partition]
        assert row["CONSUMER-ID"].startswith("consumer-")
    process.terminate()
    process.wait(30)
    reset = ("--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute")
    apache_tools.consumer_groups(broker.bootstrap, *reset)
    asked = [TopicPartition(topic, partition) for partition in ends]
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, asked)])
    assert {each.offset for each in found[group].result(30).topic_partitions} == {0}


@pytest.mark.long
def test_the_console_tools(broker: Broker, topic: str, apache_tools: ApacheTools) -> None:
    lines = "".join(f"{at}:line {at}\n" for at in range(10))
    apache_tools.run(
        "ConsoleProducer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic),
        *("--property", "parse.key=true", "--property", "key.separator=:"),
        *("--compression-codec", "zstd"),
        given=lines,
    )
    printed = apache_tools.run(
        "consumer.ConsoleConsumer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--from-beginning"),
        *("--property", "print.key=true", "--property", "key.separator=:"),
        *("--max-messages", "10", "--timeout-ms", "20000"),
    )
    assert printed.splitlines()[:10] == lines.splitlines()


def test_java_writes_in_transactions(
    local_broker: LocalBroker,
    new_local_topic: str,
    apache_tools: ApacheTools,
    wire: Callable[[str], Wire],
) -> None:
    said = apache_tools.run(
        "ProducerPerformance",
        *("--topic", new_local_topic, "--num-records", "300", "--record-size", "10"),
        *("--throughput", "-1", "--transactional-id", new_local_topic),
        *("--transaction-duration-ms", "1", "--producer-props"),
        f"bootstrap.servers={local_broker.bootstrap}",
    )
    assert "300 records sent" in said
    (described,) = (
        wire(local_broker.bootstrap)
        .call("describe_transactions", 0, transactional_ids=(new_local_topic,))
        .transaction_states
    )
    assert described.transaction_state == "CompleteCommit"
