"""Avro files: every kind of value as JSON, every way to pack, and what cannot be read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources.files import file_source, open_records
from nrtctl.producer.sources.files.avro import types_of

Write = Callable[..., str]
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "shop.Order",
    "fields": [
        {"name": "id", "type": "long", "aliases": ["number"]},
        {
            "name": "ref",
            "type": [
                "null",
                {"type": "record", "name": "Ref", "fields": [{"name": "x", "type": "int"}]},
                "string",
            ],
        },
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
        },
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "weights", "type": {"type": "map", "values": "double"}},
        {"name": "raw", "type": "bytes"},
    ],
}
NOON = datetime(2026, 1, 31, 12, 0, 0, 7, UTC)
FIRST = {
    "id": 2**60, "ref": {"x": 5}, "kind": "A", "price": Decimal("12.50"), "at": NOON,
    "weights": {"a": 1.5}, "raw": b"\xff",
}  # fmt: skip
SECOND = {**FIRST, "id": -1, "ref": "text", "kind": "B", "at": None, "weights": {}}


def file(*records: Any, schema: Any = SCHEMA, codec: str = "null", size: int = 16_000) -> bytes:
    made = io.BytesIO()
    fastavro.writer(made, schema, records, codec=codec, sync_interval=size)
    return made.getvalue()


def values(path: str) -> list[Any]:
    with open_records([path]) as records:
        return [json.loads(each.value or b"") for each in records]


def test_values_are_those_of_avro_messages(write: Write) -> None:
    at = "2026-01-31T12:00:00.000007+00:00"
    first = {
        "id": 2**60, "ref": {"x": 5}, "kind": "A", "price": "12.50", "at": at,
        "weights": {"a": 1.5}, "raw": "/w==",
    }  # fmt: skip
    second = {**first, "id": -1, "ref": "text", "kind": "B", "at": None, "weights": {}}
    assert values(write(file(FIRST, SECOND))) == [first, second]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_blocks_packed_in_any_way(write: Write, codec: str) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "long"}]}
    records = [{"id": each} for each in range(5_000)]
    data = file(*records, schema=schema, codec=codec, size=1_000)
    assert values(write(data)) == records


@pytest.mark.parametrize("codec", ["snappy", "zstandard"])
def test_blocks_packed_by_libraries_that_others_bring(write: Write, codec: str) -> None:
    import zlib

    import cramjam
    from backports import zstd

    schema = {"type": "record", "name": "R", "fields": [{"name": "id", "type": "int"}]}
    data = file({"id": 7}, {"id": 8}, schema=schema)
    sync, block = data[-16:], b"\x0e\x10"
    head = data[: data.index(sync) + 16].replace(
        b"\x08null", bytes([2 * len(codec)]) + codec.encode()
    )
    packed = zstd.compress(block)
    if codec == "snappy":
        packed = bytes(cramjam.snappy.compress_raw(block)) + zlib.crc32(block).to_bytes(4, "big")
    path = write(head + b"\x04" + bytes([2 * len(packed)]) + packed + sync)
    assert values(path) == [{"id": 7}, {"id": 8}]


def test_a_key_and_where_a_record_came_from(write: Write, drain: Callable[..., list[Any]]) -> None:
    path = write(file(FIRST, SECOND))
    fields = Pipeline(fields={"id": "Int64"})
    assert [key for key, *_ in drain(file_source([path], fields, key="kind"))] == [b"A", b"B"]
    with open_records([path]) as records:
        assert [each.origin for each in records] == [f"{path}, record 1", f"{path}, record 2"]
    with pytest.raises(ConfigError, match="no field 'k' for the key"):
        file_source([path], fields, key="k")


def test_what_the_schema_says_of_the_places() -> None:
    assert types_of(SCHEMA) == {
        ("id",): "Int64",
        ("price",): "Decimal(9, 2)",
        ("at",): "DateTime64(6, 'UTC')",
        ("weights",): "Map(String, Float64)",
        ("weights", "*"): "Float64",
    }


def test_what_cannot_be_read(write: Write) -> None:
    whole = file(FIRST, SECOND, size=1)
    with pytest.raises(ConfigError, match="damaged Avro file: it ends too early"):
        values(write(whole[:40]))
    with pytest.raises(ConfigError, match="packed with lz4, which is not read"):
        values(write(whole.replace(b"\x08null", b"\x06lz4")))
    with pytest.raises(ConfigError, match="its Avro schema cannot be used"):
        values(write(whole.replace(b'"long"', b'"lung"')))
    with pytest.raises(NrtctlError, match="ends within a block") as cut:
        values(write(whole[:-1]))
    assert cut.value.hint == "1 record before that were read"
    with pytest.raises(NrtctlError, match="a block does not end where it should"):
        values(write(whole[:-1] + b"?"))


def test_records_before_a_damaged_one_are_sent(write: Write) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "s", "type": "string"}]}
    path = write(file({"s": "ab"}, {"s": "cd"}, schema=schema).replace(b"cd", b"\xff\xff"))
    read: list[bytes | None] = []
    with (
        open_records([path]) as records,
        pytest.raises(NrtctlError, match="record 2: a string is not UTF-8"),
    ):
        read.extend(each.value for each in records)
    assert read == [b'{"s":"ab"}']


def test_records_that_take_no_bytes_are_bounded(write: Write) -> None:
    empty = {"type": "record", "name": "Empty", "fields": []}
    whole = file(*[{}] * 3, schema=empty)
    assert values(write(whole)) == [{}] * 3
    block = bytes([6, 0])
    assert whole.count(block) == 1
    count = io.BytesIO()
    fastavro.schemaless_writer(count, "long", 2**60)
    with pytest.raises(NrtctlError, match="0 bytes is said to have 1,152,921,504,606,846,976 rec"):
        values(write(whole.replace(block, count.getvalue() + b"\0")))
