"""Avro's bytes as values: what fastavro writes is read back, and nothing else is believed."""

from __future__ import annotations

import contextlib
import io
import json
import random
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from fastavro import parse_schema, schemaless_writer

from nrtctl.kafka.formats import avro, avro_resolution
from nrtctl.kafka.formats.decoder import ByFile
from nrtctl.kafka.formats.wire import Undecodable
from nrtctl.pipeline.message_format import CannotRead

ORDER: dict[str, Any] = {
    "type": "record", "name": "Order", "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "small", "type": "int"},
        {"name": "name", "type": "string"},
        {"name": "ok", "type": "boolean"},
        {"name": "ratio", "type": "double"},
        {"name": "part", "type": "float"},
        {"name": "raw", "type": "bytes"},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 3}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "again", "type": "shop.Kind"},
        {"name": "note", "type": ["null", "string", "long"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "counts", "type": {"type": "map", "values": "long"}},
        {"name": "lines", "type": {"type": "array", "items": {
            "type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}}},
    ],
}  # fmt: skip
VALUE: dict[str, Any] = {
    "id": 2**63 - 1, "small": -(2**31), "name": "Ä" * 200, "ok": True, "ratio": 0.1, "part": 0.5,
    "raw": b"\x00\xff", "digest": b"abc", "kind": "B", "again": "A", "note": "x",
    "tags": ["a", ""], "counts": {"k": -(2**63)}, "lines": [{"sku": "s"}, {"sku": "t"}],
}  # fmt: skip


def written(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(schema), value)
    return out.getvalue()


def text(schema: Any, data: bytes) -> bytes:
    return ByFile(avro.values(json.dumps(schema))).text(data)


def fate(schema: Any, data: bytes) -> str:
    try:
        return text(schema, data).decode()
    except Undecodable as error:
        return str(error).removeprefix("the bytes do not match schema_file: ")


def test_every_type_becomes_json() -> None:
    found = json.loads(text(ORDER, written(ORDER, VALUE)))
    assert found == {**VALUE, "raw": "AP8=", "digest": "YWJj"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ({"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2},
         Decimal("-12345678901234567890123456789012345.67"),
         '"-12345678901234567890123456789012345.67"'),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 3},
         Decimal("0.007"), '"0.007"'),
        ({"type": "fixed", "name": "f", "size": 9, "logicalType": "decimal", "precision": 4},
         Decimal(-12), '"-12"'),
        ({"type": "int", "logicalType": "date"}, date(1969, 12, 31), '"1969-12-31"'),
        ({"type": "long", "logicalType": "timestamp-millis"},
         datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC), '"2024-05-06T07:08:09.123000+00:00"'),
        ({"type": "long", "logicalType": "timestamp-micros"},
         datetime(1969, 5, 6, 7, 8, 9, 123456, tzinfo=UTC), '"1969-05-06T07:08:09.123456+00:00"'),
        ({"type": "long", "logicalType": "local-timestamp-micros"},
         datetime(2024, 5, 6, 7, 8, 9, 5), '"2024-05-06T07:08:09.000005"'),
        ({"type": "int", "logicalType": "time-millis"}, time(7, 8, 9, 5000), '"07:08:09.005000"'),
        ({"type": "long", "logicalType": "time-micros"}, time(7, 8, 9, 5), '"07:08:09.000005"'),
        ({"type": "int", "logicalType": "time-millis"}, time(7, 8, 9, 58000), '"07:08:09.058000"'),
        ({"type": "int", "logicalType": "time-millis"}, time(7, 8, 9), '"07:08:09"'),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=7),
         '"00000000-0000-0000-0000-000000000007"'),
        ("double", float("nan"), '"NaN"'),
        ("float", float("-inf"), '"-Infinity"'),
        ({"type": "int", "logicalType": "of the future"}, 5, "5"),
    ],
)  # fmt: skip
def test_a_logical_type_loses_nothing(kind: Any, value: Any, expected: str) -> None:
    assert fate(kind, written(kind, value)) == expected


def test_times_that_python_does_not_have() -> None:
    nanos = {"type": "long", "logicalType": "timestamp-nanos"}
    assert fate(nanos, written("long", 1_714_979_289_000_000_007)) == (
        '"2024-05-06T07:08:09.000000007Z"'
    )
    for kind in ("timestamp-millis", "timestamp-micros", "local-timestamp-millis"):
        far = {"type": "long", "logicalType": kind}
        assert fate(far, written("long", 2**63 - 1)) == str(2**63 - 1)
    assert fate({"type": "int", "logicalType": "date"}, written("int", 2**31 - 1)) == "2147483647"


