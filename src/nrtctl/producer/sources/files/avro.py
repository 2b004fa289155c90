"""Records of Avro files: one record, one JSON text. Called by `opening`.

https://avro.apache.org/docs/1.12.0/specification/#object-container-files. The values are those that
messages of Avro have (docs/formats.md). A file is read block by block, so memory is bounded by one.
"""

from __future__ import annotations

import bz2
import json
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import Any

from nrtctl.config.counted import counted
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.kafka.formats import avro
from nrtctl.kafka.formats.avro import TooShort
from nrtctl.kafka.formats.decoder import text_of
from nrtctl.kafka.formats.wire import Undecodable
from nrtctl.pipeline.fields import Path
from nrtctl.pipeline.message_format import CannotRead
from nrtctl.pipeline.rows import EACH
from nrtctl.producer.sources import Record, Unsendable
from nrtctl.producer.sources.files.jsonl import key_of
from nrtctl.producer.sources.files.kinds import Found, Types
from nrtctl.producer.sources.files.reading import Chunks
from nrtctl.producer.sources.marks import FOREIGN

MAGIC = b"Obj\x01"
MAX_BLOCK = 256 * 2**20
"""Bytes, packed or not."""

MOST_EMPTY = 100_000
"""Records of a block that take no bytes, as those of a schema without fields."""

_SYNC = 16
_MAX_HEADER = 16 * 2**20

_MOST_DIGITS = 76
_TYPES = {
    "int": "Int32", "long": "Int64", "boolean": "Bool", "float": "Float64", "double": "Float64",
    "date": "Date32",
    "timestamp-millis": "DateTime64(3, 'UTC')", "local-timestamp-millis": "DateTime64(3, 'UTC')",
    "timestamp-micros": "DateTime64(6, 'UTC')", "local-timestamp-micros": "DateTime64(6, 'UTC')",
    "timestamp-nanos": "DateTime64(9, 'UTC')", "local-timestamp-nanos": "DateTime64(9, 'UTC')",
    "time-millis": "String", "time-micros": "String",
}  # fmt: skip

Unpack = Callable[[bytes], bytes]


class _More(Exception):
    """More must have come."""


class AvroRecords:
    """Messages from the records of an Avro file.

    Args:
        key: the field, or path, whose value keys the message; None: no keys.

    Raises:
        ConfigError: it is damaged, or lacks the key; of what comes through a pipe, from `take`.
    """

    bulk = False

    def __init__(self, chunks: Chunks, *, key: str | Path | None) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self.exhausted = False
        self.found: Found | None = None
        self._chunks = chunks
        self._key = key
        self._came = bytearray()
        self._ready: list[tuple[int, Record]] = []
        self._taken = 0
        self._number = 0
        self._sync = b""
        self._unpack: Unpack = bytes
        self._read: avro.Read | None = None
        self._failure: NrtctlError | None = None
        while not chunks.waits and self._read is None:
            self._next()

    @property
    def origin(self) -> str:
        return f"{self._chunks.name}, record {self._ready[self._taken - 1][0]}"

    def size_hint(self) -> tuple[int, int] | None:
        size = self._chunks.size
        return None if size is None else (self._chunks.bytes_read, size)

    def close(self) -> None:
        self._chunks.close()

    def take(self, limit: int) -> list[Record]:
        if self._taken == len(self._ready):
            self._ready, self._taken = [], 0
            self._next()
        piece = self._ready[self._taken : self._taken + limit]
        self._taken += len(piece)
        return [record for _, record in piece]

    def _next(self) -> None:
        """The records of the next block, if all of it is there."""
        if self._failure is not None:
            raise self._failure
        try:
            if self._read is None:
                self._open()
            else:
                self._block(self._read)
            return
        except _More:
            pass
        if self._chunks.ended:
            self._end()
        else:
            self._came += self._chunks.read()

    def _end(self) -> None:
        if self._read is None:
            raise ConfigError(f"{self._chunks.name} is a damaged Avro file: it ends too early")
        if self._came:
            raise self._damaged("it ends within a block")
        self.exhausted = True

    def _open(self) -> None:
        """Raises _More, ConfigError."""
        data = bytes(self._came[:_MAX_HEADER])
        name = self._chunks.name
        try:
            header, at = avro.read_first(data, len(MAGIC), avro.map_of(avro.PRIMITIVES["bytes"]))
        except TooShort:
            if len(self._came) >= _MAX_HEADER:
                raise ConfigError(f"{name} is a damaged Avro file: its header has no end") from None
            raise _More from None
        except Undecodable as error:
            raise ConfigError(f"{name} is a damaged Avro file: {error}") from error
        if len(data) < at + _SYNC:
            raise _More
        self._unpack = _unpacker(header.get("avro.codec", b"null").decode(errors="replace"), name)
        try:
            schema = json.loads(header.get("avro.schema", b""))
            self._read = avro.reader(json.dumps(_without_aliases(schema)))
            types = types_of(schema)
        except (CannotRead, ValueError, RecursionError) as error:
            raise ConfigError(f"{name}: its Avro schema cannot be used: {error}") from error
        self._sync = data[at : at + _SYNC]
        del self._came[: at + _SYNC]
        names = _names(schema)
        key = self._key[0] if isinstance(self._key, tuple) else self._key
        if key is not None and names is not None and key not in names:
            raise ConfigError(
                f"{name} has no field {key!r} for the key",
                hint=f"its fields are {', '.join(names)}; see --key and pipeline.key",
            )
        self.found = Found(name, "avro", self._chunks.compression, header=names, types=types)

    def _block(self, read: avro.Read) -> None:
        """Raises _More, NrtctlError."""
        head = bytes(self._came[:20])
        try:
            count, at = avro.read_first(head, 0, avro.PRIMITIVES["long"])
            size, at = avro.read_first(head, at, avro.PRIMITIVES["long"])
        except TooShort:
            raise _More from None
        except Undecodable as error:
            raise self._damaged(str(error)) from error
        if count < 0 or size < 0:
            raise self._damaged("a block has a negative size")
        if size > MAX_BLOCK:
            raise self._damaged(f"a block is larger than {MAX_BLOCK >> 20} MiB")
        if len(self._came) < at + size + _SYNC:
            raise _More
        packed = bytes(self._came[at : at + size])
        if self._came[at + size : at + size + _SYNC] != self._sync:
            raise self._damaged("a block does not end where it should")
        del self._came[: at + size + _SYNC]
        try:
            data = self._unpack(packed)
        except Exception as error:
            raise self._damaged(f"a block cannot be unpacked: {error}") from error
        self._records(read, data, count)

    def _records(self, read: avro.Read, data: bytes, count: int) -> None:
        if count > len(data) + MOST_EMPTY:
            raise self._damaged(
                f"a block of {counted(len(data), 'byte')} is said to have "
                f"{counted(count, 'record')}"
            )
        at = 0
        for _ in range(count):
            try:
                value, at = avro.read_first(data, at, read)
                text = text_of(value)
            except Undecodable as error:  # and where the next one begins nobody knows
                self._failure = self._damaged(f"record {self._number + 1}: {error}")
                return
            self._number += 1
            key = None if self._key is None else key_of(text, self._key)
            self._ready.append((self._number, (key, text, None, FOREIGN)))
        if at != len(data):
            self._failure = self._damaged("a block has more bytes than its records")

    def _damaged(self, why: str) -> NrtctlError:
        return NrtctlError(
            f"{self._chunks.name} cannot be read any further: {why}",
            hint=f"{counted(self._number, 'record')} before that were read",
        )


