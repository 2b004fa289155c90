"""Schemas that change: what a reader's schema and former names make of other writers' messages."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from google.protobuf import message_factory

from nrtctl.errors import ConfigError
from nrtctl.kafka.formats import avro, protobuf
from nrtctl.kafka.formats.decoder import ByRegistry, decoding
from nrtctl.kafka.formats.files import check, wanted
from nrtctl.kafka.formats.registry import Registered
from nrtctl.kafka.formats.wire import SchemaName, prefix
from nrtctl.pipeline import Pipeline


class Schemas:
    def __init__(self, kind: str, text: str) -> None:
        self._schema = Registered(kind, text)

    def schema(self, name: SchemaName) -> Registered | None:
        return self._schema


def record(*fields: Any, name: str = "Order") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def bare(schema: Any) -> Any:
    """A schema without what fastavro checks, though it says nothing of the bytes."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"default", "scale", "precision", "logicalType"}
    return {key: bare(each) for key, each in schema.items() if key not in dropped}


def avro_text(written: Any, value: Any, read_as: Any = None) -> str:
    """The text of a value of one schema, read as another."""
    out = io.BytesIO()
    schemaless_writer(out, parse_schema(bare(written)), value)
    reader = None if read_as is None else avro.parsed(json.dumps(read_as))
    schemas = Schemas("AVRO", json.dumps(written))
    text = ByRegistry("avro", schemas, now=lambda: 0.0, wanted=reader).text
    return decoding(text)([prefix(7) + out.getvalue()], [None])[0].decode()


ID = field("id", "long")
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}
LINK = record(ID, field("next", ["null", "Link"], default=None), name="Link")


@pytest.mark.parametrize(
    ("written", "value", "read_as", "expected"),
    [
        # Without a reader's schema the former names are there, too.
        (record(field("cost", "int", aliases=["price"])), {"cost": 5}, None,
         {"cost": 5, "price": 5}),
        (record(field("cost", "int", aliases=["id"]), ID), {"cost": 5, "id": 1}, None,
         {"cost": 5, "id": 1}),
        # A field that is added, with a default; one that is removed; one that is widened.
        (record(ID), {"id": 1}, record(ID, field("note", "string", default="none")),
         {"id": 1, "note": "none"}),
        (record(ID, field("old", {"type": "array", "items": "string"})), {"id": 1, "old": ["x"]},
         record(ID), {"id": 1}),
        (record(field("id", "int")), {"id": 7}, record(field("id", "double")), {"id": 7}),
        # Renamed: in the reader's schema, in the writer's, and both ways in one.
        (record(field("price", "int")), {"price": 5},
         record(field("cost", "int", aliases=["price"])), {"cost": 5}),
        (record(field("cost", "int", aliases=["price"])), {"cost": 5},
         record(field("price", "int")), {"price": 5}),
        (record(field("a", "int"), field("b", "int")), {"a": 1, "b": 2},
         record(field("b", "int", aliases=["a"])), {"b": 2}),
        # Inside other types.
        (record(field("l", {"type": "array", "items": record(ID, name="L")})), {"l": [{"id": 1}]},
         record(field("l", {"type": "array", "items": record(
             field("n", "long", aliases=["id"]), name="L")})), {"l": [{"n": 1}]}),
        (record(field("m", {"type": "map", "values": record(ID, name="L")})),
         {"m": {"k": {"id": 1}}},
         record(field("m", {"type": "map", "values": record(
             field("n", "long", default=4), name="L")})), {"m": {"k": {"n": 4}}}),
        (record(field("u", ["null", record(ID, name="L")])), {"u": {"id": 1}},
         record(field("u", ["null", record(field("n", "long", aliases=["id"]), name="L")])),
         {"u": {"n": 1}}),
        (LINK, {"id": 1, "next": {"id": 2, "next": None}},
         record(field("n", "long", aliases=["id"]), field("next", ["null", "Link"]), name="Link"),
         {"n": 1, "next": {"n": 2, "next": None}}),
        # Defaults are what a reader gives for such a value.
        (record(ID), {"id": 1}, record(
            field("d", DECIMAL, default="\u00fb"), field("raw", "bytes", default="\u00ff"),
            field("at", {"type": "long", "logicalType": "timestamp-millis"}, default=0),
            field("u", ["null", "string"], default=None), field("l", record(ID, name="L"),
            default={"id": 3}), field("a", {"type": "array", "items": "int"}, default=[1])),
         {"d": "-0.05", "raw": "/w==", "at": "1970-01-01T00:00:00+00:00", "u": None,
          "l": {"id": 3}, "a": [1]}),
        # Two fields that one of the writer's could be: the one that has its name is.
        (record(field("a", "int")), {"a": 1},
         record(field("b", "int", aliases=["a"], default=0), field("a", "int")), {"b": 0, "a": 1}),
        (record(field("a", "int")), {"a": 1},
         record(field("b", "int", aliases=["a"]), field("c", "int", aliases=["a"], default=0)),
         {"b": 1, "c": 0}),
        # Text that was written as bytes, and the other way round.
        (record(field("t", "bytes"), field("b", "string")), {"t": "ä".encode(), "b": "ä"},
         record(field("t", "string"), field("b", "bytes")), {"t": "ä", "b": "w6Q="}),
        # What of a writer's schema is for readers alone, or cannot be.
        (record(field("n", "long", default="0"), field("s", "string", default=None)),
         {"n": 5, "s": "x"}, None, {"n": 5, "s": "x"}),
        (record(field("n", "int", default=None)), {"n": 5}, record(field("n", "int")), {"n": 5}),
        (record(field("k", {"type": "enum", "name": "K", "symbols": ["A"], "default": "B"})),
         {"k": "A"}, None, {"k": "A"}),
        (record(field("d", DECIMAL | {"scale": 9}), field("f", {
            "type": "fixed", "name": "F", "size": 1, "logicalType": "decimal", "precision": 3})),
         {"d": b"\x01", "f": b"\x02"}, None, {"d": "AQ==", "f": "Ag=="}),
        # Enums.
        (record(field("k", {"type": "enum", "name": "K", "symbols": ["A", "B"]})), {"k": "B"},
         record(field("k", {"type": "enum", "name": "K", "symbols": ["X", "A"], "default": "X"})),
         {"k": "X"}),
        (record(field("k", {"type": "enum", "name": "K", "symbols": ["A", "B"]})), {"k": "B"},
         record(field("k", "string")), {"k": "B"}),
    ],
)  # fmt: skip
def test_avro_is_read_as_its_reader_has_it(
    written: Any, value: Any, read_as: Any, expected: Any
) -> None:
    assert json.loads(avro_text(written, value, read_as)) == expected