def zigzag(number: int) -> bytes:
    number, out = (number << 1) ^ (number >> 63), bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


INTS = {"type": "array", "items": "int"}
ENUM = {"type": "enum", "name": "e", "symbols": ["a", "b"]}
SHORT = "they end too early"
DIGITS = "a decimal has more digits than its precision"


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("string", zigzag(2**61) + b"abc", SHORT),
        ("string", zigzag(-1) + b"abc", "a length is negative"),
        ("string", zigzag(-300) + b"abc", "a length is negative"),
        ("string", b"\x04\xff\xfe", "a string is not UTF-8"),
        ("bytes", zigzag(2**62) + b"abc", SHORT),
        ("double", b"abc", SHORT),
        ({"type": "fixed", "name": "f", "size": 10}, b"abc", SHORT),
        (INTS, zigzag(2**61) + b"\x02\x02", SHORT),
        (INTS, zigzag(-(2**62)) + zigzag(3) + b"\x02\x02", SHORT),
        ({"type": "map", "values": "int"}, zigzag(2**40) + b"\x02\x02", SHORT),
        ({"type": "map", "values": "int"}, b"\x04\x02a\x02\x02a\x02\x00",
         "a map has a key twice"),
        ("long", b"\xff" * 20, "a number has more than 64 bits"),
        ("long", b"\xff" * 9 + b"\x7f", "a number has more than 64 bits"),
        ("int", zigzag(2**31), "an int has more than 32 bits"),
        ("boolean", b"\x07", "a boolean is neither 0 nor 1"),
        (ENUM, zigzag(-1), "an enum has no such symbol"),
        (ENUM, zigzag(2), "an enum has no such symbol"),
        (["null", "int"], zigzag(-1) + b"\x02", "a union has no such branch"),
        (["null", "int"], zigzag(300) + b"\x02", "a union has no such branch"),
        ("int", b"\x02\x02", "there are more of them"),
        ("int", b"", SHORT),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2}, b"\x04\x03\xe8", DIGITS),
        ({"type": "bytes", "logicalType": "decimal", "precision": 2},
         zigzag(100_000) + b"\x7f" * 100_000, DIGITS),
        ({"type": "int", "logicalType": "time-millis"}, zigzag(86_400_000),
         "a time of day is not within a day"),
    ],
)  # fmt: skip
def test_what_cannot_be_so_is_refused(kind: Any, data: bytes, expected: str) -> None:
    assert fate(kind, data) == expected


def test_what_is_nested_too_deeply_is_refused() -> None:
    linked = {"type": "record", "name": "L", "fields": [{"name": "n", "type": ["null", "L"]}]}
    assert fate(linked, b"\x02\x02\x00") == '{"n":{"n":{"n":null}}}'
    assert fate(linked, b"\x02" * 300 + b"\x00") == "the message is nested too deeply"
    assert fate(linked, b"\x02" * 1_000_000 + b"\x00") == "it is nested too deeply"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("{", "JSONDecodeError"),
        ('"nothing"', "UnknownType"),
        ("7", "it"),
        ('{"type":"record","name":"r","fields":[{"name":"a","type":"other.R"}]}', "UnknownType"),
        ('{"type":"array","items":"null"}', "an array of items that take no bytes"),
        (
            '{"type":"array","items":{"type":"record","name":"e","fields":'
            '[{"name":"n","type":"null"}]}}',
            "an array of items that take no bytes",
        ),
        ("[" * 5000 + "]" * 5000, "nested"),
    ],
)
def test_a_schema_that_cannot_be_read(schema: str, why: str) -> None:
    with pytest.raises(CannotRead, match=why):
        avro.reader(schema)


def levels(count: int, last: Any, *, aliases: bool = False) -> Any:
    """A record of two of the next level, or of one under two names, and so on down to `last`."""
    made = last
    for number in range(count, 0, -1):
        named = made["name"] if isinstance(made, dict) else made
        more = {"aliases": ["b"]} if aliases else {}
        fields = [{"name": "a", "type": made, **more}, {"name": "b", "type": named}]
        made = {"type": "record", "name": f"R{number}", "fields": fields[: 1 if aliases else 2]}
    return made


