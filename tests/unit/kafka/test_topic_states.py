"""What is said of topics: unstored messages, settings as people write them, and sizes on disk."""

from __future__ import annotations

import struct

import pytest

from nrtctl.kafka.broker_link import NotAsked
from nrtctl.kafka.log_dirs import decode, encode
from nrtctl.kafka.offsets import Place, Point, in_log
from nrtctl.kafka.topic_states import (
    PartitionState,
    TopicState,
    parse_setting,
    shortens,
    unstored,
)


def test_unstored_is_what_lies_at_or_above_the_committed_offset() -> None:
    marks = {0: (0, 10), 1: (5, 10), 2: (0, 0), 3: (2, 9)}
    left = unstored("g", marks, {0: 10, 1: 3, 2: None, 3: None})
    assert left.partitions == {1: 5, 3: 2}
    assert left.messages == 5 + 7
    assert unstored("g", {0: (0, 4)}, {0: 9}).messages == 0


def test_sums_are_unknown_where_one_part_is() -> None:
    one = PartitionState(0, 1, (1, 2), (1, 2), 3, 10, 100)
    other = PartitionState(1, None, (1, 2), ())
    lagging = PartitionState(2, 1, (1, 2), (1,), 0, 1, 5)
    assert TopicState("t", (one, lagging)).messages == 8
    assert TopicState("t", (one, lagging)).size == 105
    assert TopicState("t", (one, other)).messages is None
    assert TopicState("t", (one, other)).size is None
    assert TopicState("t", (one, other, lagging)).leaderless == (1,)
    assert TopicState("t", (one, other, lagging)).under_replicated == (2,)
    assert TopicState("__consumer_offsets", (one,)).internal


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("retention.ms=7d", "retention.ms", "604800000"),
        ("retention.ms=1h30m", "retention.ms", "5400000"),
        ("retention.ms=604800000", "retention.ms", "604800000"),
        ("retention.ms=-1", "retention.ms", "-1"),
        ("segment.bytes=64MiB", "segment.bytes", "67108864"),
        ("cleanup.policy=compact,delete", "cleanup.policy", "compact,delete"),
        ("x=a=b", "x", "a=b"),
        ("x=", "x", ""),
        ("flush.messages=7d", "flush.messages", "7d"),
    ],
)
def test_a_setting_is_read_with_units_where_its_name_has_one(
    text: str, name: str, value: str
) -> None:
    assert parse_setting(text) == (name, value)


@pytest.mark.parametrize("text", ["retention.ms", "=1", "retention.ms=7x", "segment.bytes=1.5"])
def test_what_is_no_setting(text: str) -> None:
    with pytest.raises(ValueError):
        parse_setting(text)


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("retention.ms", "-1", "1000", True),
        ("retention.ms", "2000", "1000", True),
        ("retention.ms", "1000", "2000", False),
        ("retention.ms", "1000", "-1", False),
        ("retention.ms", "1000", "1000", False),
        ("retention.ms", None, "1000", True),
        ("retention.ms", "1000", None, True),
        ("retention.ms", "1000", "soon", False),
        ("retention.bytes", "-1", "0", True),
        ("cleanup.policy", "delete", "compact", True),
        ("max.message.bytes", "2", "1", False),
    ],
)
def test_which_settings_delete_more(
    name: str, before: str | None, after: str | None, expected: bool
) -> None:
    assert shortens(name, before, after) is expected


@pytest.mark.parametrize(
    ("point", "at_time", "expected"),
    [
        (Point(Place.START), None, 10),
        (Point(Place.START, 3), None, 13),
        (Point(Place.END), None, 20),
        (Point(Place.END, 3), None, 17),
        (Point(Place.END, 100), None, 10),
        (Point(Place.OFFSET, 15), None, 15),
        (Point(Place.OFFSET, 3), None, 10),
        (Point(Place.OFFSET, 99), None, 20),
        (Point(Place.TIME, 1), 12, 12),
        (Point(Place.TIME, 1), None, 20),
    ],
)
def test_a_place_lies_in_the_log(point: Point, at_time: int | None, expected: int) -> None:
    assert in_log(point, 10, 20, at_time) == expected


def answer(*directories: bytes) -> bytes:
    return struct.pack(">ii", 0, len(directories)) + b"".join(directories)


def directory(*topics: bytes) -> bytes:
    return struct.pack(">hh", 0, 2) + b"/d" + struct.pack(">i", len(topics)) + b"".join(topics)


def topic(name: bytes, *partitions: tuple[int, int, int]) -> bytes:
    head = struct.pack(">h", len(name)) + name + struct.pack(">i", len(partitions))
    return head + b"".join(struct.pack(">iqqb", n, size, 0, new) for n, size, new in partitions)


def test_sizes_of_several_directories() -> None:
    whole = answer(directory(topic(b"a", (0, 5, 0), (1, 7, 0))), directory(topic(b"a", (2, 9, 0))))
    assert decode(whole) == {("a", 0): 5, ("a", 1): 7, ("a", 2): 9}
    assert decode(answer()) is None, "a user without the right is told no directory"
    assert decode(answer(directory())) == {}


def test_a_replica_that_is_moving_counts_once() -> None:
    whole = answer(directory(topic(b"a", (0, 5, 0))), directory(topic(b"a", (0, 3, 1))))
    assert decode(whole) == {("a", 0): 5}


def test_an_answer_that_is_cut_is_none() -> None:
    whole = answer(directory(topic(b"a", (0, 5, 0))))
    for end in range(len(whole)):
        with pytest.raises(NotAsked):
            decode(whole[:end])


@pytest.mark.parametrize("length", [-1, 2**31 - 1])
def test_a_length_that_cannot_be_ends_soon(length: int) -> None:
    given = struct.pack(">ii", 0, 1) + struct.pack(">hh", 0, 2) + b"/d" + struct.pack(">i", length)
    if length < 0:
        assert decode(given) == {}
    else:
        with pytest.raises(NotAsked):
            decode(given)


def test_the_request() -> None:
    assert encode(None) == b"\xff\xff\xff\xff"
    expected = struct.pack(">ih", 1, 2) + b"ab" + struct.pack(">i2i", 2, 0, 2)
    assert encode({"ab": [0, 2]}) == expected
