"""Which assignments are a consumer's: what decides whether Kafka's client may describe a group."""

from __future__ import annotations

import struct

import pytest

from nrtctl.kafka.foreign_groups import is_of_consumers


def assignment(*topics: tuple[str, list[int]], version: int = 1, after: bytes = b"") -> bytes:
    data = struct.pack(">hi", version, len(topics))
    for name, partitions in topics:
        text = name.encode()
        data += struct.pack(f">h{len(text)}si{len(partitions)}i", len(text), text, len(partitions),
                            *partitions)  # fmt: skip
    return data + after


@pytest.mark.parametrize(
    "data",
    [
        b"",
        assignment(),
        assignment(("events", [0, 1, 2])),
        assignment(("é", []), ("b", [2**31 - 1]), version=0, after=struct.pack(">i", -1)),
        assignment(("a", [1]), after=b"\0\0\0\1x"),
    ],
)
def test_a_consumers_is_known(data: bytes) -> None:
    assert is_of_consumers(data)


WHOLE = assignment(("events", [0, 1]), ("b", [2]))


@pytest.mark.parametrize(
    "data",
    [
        *(WHOLE[:length] for length in range(1, len(WHOLE))),
        assignment(version=-1),
        struct.pack(">hi", 0, -1),
        struct.pack(">hi", 0, 2**31 - 1),
        struct.pack(">hihi", 0, 1, -1, 0),
        struct.pack(">hihi", 0, 1, 0, 2**31 - 1),
        struct.pack(">hihi", 0, 1, 0, -1),
    ],
)
def test_another_is_not(data: bytes) -> None:
    assert not is_of_consumers(data)