def _unpacker(codec: str, name: str) -> Unpack:
    """Raises ConfigError: there is none."""
    match codec:
        case "null":
            return bytes
        case "deflate":
            return lambda packed: _bounded(zlib.decompressobj(-15).decompress(packed, MAX_BLOCK))
        case "bzip2":
            return lambda packed: _bounded(bz2.BZ2Decompressor().decompress(packed, MAX_BLOCK))
        case "xz":
            return lambda packed: _bounded(lzma.LZMADecompressor().decompress(packed, MAX_BLOCK))
        case "zstandard":
            return lambda packed: _bounded(_zstd().decompress(packed, MAX_BLOCK))
        case "snappy":
            return _snappy(name)
    raise ConfigError(
        f"{name} is an Avro file whose blocks are packed with {codec}, which is not read",
        hint="write it with deflate, snappy, zstandard, bzip2, xz or null",
    )


def _bounded(data: bytes) -> bytes:
    if len(data) >= MAX_BLOCK:
        raise ValueError(f"it is larger than {MAX_BLOCK >> 20} MiB")
    return data


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdDecompressor()


def _snappy(name: str) -> Unpack:
    try:
        import cramjam
    except ImportError as error:
        raise ConfigError(
            f"{name} is an Avro file packed with snappy, which needs cramjam",
            hint="install nrtctl with its extra local: pip install 'nrtctl[local]'",
        ) from error

    def unpack(packed: bytes) -> bytes:
        block, check = packed[:-4], int.from_bytes(packed[-4:], "big")
        if cramjam.snappy.decompress_raw_len(block) >= MAX_BLOCK:
            raise ValueError(f"it is larger than {MAX_BLOCK >> 20} MiB")
        data = bytes(cramjam.snappy.decompress_raw(block))
        if zlib.crc32(data) != check:
            raise ValueError("its checksum is wrong")
        return data

    return unpack


def _without_aliases(schema: Any) -> Any:
    """Aliases are for readers that know a field by a former name; here each has one."""
    if isinstance(schema, list):
        return [_without_aliases(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_aliases(each) for key, each in schema.items() if key != "aliases"}


def _names(schema: Any) -> tuple[str, ...] | None:
    """Of the record's fields; None: the values are no records."""
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return None if fields is None else tuple(each["name"] for each in fields)


def types_of(schema: Any, path: tuple[str, ...] = ()) -> Types:
    """What the schema says of the places of a record, where JSON does not say it."""
    branches = schema if isinstance(schema, list) else [schema]
    branches = [each for each in branches if each != "null"]
    if len(branches) != 1:
        return {}
    kind = branches[0] if isinstance(branches[0], dict) else {"type": branches[0]}
    what, logical = kind.get("type"), kind.get("logicalType")
    if isinstance(what, dict | list):
        return types_of(what, path)
    if what == "record":
        fields = [types_of(each["type"], (*path, each["name"])) for each in kind["fields"]]
        return {place: each for found in fields for place, each in found.items()}
    if what in {"map", "array"}:
        inner = types_of(kind["values" if what == "map" else "items"], (*path, EACH))
        of = inner.get((*path, EACH), "")
        plain = of if of and "(" not in of else ""
        if what == "map":
            return {**inner, path: f"Map(String, {plain})" if plain else "Map"}
        return {**inner, path: f"Array({plain})"} if plain else inner
    if logical == "decimal":
        precision, scale = kind.get("precision", 0), kind.get("scale", 0)
        fits = 0 <= scale <= precision <= _MOST_DIGITS and precision > 0
        return {path: f"Decimal({precision}, {scale})"} if fits else {}
    found = _TYPES.get(str(logical)) or _TYPES.get(str(what))
    return {path: found} if found else {}
