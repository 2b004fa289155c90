"""DescribeLogDirs: what each partition takes on the disk, on both brokers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.plugins.kafka_wire import Wire, batch, produce
from tests.plugins.waiting import eventually


def sizes(
    connection: Wire, topics: list[dict[str, Any]] | None, *, version: int = 4
) -> dict[tuple[str, int], int]:
    answer = connection.call("describe_log_dirs", version, topics=topics)
    (directory,) = answer.results
    assert directory.error_code == ErrorCode.none
    assert directory.log_dir
    return {
        (topic.name, partition.partition_index): partition.partition_size
        for topic in directory.topics
        for partition in topic.partitions
    }


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_size_is_that_of_the_batches(
    connection: Wire, new_topic: Callable[..., str], version: int
) -> None:
    topic = new_topic(3)
    records = batch([b"x" * 1000] * 5)
    for _ in range(2):
        assert produce(connection, topic, records, partition=1).error_code == ErrorCode.none
    wanted = [{"topic": topic, "partitions": (0, 1, 2)}]
    found = eventually(lambda: sizes(connection, wanted, version=version), "sizes")
    assert found == {(topic, 0): 0, (topic, 1): 2 * len(records), (topic, 2): 0}


def test_null_is_every_partition(connection: Wire, new_topic: Callable[..., str]) -> None:
    one, two = new_topic(1), new_topic(2)
    found = sizes(connection, None)
    assert {(one, 0), (two, 0), (two, 1)} <= found.keys()


def test_what_is_not_there_is_left_out(connection: Wire, topic: str) -> None:
    wanted: list[dict[str, Any]] = [
        {"topic": topic, "partitions": (0, 7, -1)},
        {"topic": "no-such-topic", "partitions": (0,)},
    ]
    assert sizes(connection, wanted).keys() == {(topic, 0)}
    assert sizes(connection, []) == {}
    assert sizes(connection, [{"topic": topic, "partitions": ()}]) == {}


def test_the_disk_is_told(connection: Wire) -> None:
    (directory,) = connection.call("describe_log_dirs", 4, topics=[]).results
    assert 0 < directory.usable_bytes <= directory.total_bytes
