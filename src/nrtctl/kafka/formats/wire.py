"""What stands before a value that was written with a schema registry. Pure.

A byte 0, and the schema's id in four bytes, the highest first:
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/
"""

from __future__ import annotations

import struct

from nrtctl.errors import ConnectError

MAGIC = 0
SIZE = 5
"""Bytes before what the schema describes."""


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
    return int.from_bytes(data[1:SIZE], "big")


def prefix(schema: int) -> bytes:
    """What stands before a value of the schema of that id."""
    return struct.pack(">BI", MAGIC, schema)