@pytest.mark.parametrize(
    ("written", "value", "read_as", "why"),
    [
        (record(ID), {"id": 1}, record(field("note", "string")),
         "!schema 7 cannot be read: it has no field note, and reader_schema no default for it"),
        (record(field("l", record(ID, name="L"))), {"l": {"id": 1}},
         record(field("l", record(field("n", "int"), name="L"))),
         "!schema 7 cannot be read: it has no field l.n, and reader_schema no default for it"),
        (record(field("l", {"type": "array", "items": "int"})), {"l": [1]},
         record(field("l", "int")),
         "!schema 7 cannot be read: l is of type array, and not in reader_schema"),
        (record(field("u", ["null", record(ID, name="L")])), {"u": {"id": 1}},
         record(field("u", ["null", "int"])),
         "!the bytes do not match schema 7: u is of type record, and not in reader_schema"),
        (record(field("k", {"type": "enum", "name": "K", "symbols": ["A", "B"]})), {"k": "B"},
         record(field("k", {"type": "enum", "name": "K", "symbols": ["A"]})),
         "!the bytes do not match schema 7: reader_schema has no symbol B"),
    ],
)  # fmt: skip
def test_avro_that_its_reader_cannot_have(written: Any, value: Any, read_as: Any, why: str) -> None:
    assert avro_text(written, value, read_as) == why


def proto_text(written: str, value: dict[str, Any], read_as: str) -> str:
    message = protobuf.Schema(f'syntax = "proto3"; {written}', lambda _: None).message(None)
    data = message_factory.GetMessageClass(message)(**value).SerializeToString()
    reader = protobuf.Schema(f'syntax = "proto3"; {read_as}', lambda _: None).message(None)
    schemas = Schemas("PROTOBUF", f'syntax = "proto3"; {written}')
    text = ByRegistry("protobuf", schemas, now=lambda: 0.0, wanted=reader).text
    return decoding(text)([prefix(7) + b"\x00" + data], [None])[0].decode()


