"""Batches whose checksum is good and whose records are not: refused when they are produced."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker
from tests.plugins.garbage import BATCHES, framed, record
from tests.plugins.kafka_wire import Wire, batch, fetch, list_offsets, produce


@pytest.mark.parametrize("name", BATCHES)
def test_garbage_is_refused_and_nothing_of_it_is_kept(
    connection: Wire, topic: str, name: str
) -> None:
    assert produce(connection, topic, batch([b"before"])).base_offset == 0
    answer = produce(connection, topic, BATCHES[name])
    assert answer.error_code != ErrorCode.none
    assert list_offsets(connection, topic, -1)[1] == 1
    assert produce(connection, topic, batch([b"after"])).base_offset == 1


@pytest.mark.parametrize("name", BATCHES)
def test_the_embedded_broker_says_what_is_wrong(
    local_broker: Broker, wire: Callable[[str], Wire], new_local_topic: str, name: str
) -> None:
    answer = produce(wire(local_broker.bootstrap), new_local_topic, BATCHES[name])
    assert answer.error_code in {
        ErrorCode.invalid_record,
        ErrorCode.corrupt_message,
        ErrorCode.unsupported_compression_type,
        ErrorCode.message_too_large,
    }
    assert answer.error_message


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(gzip.compress(b"".join(map(record, range(3))))[:-6], id="gzip cut short"),
        pytest.param(gzip.compress(b"".join(map(record, range(3)))) + b"more", id="more follows"),
    ],
)
def test_gzip_that_would_make_clients_wait_for_ever(
    local_broker: Broker, wire: Callable[[str], Wire], new_local_topic: str, payload: bytes
) -> None:
    """Apache Kafka takes it; librdkafka then never comes past it."""
    answer = produce(wire(local_broker.bootstrap), new_local_topic, framed(payload, 3, codec=1))
    assert answer.error_code == ErrorCode.corrupt_message


def test_a_bomb_is_refused_before_it_goes_off(
    local_broker: Broker, wire: Callable[[str], Wire], new_local_topic: str
) -> None:
    bomb = gzip.compress(record(0, b"\0" * (200 << 20)), 1)
    assert len(bomb) < 1_000_000
    answer = produce(wire(local_broker.bootstrap), new_local_topic, framed(bomb, 1, codec=1))
    assert answer.error_code == ErrorCode.message_too_large
    assert "decompressed" in answer.error_message


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "snappy-java", "lz4", "zstd"])
def test_a_large_batch_is_checked_beside_the_loop_and_taken(
    connection: Wire, new_topic: Callable[..., str], codec: str
) -> None:
    topic = new_topic()
    values = [b"%06d" % number + b"x" * 20 for number in range(25_000)]
    pipelined = []
    for records in (batch(values, codec=codec), batch([b"last"])):
        data = [{"name": topic, "partition_data": [{"index": 0, "records": records}]}]
        request = {"acks": -1, "timeout": 10_000, "topic_data": data}
        pipelined.append(connection.send("produce", 9, **request))
    answers = [connection.receive("produce", 9, number) for number in pipelined]
    parts = [answer.responses[0].partition_responses[0] for answer in answers]
    assert [(part.error_code, part.base_offset) for part in parts] == [(0, 0), (0, 25_000)]
    assert fetch(connection, topic, 25_000).records.endswith(b"last\0")


def test_headers_keys_and_nulls_are_taken(connection: Wire, topic: str) -> None:
    body = b"\0" + b"\x01" + b"\x00" + b"\x06key" + b"\x01" + b"\x04" + b"\x02a\x01" + b"\x00\x02b"
    good = framed(bytes([2 * len(body)]) + body, 1)
    assert produce(connection, topic, good).error_code == ErrorCode.none
