"""Fetch: sizes, waiting, ranges, epochs, topics that went away."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker
from tests.plugins.kafka_wire import (
    Wire,
    batch,
    batches_in,
    create_topic,
    fetch,
    fetch_request,
    produce,
    wait_for_topic,
)
from tests.plugins.waiting import eventually


def test_an_oversized_first_batch_is_returned_whole(connection: Wire, topic: str) -> None:
    produce(connection, topic, batch([b"x" * 10_000]))
    produce(connection, topic, batch([b"y" * 10_000]))
    answer = fetch(connection, topic, 0, max_bytes=100, total_bytes=100)
    assert [found[:2] for found in batches_in(answer.records)] == [(0, 0)]


def test_only_the_first_partition_may_exceed_the_limit(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(2)
    for partition in (0, 1):
        produce(connection, topic, batch([b"x" * 10_000]), partition=partition)
    request = fetch_request(topic, [(0, 0, 1 << 20), (1, 0, 1 << 20)], total_bytes=100)
    first, second = connection.call("fetch", 12, **request).responses[0].partitions
    assert len(batches_in(first.records)) == 1
    assert batches_in(second.records) == []


def test_a_partitions_limit_holds(connection: Wire, topic: str) -> None:
    for _ in range(10):
        produce(connection, topic, batch([b"x" * 1000]))
    size = len(batch([b"x" * 1000]))
    answer = fetch(connection, topic, 0, max_bytes=3 * size)
    assert [found[0] for found in batches_in(answer.records)] == [0, 1, 2]


def test_a_batch_is_returned_whole_for_an_offset_inside_it(connection: Wire, topic: str) -> None:
    produce(connection, topic, batch([b"a", b"b", b"c"]))
    produce(connection, topic, batch([b"d", b"e"]))
    for offset, first in ((1, 0), (2, 0), (3, 3), (4, 3)):
        assert batches_in(fetch(connection, topic, offset).records)[0][0] == first


def test_every_offset_of_a_long_log_is_found(connection: Wire, topic: str) -> None:
    for at in range(300):
        produce(connection, topic, batch([b"x" * 500] * (1 + at % 3)))
    end = fetch(connection, topic, 0).high_watermark
    for offset in range(0, end, 7):
        first, last, _ = batches_in(fetch(connection, topic, offset, max_bytes=1).records)[0]
        assert first <= offset <= last
    seen = []
    offset = 0
    while offset < end:
        found = batches_in(fetch(connection, topic, offset, max_bytes=20_000).records)
        seen += found
        offset = found[-1][1] + 1
    assert [first for first, _, _ in seen] == [0, *(last + 1 for _, last, _ in seen[:-1])]


@pytest.mark.parametrize("offset", [-1, 2, 100])
def test_out_of_range(connection: Wire, topic: str, offset: int) -> None:
    produce(connection, topic, batch([b"x"]))
    answer = fetch(connection, topic, offset)
    assert answer.error_code == ErrorCode.offset_out_of_range
    assert not answer.records


def test_the_log_end_is_empty_and_no_error(connection: Wire, topic: str) -> None:
    produce(connection, topic, batch([b"x"]))
    answer = fetch(connection, topic, 1)
    assert (answer.error_code, answer.high_watermark) == (ErrorCode.none, 1)
    assert not answer.records


def test_waiting_ends_with_enough_bytes_over_all_partitions(
    broker: Broker, connection: Wire, new_topic: Callable[..., str], wire: Callable[[str], Wire]
) -> None:
    topic = new_topic(2)
    size = len(batch([b"x" * 100]))
    request = fetch_request(
        topic, [(0, 0, 1 << 20), (1, 0, 1 << 20)], min_bytes=2 * size, max_wait=60_000
    )
    waiting = connection.send("fetch", 12, **request)
    other = wire(broker.bootstrap)
    produce(other, topic, batch([b"x" * 100]), partition=0)
    produce(other, topic, batch([b"x" * 100]), partition=1)
    partitions = connection.receive("fetch", 12, waiting).responses[0].partitions
    assert [len(batches_in(partition.records)) for partition in partitions] == [1, 1]


def test_waiting_ends_with_its_time(connection: Wire, topic: str) -> None:
    began = time.monotonic()
    answer = fetch(connection, topic, 0, min_bytes=1, max_wait=150)
    assert time.monotonic() - began >= 0.14
    assert not answer.records


def test_a_waiting_fetch_does_not_hold_up_other_connections(
    broker: Broker, connection: Wire, topic: str, wire: Callable[[str], Wire]
) -> None:
    waiting = connection.send("fetch", 12, **fetch_request(topic, [(0, 0, 1000)], max_wait=60_000))
    other = wire(broker.bootstrap)
    assert other.call("metadata", 9, topics=None).brokers
    produce(other, topic, batch([b"x"]))
    assert connection.receive("fetch", 12, waiting).responses[0].partitions[0].records


def test_an_error_in_one_partition_ends_the_waiting(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(2)
    request = fetch_request(topic, [(0, 0, 1000), (1, 5, 1000)], max_wait=60_000)
    good, bad = connection.call("fetch", 12, **request).responses[0].partitions
    assert good.error_code == ErrorCode.none
    assert bad.error_code == ErrorCode.offset_out_of_range


def test_leader_epochs_are_checked(connection: Wire, topic: str) -> None:
    metadata = wait_for_topic(connection, topic)
    current = metadata.partitions[0].leader_epoch
    assert fetch(connection, topic, 0, epoch=current).error_code == ErrorCode.none
    assert fetch(connection, topic, 0, epoch=current + 1).error_code == (
        ErrorCode.unknown_leader_epoch
    )


def test_topic_ids(connection: Wire, topic: str) -> None:
    topic_id = wait_for_topic(connection, topic).topic_id
    produce(connection, topic, batch([b"x"]))

    def by_id(id_: uuid.UUID) -> tuple[ErrorCode, int]:
        request = fetch_request(topic, [(0, 0, 1000)])
        request["topics"][0]["topic_id"] = id_
        answer = connection.call("fetch", 16, **request)
        partition = answer.responses[0].partitions[0]
        return partition.error_code, len(batches_in(partition.records))

    assert by_id(topic_id) == (ErrorCode.none, 1)
    assert by_id(uuid.uuid4()) == (ErrorCode.unknown_topic_id, 0)


def test_a_topic_made_anew_has_another_id_and_an_empty_log(connection: Wire, topic: str) -> None:
    produce(connection, topic, batch([b"x"]))
    old = wait_for_topic(connection, topic).topic_id
    deleted = connection.call(
        "delete_topics", 6, topics=[{"name": topic, "topic_id": None}], timeout=10_000
    )
    assert deleted.responses[0].error_code == ErrorCode.none
    eventually(
        lambda: create_topic(connection, topic).error_code != ErrorCode.topic_already_exists,
        "the topic is gone",
    )
    new = wait_for_topic(connection, topic).topic_id
    assert new != old
    assert fetch(connection, topic, 0).high_watermark == 0
    request = fetch_request(topic, [(0, 0, 1000)])
    request["topics"][0]["topic_id"] = old
    answer = connection.call("fetch", 16, **request)
    assert answer.responses[0].partitions[0].error_code == ErrorCode.unknown_topic_id


def test_deleting_a_topic_ends_the_waiting(
    local_broker: Broker, wire: Callable[[str], Wire]
) -> None:
    connection, other = wire(local_broker.bootstrap), wire(local_broker.bootstrap)
    topic = f"t-{uuid.uuid4().hex}"
    create_topic(connection, topic)
    waiting = connection.send("fetch", 12, **fetch_request(topic, [(0, 0, 1000)], max_wait=60_000))
    other.call("delete_topics", 6, topics=[{"name": topic, "topic_id": None}])
    partition = connection.receive("fetch", 12, waiting).responses[0].partitions[0]
    assert partition.error_code == ErrorCode.unknown_topic_or_partition


def test_the_next_request_ends_the_waiting_of_the_embedded_broker(
    local_broker: Broker, wire: Callable[[str], Wire]
) -> None:
    connection = wire(local_broker.bootstrap)
    topic = f"t-{uuid.uuid4().hex}"
    create_topic(connection, topic)
    waiting = connection.send("fetch", 12, **fetch_request(topic, [(0, 0, 1000)], max_wait=60_000))
    next_one = connection.send("metadata", 9, topics=None)
    assert not connection.receive("fetch", 12, waiting).responses[0].partitions[0].records
    assert connection.receive("metadata", 9, next_one).brokers


def test_a_reader_that_does_not_read_is_not_read_from(
    local_broker: Broker, wire: Callable[[str], Wire]
) -> None:
    """Back-pressure: many large fetches pipelined, then read; all are answered."""
    connection = wire(local_broker.bootstrap)
    topic = f"t-{uuid.uuid4().hex}"
    create_topic(connection, topic)
    produce(connection, topic, batch([b"x" * (4 << 20)]))
    sent = [
        connection.send("fetch", 12, **fetch_request(topic, [(0, 0, 8 << 20)])) for _ in range(40)
    ]
    for id_ in sent:
        answer = connection.receive("fetch", 12, id_)
        assert len(answer.responses[0].partitions[0].records) > 4 << 20
