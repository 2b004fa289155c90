"""Produce, hand-written: record batches stay where they are in the connection's buffer.

Source: https://kafka.apache.org/protocol#The_Messages_Produce, versions 3 to 12.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from nrtctl.local.broker.wire.apis import Api
from nrtctl.local.broker.wire.codec import MalformedRequest, response_header, write_uvarint
from nrtctl.local.broker.wire.cursor import Cursor

FLEXIBLE_FROM: Final = 9
_PARTITION: Final = struct.Struct(">ihqqq")


class ProduceRequest(NamedTuple):
    transactional_id: str | None
    acks: int
    topics: list[tuple[str, list[tuple[int, memoryview]]]]


class PartitionReply(NamedTuple):
    partition: int
    error_code: int
    base_offset: int
    log_append_time: int
    log_start_offset: int
    message: str | None


def read_produce(version: int, frame: memoryview, at: int) -> ProduceRequest:
    """`frame` must be writable: the log sets offsets in place.

    Raises:
        MalformedRequest: the bytes do not follow the schema.
    """
    cursor = Cursor(frame, at, version >= FLEXIBLE_FROM)
    try:
        cursor.tags()
        transactional_id = cursor.string()
        acks = cursor.integer(2)
        cursor.integer(4)
        topics = []
        for _ in range(cursor.array_length()):
            topic = cursor.string() or ""
            partitions = []
            for _ in range(cursor.array_length()):
                partitions.append((cursor.integer(4), cursor.data()))
                cursor.tags()
            cursor.tags()
            topics.append((topic, partitions))
        cursor.tags()
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedRequest(str(error)) from error
    return ProduceRequest(transactional_id, acks, topics)


def write_produce(
    version: int, correlation_id: int, topics: list[tuple[str, list[PartitionReply]]]
) -> bytearray:
    out = response_header(Api.PRODUCE, version, correlation_id)
    flexible = version >= FLEXIBLE_FROM

    def length(value: int, size: int) -> None:
        if flexible:
            write_uvarint(out, value + 1)
        else:
            out.extend(value.to_bytes(size, "big", signed=True))

    length(len(topics), 4)
    for topic, partitions in topics:
        name = topic.encode()
        length(len(name), 2)
        out += name
        length(len(partitions), 4)
        for reply in partitions:
            fixed = _PARTITION.pack(*reply[:5])
            out += fixed if version >= 5 else fixed[:-8]
            if version >= 8:
                length(0, 4)
                if reply.message is None:
                    length(-1, 2)
                else:
                    message = reply.message.encode()
                    length(len(message), 2)
                    out += message
            if flexible:
                out.append(0)
        if flexible:
            out.append(0)
    out += b"\0\0\0\0"
    if flexible:
        out.append(0)
    return out
