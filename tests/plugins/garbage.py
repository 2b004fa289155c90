"""Record batches with a good checksum and something wrong behind it, as a broken client sends."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from typing import Final

import cramjam
import lz4.frame
from crc32c import crc32c

from tests.plugins.kafka_wire import varint


def record(number: int, value: bytes = b"v", *, headers: bytes = b"\0") -> bytes:
    body = b"\0" + varint(0) + varint(number) + varint(-1) + varint(len(value)) + value + headers
    return varint(len(body)) + body


def framed(payload: bytes, count: int, *, codec: int = 0, base_offset: int = 0) -> bytes:
    """A batch that says it holds `count` records, whatever it holds."""
    covered = struct.pack(">hiqqqhii", codec, count - 1, 1000, 1000, -1, -1, -1, count) + payload
    head = struct.pack(">qiibI", base_offset, len(covered) + 9, -1, 2, crc32c(covered))
    return head + covered


THREE: Final = b"".join(map(record, range(3)))
_LZ4: Final = lz4.frame.compress(THREE, block_linked=False)
_ZSTD: Final = bytes(cramjam.zstd.compress(THREE))

BATCHES: Final[Mapping[str, bytes]] = {
    "garbage": framed(b"\x30garbage!" * 3, 5),
    "one long number": framed(b"\xff" * 900_000, 3),
    "a number of ten bytes": framed(b"\xff" * 9 + b"\x01" + THREE, 3),
    "a record cut short": framed(THREE[:-3], 3),
    "fewer records than said": framed(THREE, 5),
    "more records than said": framed(THREE, 2),
    "a count of two billion": framed(varint(-1) + b"\0\0\0", 2**31 - 1),
    "a negative length": framed(varint(-5) + THREE, 3),
    "a length of two billion": framed(varint(2**31 - 1) + THREE, 3),
    "a value longer than its record": framed(
        varint(12) + b"\0\0\0\x01" + varint(1000) + b"x" * 7, 1
    ),
    "a value shorter than its record": framed(varint(12) + b"\0\0\0\x01" + varint(2) + b"x" * 7, 1),
    "too many headers": framed(record(0, headers=varint(1000)), 1),
    "fewer than no headers": framed(record(0, headers=varint(-10)), 1),
    "a header without a name": framed(record(0, headers=varint(1) + varint(-1) + varint(-1)), 1),
    "data that is no gzip": framed(b"not gzip" * 5, 3, codec=1),
    "gzip of garbage": framed(gzip.compress(b"\x30garbage!" * 3), 3, codec=1),
    "gzip of fewer records": framed(gzip.compress(THREE), 5, codec=1),
    "data that is no snappy": framed(b"\xff\xffnot snappy" * 5, 3, codec=2),
    "data that is no lz4": framed(b"not lz4" * 5, 3, codec=3),
    "lz4 cut short": framed(_LZ4[: len(_LZ4) // 2], 3, codec=3),
    "data that is no zstd": framed(b"not zstd" * 5, 3, codec=4),
    "zstd cut short": framed(_ZSTD[: len(_ZSTD) // 2], 3, codec=4),
    "an unknown codec": framed(THREE, 3, codec=5),
    "the same number three times": framed(gzip.compress(record(0) * 3), 3, codec=1),
    "a number beyond its batch": framed(
        gzip.compress(record(0) + record(1) + record(77)), 3, codec=1
    ),
}
