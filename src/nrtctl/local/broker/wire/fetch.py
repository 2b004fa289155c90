"""Fetch, hand-written: log bytes go from the file to the socket unread.

Source: https://kafka.apache.org/protocol#The_Messages_Fetch, versions 4 to 17.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from nrtctl.local.broker.wire.apis import Api
from nrtctl.local.broker.wire.codec import MalformedRequest, response_header, write_uvarint
from nrtctl.local.broker.wire.cursor import Cursor

FLEXIBLE_FROM: Final = 12
TOPIC_IDS_FROM: Final = 13
READ_COMMITTED: Final = 1
_WANTED_4: Final = struct.Struct(">iqi")
_WANTED_5: Final = struct.Struct(">iqqi")
_WANTED_9: Final = struct.Struct(">iiqqi")
_WANTED_12: Final = struct.Struct(">iiqiqi")
_PARTITION: Final = struct.Struct(">ihqqq")
_ABORTED: Final = struct.Struct(">qq")
_NULL_AND_NOTHING: Final = b"\0\xff\xff\xff\xff\1\0"
"""Of a partition without records: transactions (null), preferred replica, records, tags."""
_NONE_AND_NOTHING: Final = b"\1\xff\xff\xff\xff\1\0"
"""The same, with an empty list of transactions."""


class FetchPartition(NamedTuple):
    partition: int
    leader_epoch: int
    offset: int
    max_bytes: int


class FetchRequest(NamedTuple):
    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    is_committed: bool
    session_id: int
    session_epoch: int
    topics: list[tuple[str | UUID, list[FetchPartition]]]


class PartitionReply(NamedTuple):
    """`aborted`: (producer id, first offset) of transactions whose messages are void; None where
    the client did not ask."""

    partition: int
    error_code: int
    high_watermark: int
    last_stable: int
    log_start_offset: int
    records: bytes
    aborted: Sequence[tuple[int, int]] | None = None


def read_fetch(version: int, frame: memoryview, at: int) -> FetchRequest:
    """Raises MalformedRequest when the bytes do not follow the schema."""
    cursor = Cursor(frame, at, version >= FLEXIBLE_FROM)
    try:
        return _read_fetch(version, cursor)
    except (IndexError, UnicodeDecodeError) as error:
        raise MalformedRequest(str(error)) from error


def _read_fetch(version: int, cursor: Cursor) -> FetchRequest:
    cursor.tags()
    if version <= 14:
        cursor.integer(4)
    max_wait_ms = cursor.integer(4)
    min_bytes = cursor.integer(4)
    max_bytes = cursor.integer(4)
    is_committed = cursor.integer(1) == READ_COMMITTED
    session_id, session_epoch = 0, -1
    if version >= 7:
        session_id, session_epoch = cursor.integer(4), cursor.integer(4)
    topics: list[tuple[str | UUID, list[FetchPartition]]] = []
    for _ in range(cursor.array_length()):
        topic: str | UUID
        if version >= TOPIC_IDS_FROM:
            topic = UUID(bytes=bytes(cursor.take(16)))
        else:
            topic = cursor.string() or ""
        partitions = [_wanted(version, cursor) for _ in range(cursor.array_length())]
        cursor.tags()
        topics.append((topic, partitions))
    if version >= 7:
        _skip_forgotten_topics(version, cursor)
    if version >= 11:
        cursor.string()
    cursor.tags()
    sizes = (max_wait_ms, min_bytes, max_bytes)
    return FetchRequest(*sizes, is_committed, session_id, session_epoch, topics)


def _wanted(version: int, cursor: Cursor) -> FetchPartition:
    """One partition of a request, read at once: a client names all of its partitions each time."""
    if version >= FLEXIBLE_FROM:
        partition, leader_epoch, offset, _, _, most = cursor.unpack(_WANTED_12)
        cursor.tags()
        return FetchPartition(partition, leader_epoch, offset, most)
    if version >= 9:
        partition, leader_epoch, offset, _, most = cursor.unpack(_WANTED_9)
        return FetchPartition(partition, leader_epoch, offset, most)
    partition, offset, *_, most = cursor.unpack(_WANTED_5 if version >= 5 else _WANTED_4)
    return FetchPartition(partition, -1, offset, most)


def _skip_forgotten_topics(version: int, cursor: Cursor) -> None:
    """They only mean something to a fetch session."""
    for _ in range(cursor.array_length()):
        if version >= TOPIC_IDS_FROM:
            cursor.take(16)
        else:
            cursor.string()
        for _ in range(cursor.array_length()):
            cursor.integer(4)
        cursor.tags()


def write_fetch(
    version: int,
    correlation_id: int,
    error_code: int,
    topics: list[tuple[str | UUID, list[PartitionReply]]],
) -> list[bytes | bytearray]:
    """The parts of the response, in order; record bytes are passed through as they are."""
    flexible = version >= FLEXIBLE_FROM
    parts: list[bytes | bytearray] = []
    out = response_header(Api.FETCH, version, correlation_id)

    def length(value: int, size: int) -> None:
        if flexible:
            write_uvarint(out, value + 1)
        else:
            out.extend(value.to_bytes(size, "big", signed=True))

    out += b"\0\0\0\0"
    if version >= 7:
        out += struct.pack(">hi", error_code, 0)
    length(len(topics), 4)
    for topic, partitions in topics:
        if isinstance(topic, UUID):
            out += topic.bytes
        else:
            name = topic.encode()
            length(len(name), 2)
            out += name
        length(len(partitions), 4)
        for reply in partitions:
            fixed = _PARTITION.pack(
                reply.partition,
                reply.error_code,
                reply.high_watermark,
                reply.last_stable,
                reply.log_start_offset,
            )
            out += fixed if version >= 5 else fixed[:-8]
            if flexible and not reply.records and not reply.aborted:
                out += _NULL_AND_NOTHING if reply.aborted is None else _NONE_AND_NOTHING
                continue
            if reply.aborted is None:
                length(-1, 4)
            else:
                length(len(reply.aborted), 4)
                for each in reply.aborted:
                    out += _ABORTED.pack(*each)
                    if flexible:
                        out.append(0)
            if version >= 11:
                out += b"\xff\xff\xff\xff"
            length(len(reply.records), 4)
            if reply.records:
                parts += (out, reply.records)
                out = bytearray()
            if flexible:
                out.append(0)
        if flexible:
            out.append(0)
    if flexible:
        out.append(0)
    parts.append(out)
    return parts
