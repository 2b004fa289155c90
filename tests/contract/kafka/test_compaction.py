"""Compacted topics, and topics with a codec of their own, on both brokers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.plugins.apache_tools import ApacheTools
from tests.plugins.kafka_wire import CODECS, Wire, batch, create_topic, fetch, produce
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

AT_ONCE = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "100",
    "delete.retention.ms": "0",
}
Records = list[tuple[int | None, bytes | None, bytes | None]]


class Writer:
    """Writes batches that are a second apart, so that each begins a segment."""

    def __init__(self, connection: Wire, topic: str) -> None:
        self.connection = connection
        self.topic = topic
        self.time = int(time.time() * 1000) - 3_600_000

    def write(self, records: list[tuple[bytes, bytes | None]], codec: str = "none") -> None:
        self.time += 1_000
        data = batch(
            [value for _, value in records],
            keys=[key for key, _ in records],
            timestamps=[self.time] * len(records),
            codec=codec,
        )
        assert produce(self.connection, self.topic, data).error_code == ErrorCode.none


def read(bootstrap: str, topic: str) -> Records:
    """(offset, key, value) of all that librdkafka finds."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "none", "enable.partition.eof": True}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        found: Records = []
        while (message := consumer.poll(30)) is not None and message.error() is None:
            found.append((message.offset(), message.key(), message.value()))
        end = message and message.error()
        assert end, "the log's end does not come"
        assert end.code() == KafkaError._PARTITION_EOF, end
        return found
    finally:
        consumer.close()


@dear_on_apache
def test_the_last_value_of_each_key_stays_at_its_offset(
    broker: Broker, connection: Wire, new_topic: Callable[..., str], apache_tools: ApacheTools
) -> None:
    topic = new_topic(configs=AT_ONCE)
    writer = Writer(connection, topic)
    for codec in CODECS:
        writer.write([(b"a", b"old"), (b"b", b"old"), (b"c", b"old")], codec)
        writer.write([(b"a", b"old"), (b"only " + codec.encode(), b"1")], codec)
    writer.write([(b"a", b"new"), (b"b", b"new"), (b"c", b"new")])
    writer.write([(b"open", b"1")])
    last = 5 * len(CODECS)
    wanted = [
        *((5 * at + 4, b"only " + codec.encode(), b"1") for at, codec in enumerate(CODECS)),
        *((last + at, key, b"new") for at, key in enumerate([b"a", b"b", b"c"])),
        (last + 3, b"open", b"1"),
    ]
    eventually(lambda: read(broker.bootstrap, topic) == wanted, "compacted")
    printed = apache_tools.run(
        "consumer.ConsoleConsumer",
        *("--bootstrap-server", broker.bootstrap, "--topic", topic, "--from-beginning"),
        *("--property", "print.offset=true", "--timeout-ms", "20000"),
        *("--max-messages", str(len(wanted))),
    )
    lines = [f"Offset:{offset}\t{(value or b'').decode()}" for offset, _, value in wanted]
    assert printed.splitlines()[: len(lines)] == lines


def test_a_null_takes_its_key_away(
    broker: Broker, connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(configs=AT_ONCE)
    writer = Writer(connection, topic)
    writer.write([(b"a", b"1"), (b"b", b"1")])
    writer.write([(b"a", None)])

    def keys() -> set[bytes | None]:
        writer.write([(b"tick", b"x")])  # a pass begins where there is something new
        return {key for _, key, _ in read(broker.bootstrap, topic)}

    eventually(lambda: keys() == {b"b", b"tick"}, "the null is gone, too")


def test_a_record_without_a_key_is_refused(connection: Wire, new_topic: Callable[..., str]) -> None:
    topic = new_topic(configs={"cleanup.policy": "compact"})
    for count in (1, 3_000):  # a large batch is looked at in another thread
        answer = produce(connection, topic, batch([b"x"] * count, codec="gzip"))
        assert answer.error_code == ErrorCode.invalid_record
        keyed = batch([b"x"] * count, keys=[b"k"] * count)
        assert produce(connection, topic, keyed).error_code == ErrorCode.none


@pytest.mark.parametrize(
    ("policy", "code"),
    [("compact", ErrorCode.policy_violation), ("compact,delete", ErrorCode.none)],
)
def test_only_what_is_deleted_by_time_has_records_deleted(
    connection: Wire, new_topic: Callable[..., str], policy: str, code: ErrorCode
) -> None:
    topic = new_topic(configs={"cleanup.policy": policy})
    produce(connection, topic, batch([b"x"], keys=[b"k"]))
    partitions = [{"partition_index": 0, "offset": 1}]
    answer = connection.call(
        "delete_records",
        2,
        topics=[{"name": topic, "partitions": partitions}],
        timeout=10_000,
    )
    assert answer.topics[0].partitions[0].error_code == code


@pytest.mark.parametrize(
    ("name", "number"),
    [("producer", 3), ("uncompressed", 0), ("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)],
)
def test_a_topic_keeps_batches_in_its_own_codec(
    broker: Broker, connection: Wire, new_topic: Callable[..., str], name: str, number: int
) -> None:
    topic = new_topic(configs={"compression.type": name})
    values = [b"value %d" % (at // 100) for at in range(3_000)]
    for sent in (values[:3], values):
        produce(connection, topic, batch(sent, codec="lz4", keys=[b"k"] * len(sent)))
    records = fetch(connection, topic, 0).records
    assert int.from_bytes(records[21:23], "big") & 7 == number
    assert [value for _, _, value in read(broker.bootstrap, topic)] == values[:3] + values


@pytest.mark.parametrize("turns", [2, pytest.param(4, marks=pytest.mark.long)])
def test_nothing_is_lost_when_the_broker_is_killed_while_it_compacts(
    make_local_broker: Callable[..., LocalBroker], wire: Any, turns: int
) -> None:
    broker = make_local_broker()
    last: dict[bytes, bytes] = {}
    create_topic(wire(broker.bootstrap), "t", configs=AT_ONCE | {"segment.bytes": "10000"})

    def passes() -> int:
        return broker.log.read_text().count("compacted to offset")

    def under_way(before: int) -> bool:
        """Or over already: then the kill comes after it."""
        return any(broker.data_dir.glob("topics/*/0/*.cleaned")) or passes() > before

    for turn in range(turns):
        done = passes()
        writer = Writer(wire(broker.bootstrap), "t")
        for number in range(100):
            records = [(b"%d" % (at % 40), b"%d %d" % (turn, number)) for at in range(number)]
            writer.write([*records, (b"last", b"%d %d" % (turn, number))])
            last |= dict(records)
        last[b"last"] = b"%d 99" % turn
        eventually(partial(under_way, done), "a pass begins")
        broker.kill()
        broker.start()
        found = {key: value for _, key, value in read(broker.bootstrap, "t")}
        assert found == last
