"""The envelope: a Kafka message as one RowBinary row of the landing table.

The consumer never parses a message; it wraps key and value as they are. Pure.
Format: https://clickhouse.com/docs/interfaces/formats/RowBinary (little endian, LEB128 lengths).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import NamedTuple, Protocol

from nrtctl.pipeline.message_format import DECODED

COLUMNS = (
    "_topic", "_incarnation", "_partition", "_offset", "_timestamp", "_headers", "_key", "_value",
)  # fmt: skip
"""The landing columns a row carries, in order."""

DECODED_COLUMNS = (*COLUMNS, DECODED)
"""Those of a pipeline whose messages are decoded (`nrtctl.kafka.formats`)."""

LETTER_COLUMNS = (*COLUMNS[:5], "headers", "key", "value", "_target", "reason", "field", "error")
"""The columns of the dead letters' table that `letter` fills, in order."""

INSERT_FAILED = "insert failed"
"""The reason of a dead letter that no view rejected: the pipeline's SQL threw on it."""

_NULL = b"\x01"
MOST_LENGTHS = 65_536


def varint(value: int) -> bytes:
    """An unsigned LEB128 number."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Lengths(dict[int, bytes]):
    """What precedes a nullable text that is there, by its length."""

    def __missing__(self, length: int) -> bytes:
        made = b"\x00" + varint(length)
        if len(self) < MOST_LENGTHS:
            self[length] = made
        return made


_before = _Lengths().__getitem__


def _nullable(texts: Sequence[bytes | None]) -> tuple[list[bytes], Sequence[bytes]]:
    """(what precedes each text, the texts)."""
    try:
        return list(map(_before, map(len, texts))), texts  # type: ignore[arg-type, return-value]
    except TypeError:
        marks = [_NULL if text is None else _before(len(text)) for text in texts]
        return marks, [text or b"" for text in texts]


Headers = Sequence[tuple[str | bytes, bytes | None]] | None
"""Of one message: names and values; None where it has none, as confluent-kafka says it."""


def _array(headers: Headers) -> bytes:
    """RowBinary of Array(Tuple(String, Nullable(String)))."""
    parts = [varint(len(headers or ()))]
    for name, value in headers or ():
        data = name.encode() if isinstance(name, str) else name
        parts += [varint(len(data)), data, _NULL if value is None else _before(len(value))]
        parts.append(value or b"")
    return b"".join(parts)


_NO_HEADERS = _array(None)

Decode = Callable[[Sequence[bytes | None], Sequence[Headers]], list[bytes]]
"""The JSON text of each value (`kafka.formats.decoder`)."""


class Rows(NamedTuple):
    """Rows that go together. Attributes: piece: one behind another; sizes: of each, in bytes."""

    piece: bytes
    sizes: array[int]

    @classmethod
    def of(cls, rows: Sequence[bytes]) -> Rows:
        return cls(b"".join(rows), array("Q", map(len, rows)))

    def behind(self, count: int) -> Rows:
        """Without the first ones."""
        return Rows(self.piece[sum(self.sizes[:count]) :], self.sizes[count:])


class RowsEncoder:
    """Makes the rows of one partition of one incarnation of the topic.

    Args:
        decode: of messages that are no JSON: each row has the text of its value, too. What it
            raises is raised by the encoder.

    Attributes:
        prefix: what each row begins with.
    """

    def __init__(
        self, topic: str, incarnation: int, partition: int, decode: Decode | None = None
    ) -> None:
        name = topic.encode()
        self.prefix = varint(len(name)) + name + struct.pack("<Ii", incarnation, partition)
        self._head = struct.Struct(f"<{len(self.prefix)}sqq").pack
        self._decode = decode

    def __call__(
        self,
        offsets: Sequence[int],
        timestamps: Sequence[int],
        headers: Sequence[Headers],
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
    ) -> list[bytes]:
        """One RowBinary row each. No Python runs for a row without headers and `decode`.

        Args:
            timestamps: in ms since the epoch; a negative one (the message has none) is stored as 0.
        """
        texts = None if self._decode is None else self._decode(values, headers)
        if timestamps and min(timestamps) < 0:
            timestamps = [max(0, timestamp) for timestamp in timestamps]
        heads = map(self._head, repeat(self.prefix), offsets, timestamps)
        arrays = map(_array, headers) if any(headers) else [_NO_HEADERS] * len(headers)
        parts = zip(heads, arrays, *_nullable(keys), *_nullable(values), strict=True)
        rows = list(map(b"".join, parts))
        if texts is None:
            return rows
        return [row + varint(len(text)) + text for row, text in zip(rows, texts, strict=True)]


class Row(Protocol):
    """One row, as `RowsEncoder` makes many."""

    def __call__(
        self,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = None,
    ) -> bytes: ...


def row_encoder(topic: str, incarnation: int, partition: int, decode: Decode | None = None) -> Row:
    """As `RowsEncoder`, for one row at a time."""
    encode = RowsEncoder(topic, incarnation, partition, decode)

    def encode_one(
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = None,
    ) -> bytes:
        return encode([offset], [timestamp], [headers], [key], [value])[0]

    return encode_one


def timestamps(topic: str, body: bytes, sizes: Sequence[int]) -> array[int]:
    """The time stamps of joined rows of `topic`, in ms since the epoch; 0 where there is none.

    Args:
        sizes: of the first rows of `body`, in bytes: as many are read.
    """
    name = topic.encode()
    first = len(varint(len(name))) + len(name) + 4 + 4 + 8
    starts = list(accumulate(sizes[:-1], initial=first)) if sizes else []
    found = array("q", b"".join([body[start : start + 8] for start in starts]))
    if sys.byteorder == "big":
        found.byteswap()
    return found


@dataclass(frozen=True, slots=True)
class Head:
    """What the rows of one `RowsEncoder` begin with. Attributes: size: in bytes."""

    topic: str
    incarnation: int
    partition: int
    size: int


def head(row: bytes) -> Head:
    """Of an encoded row."""
    length, start = _read_varint(row, 0)
    end = start + length
    incarnation, partition = struct.unpack_from("<Ii", row, end)
    return Head(row[start:end].decode(), incarnation, partition, end + 8)


def _read_varint(row: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = shift = 0
    while row[at] > 127:
        value |= (row[at] & 127) << shift
        shift, at = shift + 7, at + 1
    return value | row[at] << shift, at + 1


def _after_nullable(row: bytes, at: int) -> int:
    if row[at]:
        return at + 1
    length, at = _read_varint(row, at + 1)
    return at + length


def without_decoded(row: bytes) -> bytes:
    """A row of `DECODED_COLUMNS` as one of `COLUMNS`."""
    count, at = _read_varint(row, head(row).size + 16)
    for _ in range(count):
        length, at = _read_varint(row, at)
        at = _after_nullable(row, at + length)
    return row[: _after_nullable(row, _after_nullable(row, at))]


def letter(row: bytes, *, table: str, reason: str, field: str, error: str) -> bytes:
    """A row of `COLUMNS` as a row of the dead letters' table, with the server's `error`."""
    texts = [text.encode() for text in (table, reason, field, error)]
    return row + b"".join(varint(len(text)) + text for text in texts)