@pytest.mark.parametrize(
    "last", ["null", {"type": "fixed", "name": "F", "size": 0},
             {"type": "record", "name": "E", "fields": []}]
)  # fmt: skip
def test_a_value_of_no_bytes_has_its_limits(last: Any) -> None:
    assert json.loads(fate(levels(10, last), b"")).keys() == {"a", "b"}
    assert fate(levels(50, last), b"") == "they stand for too many values that take no bytes"
    items = {"type": "array", "items": levels(50, last)}
    with pytest.raises(CannotRead, match="an array of items that take no bytes"):
        avro.reader(json.dumps(items))
    again = avro_resolution.reader(
        json.dumps(levels(50, last)), (), avro.parsed(json.dumps(levels(50, last)))
    )
    with pytest.raises(Undecodable, match="too many values that take no bytes"):
        avro.read(b"", 0, again)


def test_nulls_beside_bytes_are_no_fault() -> None:
    fields = [{"name": "n", "type": "null"}, {"name": "i", "type": "int"}]
    many = {"type": "array", "items": {"type": "record", "name": "R", "fields": fields}}
    assert len(json.loads(fate(many, zigzag(200_000) + b"\2" * 200_000 + b"\0"))) == 200_000


def test_what_aliases_repeat_has_its_limits() -> None:
    assert json.loads(fate(levels(2, "int", aliases=True), b"\2")) == {
        "a": {"a": 1, "b": 1}, "b": {"a": 1, "b": 1},
    }  # fmt: skip
    assert fate(levels(50, "int", aliases=True), b"\2") == "aliases repeat too much of it"


def test_a_schema_that_names_others() -> None:
    money = '{"type":"record","name":"shop.Money","fields":[{"name":"cents","type":"long"}]}'
    price = {"type": "record", "name": "P", "fields": [{"name": "price", "type": "shop.Money"}]}
    reader = avro.reader(json.dumps(price), [money])
    assert avro.read(b"\x0e", 0, reader) == {"price": {"cents": 7}}


def test_300_damaged_messages_are_each_a_value_or_a_reason() -> None:
    rng = random.Random(13)
    good = written(ORDER, VALUE)
    read = ByFile(avro.values(json.dumps(ORDER))).text
    values = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            kind = rng.randrange(4)
            at = rng.randrange(len(data))
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at:]
                data.append(0)
            elif kind == 2:
                data[at:at] = zigzag(rng.choice([2**62, -(2**62), 2**31, -1, 10**6]))
            else:
                data[at:at] = rng.randbytes(rng.randint(1, 9))
        with contextlib.suppress(Undecodable):
            values += isinstance(json.loads(read(bytes(data))), dict)
    assert values < 300


def test_a_name_that_its_namespace_does_not_have_is_one_without() -> None:
    """As Java writes it, which knows the name where it stands alone, too."""
    part = {"type": "record", "name": "Part", "fields": [{"name": "n", "type": "int"}]}
    whole = {
        "type": "record", "name": "Whole", "namespace": "shop",
        "fields": [
            {"name": "a", "type": "Part"},
            {"name": "b", "type": ["null", {"type": "array", "items": "Part"}]},
            {"name": "c", "type": {"type": "Own"}},
        ],
    }  # fmt: skip
    own = {"type": "enum", "name": "shop.Own", "symbols": ["X", "Y"]}
    data, expected = b"\x02\x02\x02\x04\x00\x02", {"a": {"n": 1}, "b": [{"n": 2}], "c": "Y"}
    read = avro.reader(json.dumps(whole), [json.dumps(own), json.dumps(part)])
    assert avro.read(data, 0, read) == expected
    inside = json.loads(
        json.dumps(whole).replace('"Part"', json.dumps({**part, "namespace": ""}), 1)
    )
    assert avro.read(data, 0, avro.reader(json.dumps(inside), [json.dumps(own)])) == expected
    with pytest.raises(CannotRead, match=r"UnknownType: shop\.Part"):
        avro.reader(json.dumps(whole), [json.dumps(own)])


def test_many_names_without_a_namespace_do_not_take_for_ever() -> None:
    names = [f"N{number}" for number in range(200)]
    parts = [json.dumps({"type": "enum", "name": name, "symbols": ["X"]}) for name in names]
    fields = [{"name": name, "type": name} for name in names]
    whole = {"type": "record", "name": "Whole", "namespace": "shop", "fields": fields}
    with pytest.raises(CannotRead, match="UnknownType"):
        avro.reader(json.dumps(whole), parts)
