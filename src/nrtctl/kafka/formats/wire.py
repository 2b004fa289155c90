"""What stands before a value that was written with a schema registry. Pure.

A byte 0, and the schema's id in four bytes, the highest first:
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/. Confluent's
newer serializers may write it into a header instead, and there a byte 1 and the schema's GUID.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from uuid import UUID

from nrtctl.errors import ConnectError

MAGIC = 0
SIZE = 5
"""Bytes before what the schema describes; of Protobuf, before the message's indexes."""

GUID_MAGIC = 1
GUID_SIZE = 17

ID_HEADER = "__value_schema_id"
"""The header that says what the value was written with, and has what else stands before it."""

MOST_ID = 2**31 - 1
"""Registries count ids in four bytes with a sign. Asked for a larger one, Confluent's answers as it
does to a wrong path."""

MOST_INDEXES = 60
"""Levels of messages in each other."""


Headers = Sequence[tuple[str | bytes, bytes | None]] | None
"""Of one message, as `store.envelope` has them."""

SchemaName = int | UUID
"""By which a registry knows a schema: its id, or its GUID."""


class RegistryAway(ConnectError):
    """The schema registry does not answer, or not now: what it would say is not known."""


class Undecodable(ValueError):
    """The bytes are not what they ought to be. Its text is the reason of the dead letter."""


def schema_id(data: bytes) -> int:
    """Of the schema that the value was written with. Raises Undecodable: it does not say."""
    if data[0] != MAGIC:
        raise Undecodable("the message does not begin with the wire format's magic byte 0")
    if len(data) < SIZE:
        raise Undecodable("the message ends within the wire format's schema id")
    number = int.from_bytes(data[1:SIZE], "big")
    if number > MOST_ID:
        raise Undecodable(f"no registry has a schema {number}: ids end with {MOST_ID}")
    return number


def named_in(headers: Headers) -> bytes | None:
    """What the header says that stands for the beginning of the value; None: there is none."""
    for name, value in reversed(headers or ()):
        if name in (ID_HEADER, ID_HEADER.encode()) and value is not None:
            return value
    return None


def header_size(named: bytes) -> int:
    """How many bytes of the header name the schema. Raises Undecodable."""
    size = {MAGIC: SIZE, GUID_MAGIC: GUID_SIZE}.get(named[0] if named else -1)
    if size is None:
        raise Undecodable(f"the header {ID_HEADER} begins with neither 0 nor 1")
    if len(named) < size:
        raise Undecodable(f"the header {ID_HEADER} ends within the id of the schema")
    return size


def schema_name(begin: bytes) -> SchemaName:
    """Args: begin: of the value, or of the header as far as `header_size` says. Raises as
    `schema_id`."""
    return UUID(bytes=begin[1:]) if len(begin) == GUID_SIZE else schema_id(begin)


def prefix(schema: int) -> bytes:
    """What stands before a value of the schema of that id."""
    return struct.pack(">BI", MAGIC, schema)


def message_indexes(data: bytes, at: int = SIZE) -> tuple[tuple[int, ...], int]:
    """Which message of a Protobuf schema it is, and where it begins. Args: at: where the indexes
    do. Raises Undecodable."""
    count, at = _zigzag(data, at)
    if count == 0:
        return (0,), at
    if not 0 < count <= MOST_INDEXES:
        raise Undecodable(f"the wire format does not have {count} message indexes")
    found = []
    for _ in range(count):
        index, at = _zigzag(data, at)
        found.append(index)
    return tuple(found), at


def indexes_prefix(indexes: Sequence[int]) -> bytes:
    """What `message_indexes` reads."""
    if list(indexes) == [0]:
        return b"\x00"
    return b"".join(_zigzagged(each) for each in (len(indexes), *indexes))


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise Undecodable("the message ends within the wire format's message indexes")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 28:
            raise Undecodable("a message index of the wire format has more than 32 bits")


def _zigzagged(number: int) -> bytes:
    left, out = number << 1, bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    out.append(left)
    return bytes(out)
