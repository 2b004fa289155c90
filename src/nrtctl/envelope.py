"""The envelope: a Kafka message as one RowBinary row of the landing table.

The consumer never parses a message; it wraps key and value as they are. Pure.
Format: https://clickhouse.com/docs/interfaces/formats/RowBinary (little endian, LEB128 lengths).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable
from operator import itemgetter

COLUMNS = ("_topic", "_partition", "_offset", "_timestamp", "_key", "_value")
"""The landing columns a row carries, in order."""

LETTER_COLUMNS = (*COLUMNS[:4], "key", "value", "_target", "reason", "error")
"""The columns of the dead letters' table that `letter` fills, in order."""

_OFFSET_TIMESTAMP = struct.Struct("<qq").pack
_NULL = b"\x01"
_SHORT = tuple(b"\x00" + bytes((length,)) for length in range(128))


def varint(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _nullable(data: bytes | None) -> bytes:
    if data is None:
        return _NULL
    length = len(data)
    if length < 128:
        return _SHORT[length] + data
    return b"\x00" + varint(length) + data


Row = Callable[[int, int, bytes | None, bytes | None], bytes]


def row_encoder(topic: str, partition: int) -> Row:
    """An encoder for the rows of one partition.

    Returns:
        A function (offset, timestamp in ms since the epoch, key, value) -> one RowBinary row.
        A negative timestamp (the message has none) is stored as 0.
    """
    name = topic.encode()
    prefix = varint(len(name)) + name + struct.pack("<i", partition)

    def encode(offset: int, timestamp: int, key: bytes | None, value: bytes | None) -> bytes:
        timestamp = timestamp if timestamp > 0 else 0
        return b"%b%b%b%b" % (
            prefix,
            _OFFSET_TIMESTAMP(offset, timestamp),
            _nullable(key),
            _nullable(value),
        )

    return encode


def timestamps(topic: str, rows: Iterable[bytes]) -> array[int]:
    """The time stamps of encoded rows of `topic`, in ms since the epoch; 0 where there is none.

    One pass in C: no Python for each row.
    """
    name = topic.encode()
    start = len(varint(len(name))) + len(name) + 4 + 8
    found = array("q", b"".join(map(itemgetter(slice(start, start + 8)), rows)))
    if sys.byteorder == "big":
        found.byteswap()
    return found


def letter(row: bytes, *, table: str, reason: str, error: str) -> bytes:
    """An encoded row as a row of the dead letters' table, with the server's `error`."""
    texts = [text.encode() for text in (table, reason, error)]
    return row + b"".join(varint(len(text)) + text for text in texts)