@pytest.mark.parametrize(
    ("written", "value", "read_as", "expected"),
    [
        ("int32 price = 1;", {"price": 5}, "int64 cost = 1;", {"cost": 5}),
        ("int32 id = 1; string old = 2;", {"id": 1, "old": "x"}, "int64 id = 1;", {"id": 1}),
        ("int32 id = 1;", {"id": 1},
         "int64 id = 1; string s = 2; optional string o = 3; repeated int32 r = 4; bytes b = 5; "
         "map<string, A> m = 6; E e = 7; A a = 8; enum E { NONE = 0; }",
         {"id": 1, "s": "", "r": [], "b": "", "m": {}, "e": "NONE"}),
        ("E e = 1; enum E { X = 0; Y = 1; Z = 2; } repeated E l = 2;", {"e": 1, "l": [2]},
         "E e = 1; enum E { X = 0; NEW = 1; } repeated E l = 2;", {"e": "NEW", "l": ["Z"]}),
        ("B b = 1; message B { int32 x = 1; } map<string, B> m = 2; repeated B r = 3;",
         {"b": {"x": 1}, "m": {"k": {"x": 2}}, "r": [{"x": 3}]},
         "B b = 1; message B { int32 y = 1; } map<string, B> m = 2; repeated B r = 3;",
         {"b": {"y": 1}, "m": {"k": {"y": 2}}, "r": [{"y": 3}]}),
        # What is not set has the value that it has for the reader.
        ("optional int32 a = 1; optional string s = 2; optional int32 o = 3;", {"s": ""},
         "int32 a = 1; string s = 2; optional int32 o = 3;", {"a": 0, "s": ""}),
        ("int32 a = 1; A next = 2;", {"a": 1, "next": {"a": 2}}, "int32 b = 1; A next = 2;",
         {"b": 1, "next": {"b": 2}}),
    ],
)  # fmt: skip
def test_protobuf_is_read_by_the_numbers_of_its_fields(
    written: str, value: dict[str, Any], read_as: str, expected: Any
) -> None:
    text = proto_text(f"message A {{ {written} }}", value, f"message A {{ {read_as} }}")
    assert json.loads(text) == expected


def test_protobuf_that_its_reader_cannot_have() -> None:
    wrong = "!the bytes do not match schema 7: "
    assert proto_text(
        "message A { int32 a = 1; }", {"a": 1}, "message A { repeated int32 b = 1; }"
    ) == (f"{wrong}field 1 is a value there, and repeated a value in reader_schema (b)")
    assert proto_text("message A { int32 a = 1; }", {"a": 1}, "message B { int32 a = 1; }") == (
        f"{wrong}it is A, and not B of reader_schema"
    )
    maps = [f"message A {{ map<string, {kind}> m = 1; }}" for kind in ("int32", "A")]
    assert "a map of a value there, and a map of a message" in proto_text(maps[0], {}, maps[1])


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "order.avsc"
    with pytest.raises(ConfigError, match=r"pipeline\.reader_schema: .*order.avsc: .*No such file"):
        wanted("avro", file, None)
    file.write_text('{"type": "nothing"}')
    with pytest.raises(ConfigError, match=r"UnknownType: .*nothing"):
        wanted("avro", file, None)
    file.write_text("message A {")
    with pytest.raises(ConfigError, match="line 1: the end where"):
        wanted("protobuf", file.rename(tmp_path / "order.proto"), None)


@pytest.mark.parametrize("key", ["schema_file", "reader_schema"])
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.avsc", None, "cannot be read: No such file or directory"),
        ("a.avsc", b'"\xff"', "is not UTF-8 text"),
        ("a.avsc", b"{}", "its schema cannot be used: "),
        ("a.proto", b"\xff", "is not UTF-8 text"),
        ("a.proto", b"message A {", "its schema cannot be used: line 1: "),
        ("a.desc", b"\xff", "its schema cannot be used: it is not a FileDescriptorSet"),
    ],
)
def test_up_says_what_is_wrong_with_a_file(
    tmp_path: Path, key: str, name: str, content: bytes | None, said: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    kind = "avro" if name.endswith("avsc") else "protobuf"
    pipeline = Pipeline(fields={"x": "String"}, format=kind, **{key: file})
    with pytest.raises(ConfigError) as raised:
        check(pipeline)
    assert raised.value.message.startswith(f"pipeline.{key}: {file}: {said}")
