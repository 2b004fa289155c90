"""ListOffsets and DeleteRecords: start, end, newest, by time inside every codec."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kio.schema.errors import ErrorCode

from tests.plugins.kafka_wire import (
    CODECS,
    Wire,
    batch,
    fetch,
    list_offsets,
    produce,
    wait_for_topic,
)


def delete_records(connection: Wire, topic: str, offset: int) -> tuple[ErrorCode, int]:
    answer = connection.call(
        "delete_records",
        2,
        topics=[{"name": topic, "partitions": [{"partition_index": 0, "offset": offset}]}],
    )
    partition = answer.topics[0].partitions[0]
    return partition.error_code, partition.low_watermark


def test_an_empty_log(connection: Wire, topic: str) -> None:
    assert list_offsets(connection, topic, -1)[:2] == (ErrorCode.none, 0)
    assert list_offsets(connection, topic, -2)[:2] == (ErrorCode.none, 0)
    assert list_offsets(connection, topic, -3)[:2] == (ErrorCode.none, -1)
    assert list_offsets(connection, topic, 5)[:2] == (ErrorCode.none, -1)


@pytest.mark.parametrize("codec", CODECS)
def test_by_time_inside_a_batch(connection: Wire, topic: str, codec: str) -> None:
    produce(connection, topic, batch([b"v" * 50] * 3, timestamps=[1000, 2000, 3000], codec=codec))
    produce(connection, topic, batch([b"v" * 50] * 3, timestamps=[4000, 5000, 6000], codec=codec))
    expected = {
        0: (0, 1000),
        1000: (0, 1000),
        1001: (1, 2000),
        3000: (2, 3000),
        3001: (3, 4000),
        5999: (5, 6000),
        6000: (5, 6000),
        6001: (-1, -1),
    }
    found = {time: list_offsets(connection, topic, time)[1:] for time in expected}
    assert found == expected
    assert list_offsets(connection, topic, -3)[1:] == (5, 6000)


@pytest.mark.parametrize("codec", CODECS)
def test_by_time_when_times_are_out_of_order(connection: Wire, topic: str, codec: str) -> None:
    produce(connection, topic, batch([b"v"] * 3, timestamps=[5000, 9000, 1000], codec=codec))
    produce(connection, topic, batch([b"v"] * 3, timestamps=[2000, 9000, 3000], codec=codec))
    produce(connection, topic, batch([b"v"] * 2, timestamps=[100, 200], codec=codec))
    assert list_offsets(connection, topic, 1)[1:] == (0, 5000)
    assert list_offsets(connection, topic, 6000)[1:] == (1, 9000)
    assert list_offsets(connection, topic, 9001)[1:] == (-1, -1)
    assert list_offsets(connection, topic, -3)[1:] == (1, 9000)


def test_by_time_over_segments(connection: Wire, new_topic: Callable[..., str]) -> None:
    topic = new_topic(configs={"segment.bytes": str(1 << 20)})
    for at in range(12):
        produce(connection, topic, batch([b"x" * 300_000], timestamps=[1000 * at]))
    for at in range(12):
        assert list_offsets(connection, topic, 1000 * at)[1] == at
        assert list_offsets(connection, topic, max(1000 * at - 999, 0))[1] == at
    assert list_offsets(connection, topic, -3)[1:] == (11, 11_000)


@pytest.mark.parametrize("version", range(1, 11))
def test_every_version(connection: Wire, topic: str, version: int) -> None:
    produce(connection, topic, batch([b"v"] * 3, timestamps=[1000, 2000, 3000]))
    assert list_offsets(connection, topic, -1, version=version)[1] == 3
    assert list_offsets(connection, topic, -2, version=version)[1] == 0
    assert list_offsets(connection, topic, 1500, version=version)[1] == 1


def test_errors(connection: Wire, topic: str) -> None:
    assert list_offsets(connection, "no-such-topic", -1)[0] == (
        ErrorCode.unknown_topic_or_partition
    )
    current = wait_for_topic(connection, topic).partitions[0].leader_epoch
    assert list_offsets(connection, topic, -1, epoch=current + 5)[0] == (
        ErrorCode.unknown_leader_epoch
    )
    assert list_offsets(connection, topic, -3, version=6)[0] == ErrorCode.unsupported_version
    assert list_offsets(connection, topic, -9)[0] == ErrorCode.unsupported_version


def test_delete_records(connection: Wire, topic: str) -> None:
    for at in range(4):
        produce(connection, topic, batch([b"a", b"b"], timestamps=[1000 + at, 1000 + at]))
    assert delete_records(connection, topic, 3) == (ErrorCode.none, 3)
    assert list_offsets(connection, topic, -2)[1] == 3
    assert list_offsets(connection, topic, -1)[1] == 8
    assert list_offsets(connection, topic, 0)[1] == 3
    assert fetch(connection, topic, 2).error_code == ErrorCode.offset_out_of_range
    answer = fetch(connection, topic, 3)
    assert (answer.error_code, answer.log_start_offset) == (ErrorCode.none, 3)
    assert delete_records(connection, topic, 1) == (ErrorCode.none, 3)
    assert delete_records(connection, topic, 9)[0] == ErrorCode.offset_out_of_range
    assert delete_records(connection, topic, -2)[0] == ErrorCode.offset_out_of_range
    assert delete_records(connection, topic, -1) == (ErrorCode.none, 8)
    assert produce(connection, topic, batch([b"x"])).base_offset == 8


def test_the_newest_record_left_after_deletion(connection: Wire, topic: str) -> None:
    produce(connection, topic, batch([b"a"], timestamps=[9000]))
    produce(connection, topic, batch([b"a"], timestamps=[1000]))
    produce(connection, topic, batch([b"a"], timestamps=[2000]))
    delete_records(connection, topic, 1)
    assert list_offsets(connection, topic, 0)[1:] == (1, 1000)


def test_offset_for_leader_epoch(connection: Wire, topic: str) -> None:
    produce(connection, topic, batch([b"a", b"b"]))
    epoch = wait_for_topic(connection, topic).partitions[0].leader_epoch

    def ask(leader_epoch: int, current: int = -1) -> tuple[ErrorCode, int, int]:
        partition = {
            "partition": 0,
            "current_leader_epoch": current,
            "leader_epoch": leader_epoch,
        }
        answer = connection.call(
            "offset_for_leader_epoch",
            4,
            replica_id=-1,
            topics=[{"topic": topic, "partitions": [partition]}],
        )
        found = answer.topics[0].partitions[0]
        return found.error_code, found.leader_epoch, found.end_offset

    assert ask(epoch) == (ErrorCode.none, epoch, 2)
    assert ask(epoch + 3) == (ErrorCode.none, -1, -1)
    assert ask(epoch, current=epoch + 1)[0] == ErrorCode.unknown_leader_epoch
