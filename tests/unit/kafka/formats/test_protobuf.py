"""Protobuf's bytes as values: each type, what is refused, and damage."""

from __future__ import annotations

import base64
import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.internal import api_implementation
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP

from nrtctl.clock import ManualClock
from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.kafka.formats import proto_size, protobuf
from nrtctl.kafka.formats.decoder import ByFile, ByRegistry, decoding
from nrtctl.kafka.formats.files import protobuf_schema, read_value
from nrtctl.kafka.formats.opening import decoder, text_reader
from nrtctl.kafka.formats.proto_files import CONFLUENT, GOOGLE_TYPES
from nrtctl.kafka.formats.registry import Registered
from nrtctl.kafka.formats.wire import (
    SchemaName,
    Undecodable,
    indexes_prefix,
    message_indexes,
    prefix,
)
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.message_format import CannotRead
from nrtctl.pipeline.proto_text import read as read_text
from nrtctl.producer.sources.encoded import in_format
from nrtctl.producer.sources.reference_events import ReferenceEvents

ORDER = """
syntax = "proto3";
package shop;  // and a comment
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/any.proto";
import "confluent/meta.proto";
import "confluent/type/decimal.proto";

option java_package = "shop" ".x";
message Order {
  option (confluent.message_meta) = { doc: "x" params: [{ key: "a" value: "{" }] };
  reserved 90 to 95, 99;
  reserved "old";
  message Line { string sku = 1; uint32 n = 2; }
  enum Kind { option allow_alias = true; NONE = 0; CARD = 1; PLASTIC = 1 [deprecated = true]; }
  map<string, int64> counts = 1;
  map<bool, Line> by_flag = 2;
  map<int32, string> by_number = 0x3;
  int64 id = 4;
  uint64 big = 5 [(confluent.field_meta).doc = "x", json_name = "BIG"];
  sint32 small = 6; fixed64 fixed = 7; sfixed32 signed = 8;
  bool ok = 9;
  double ratio = 10; float part = 11;
  bytes raw = 12;
  Kind kind = 13; repeated Kind kinds = 14;
  optional string note = 15;
  repeated string tags = 16;
  repeated Line lines = 17;
  Line first = 18;
  oneof paid { string card = 19; int32 cash = 20; }
  repeated int32 numbers = 21 [packed = false];
  google.protobuf.Timestamp at = 22;
  google.protobuf.Duration took = 23;
  google.protobuf.StringValue maybe = 24; google.protobuf.BytesValue bits = 25;
  google.protobuf.Struct more = 26;
  google.protobuf.FieldMask mask = 27;
  google.protobuf.Empty nothing = 28;
  google.protobuf.Any any = 29;
  confluent.type.Decimal price = 30;
  .shop.Order parent = 31;
  repeated double ratios = 32;
  google.protobuf.Value value = 33;
  string class = 34; string DESCRIPTOR = 35; string HasField = 36;
}
message Other { string x = 1; }
service Shop { rpc Get (Order) returns (stream Other) { option (x) = { a: "b" }; } }
"""
EMPTY: dict[str, Any] = {
    "counts": {}, "by_flag": {}, "by_number": {}, "id": 0, "big": 0, "small": 0, "fixed": 0,
    "signed": 0, "ok": False, "ratio": 0.0, "part": 0.0, "raw": "", "kind": "NONE", "kinds": [],
    "tags": [], "lines": [], "numbers": [], "ratios": [], "class": "", "DESCRIPTOR": "",
    "HasField": "",
}  # fmt: skip


def made(text: str, name: str | None = None) -> tuple[Any, Any]:
    """(the class of the message, what reads its bytes)."""
    message = protobuf.Schema(text, lambda _: None).message(name)
    return message_factory.GetMessageClass(message), protobuf.reader(message)


def back(text: str, name: str | None, **fields: Any) -> Any:
    kind, read = made(text, name)
    return json.loads(ByFile(read).text(kind(**fields).SerializeToString()))


def fate(text: str, data: bytes, name: str | None = None) -> str:
    try:
        return ByFile(made(text, name)[1]).text(data).decode()
    except Undecodable as error:
        return str(error).removeprefix("the bytes do not match schema_file: ")


def test_every_type_becomes_json() -> None:
    assert back(ORDER, "shop.Order") == EMPTY
    value = {
        "counts": {"k": -(2**63)}, "by_flag": {True: {"sku": "s"}}, "by_number": {-7: "x", 9: ""},
        "id": 2**63 - 1, "big": 2**64 - 1, "small": -(2**31), "fixed": 2**64 - 1,
        "signed": -(2**31), "ok": True, "ratio": 0.1, "part": 0.5, "raw": b"\x00\xff", "kind": 1,
        "kinds": [1, 0, 7], "note": "", "tags": ["a", ""], "lines": [{"sku": "s", "n": 2}, {}],
        "first": {}, "cash": 0, "numbers": [1, -1], "maybe": {"value": ""},
        "bits": {"value": b"\xff"}, "mask": {"paths": ["a.b", "c"]}, "nothing": {},
        "any": {"type_url": "t", "value": b"x"}, "parent": {"id": 3},
        "price": {"value": (-5).to_bytes(1, signed=True), "scale": 2},
        "ratios": [float("nan"), float("inf"), -float("inf"), 2.5], "class": "c",
        "DESCRIPTOR": "d", "HasField": "h",
    }  # fmt: skip
    assert back(ORDER, "Order", **value) == {
        **value, "by_flag": {"true": {"sku": "s", "n": 0}}, "by_number": {"-7": "x", "9": ""},
        "raw": "AP8=", "kind": "CARD", "kinds": ["CARD", "NONE", 7],
        "lines": [{"sku": "s", "n": 2}, {"sku": "", "n": 0}], "first": {"sku": "", "n": 0},
        "maybe": "", "bits": "/w==", "mask": "a.b,c", "any": {"type_url": "t", "value": "eA=="},
        "parent": {**EMPTY, "id": 3}, "price": "-0.05",
        "ratios": ["NaN", "Infinity", "-Infinity", 2.5],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"at": {"seconds": 1714979289, "nanos": 120_000_000}}, "2024-05-06T07:08:09.120Z"),
        ({"at": {"seconds": -62135596800}}, "0001-01-01T00:00:00Z"),
        ({"at": {"seconds": 1, "nanos": 1}}, "1970-01-01T00:00:01.000000001Z"),
        ({"took": {"seconds": -1, "nanos": -500_000}}, "-1.000500"),
        ({"took": {"seconds": 90}}, "90"),
        ({"value": {"number_value": 1.5}}, 1.5),
        ({"value": {"null_value": 0}}, None),
        (
            {"more": {"a": [True, None, 1e300, {"b": "x"}]}},
            {"a": [True, None, 1e300, {"b": "x"}]},
        ),
    ],
)
def test_types_that_stand_for_another_value(fields: dict[str, Any], expected: Any) -> None:
    (name,) = fields
    assert back(ORDER, "Order", **fields)[name] == expected


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"at": {"seconds": 2**60}}, "a Timestamp is not between the years 1 and 9999"),
        ({"at": {"nanos": 10**9}}, "a Timestamp has nanos out of range"),
        ({"took": {"seconds": 1, "nanos": -1}}, "a Duration has nanos out of range"),
        ({"price": {"value": b"1", "scale": -1}}, "a Decimal has too many digits"),
    ],
)
def test_values_that_the_types_do_not_have(fields: dict[str, Any], why: str) -> None:
    kind, _ = made(ORDER, "Order")
    assert fate(ORDER, kind(**fields).SerializeToString(), "Order") == why


OLD = """
syntax = "proto2";
message Old {
  required int32 id = 1; optional string name = 2 [default = "x\\n\\"" "y"];
  repeated group Item = 3 { optional int32 n = 4; }
  enum Closed { A = 1; B = -2; }
  optional Closed closed = 5;
  extensions 100 to max;
}
extend Old { optional int32 extra = 100; }
"""


def test_proto2_has_groups_closed_enums_and_what_is_required() -> None:
    kind, read = made(OLD)
    value = kind(id=1, item=[{"n": 4}], closed=-2)
    assert read(value.SerializeToString()) == {"id": 1, "item": [{"n": 4}], "closed": "B"}
    assert fate(OLD, b"") == "it lacks id"
    assert fate(OLD, b"\x08\x01\x28\x07") == '{"id":1,"item":[]}'  # no number of the enum
    assert fate(OLD, b"\x08\x01\x12\x01\xff") == "a string is not UTF-8"


@pytest.mark.parametrize("more", [b"", b"\x0a\x05\x0a\x01a\x10\x02"])
def test_the_key_of_a_map_is_text(more: bytes) -> None:
    """The library gives bytes for a text of proto2 that is none."""
    text = 'syntax = "proto2"; message M { map<string, int32> m = 1; }'
    assert fate(text, b"\x0a\x05\x0a\x01\xff\x10\x01" + more) == "a string is not UTF-8"


def test_no_bytes_are_a_message_without_a_registry(tmp_path: Path) -> None:
    file = tmp_path / "m.proto"
    file.write_text('syntax = "proto3"; message M { int32 n = 1; optional int32 o = 2; }')
    pipeline = Pipeline(fields={"n": "Int32"}, format="protobuf", schema_file=file)
    decode = decoder(Config(pipeline=pipeline))
    assert decode is not None
    assert decode([b"", None, b"\x08\x05"], [None] * 3) == [b'{"n":0}', b"", b'{"n":5}']


def test_editions_say_whether_a_field_has_presence() -> None:
    text = """
    edition = "2023";
    option features.field_presence = IMPLICIT;
    message A { int32 a = 1; int32 b = 2 [features.field_presence = EXPLICIT]; B c = 3; }
    message B { option features.(pb.cpp).legacy_closed_enum = true; string s = 1; }
    """
    assert back(text, "A") == {"a": 0}


SMALL = 'syntax = "proto3"; message A { string s = 1; int32 n = 2; A a = 3; repeated A l = 4; }'


def nested(levels: int) -> bytes:
    data = b""
    for _ in range(levels):
        size, length = len(data), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        length.append(size)
        data = b"\x1a" + bytes(length) + data
    return data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x0a\x05ab", "they end too early, or are no Protobuf"),
        (b"\x0a\xff\xff\xff\xff\x7f", "they end too early, or are no Protobuf"),
        (b"\xff" * 12, "they end too early, or are no Protobuf"),
        (b"{}", "they end too early, or are no Protobuf"),
        (b"\x0a\x01\xff", "a string is not UTF-8"),
        (b"\x08\x01", "field 1 (s) is of another type"),
        (b"\x1a\x02\x08\x01", "field 1 (s) is of another type"),
        (nested(150), "it is nested too deeply"),
        (b"\x2a\x01x\x10\x05", '{"s":"","n":5,"l":[]}'),
        (b"\x10\x01\x10\x02", '{"s":"","n":2,"l":[]}'),
    ],
)
def test_what_the_schema_does_not_have(data: bytes, expected: str) -> None:
    assert fate(SMALL, data) == expected


def test_nothing_takes_much_more_than_it_has_bytes() -> None:
    fields = "".join(f"int64 field_{n} = {n};" for n in range(1, 400))
    text = f'syntax = "proto3"; message A {{ repeated B b = 1; }} message B {{ {fields} }}'
    data = b"\x0a\x00" * 20_000
    assert fate(text, data, "A") == "it would take more than 256 MiB"
    behind = b"\x2b\x08\x01\x2c" + data  # a group that the schema does not have
    assert fate(text, behind, "A") == "it would take more than 256 MiB"
    size = proto_size.Size(protobuf.Schema(SMALL, lambda _: None).message(None))
    assert size.harmless > 500_000
    size.check(b"\x22\x02\x0a\x00" * 1000 + b"\x22\x7f")  # cut: the library says so


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "choose the message with schema_message"),
        ('syntax = "proto4";', 'line 1: "proto4" where proto2 or proto3 is expected'),
        ("message A {\n int32 a = ; }", "line 2: ; where a whole number is expected"),
        ("message A {\n int32 a = 1 }", "line 2: } where ';' is expected"),
        ("message A { optional X x = 1; }", "X"),
        ("import 'b.proto'; message A { optional X x = 1; }", "b.proto is missing"),
        ("message A { optional int32 a = 1; optional int32 b = 1; }", "1"),
        ("message A { optional int32 a = 09; }", "a whole number"),
        ("message A { optional int32 a = 99999999999; }", "line 1: 99999999999 where a whole nu"),
        ("message " + "A { message " * 1000, "nested too deeply"),
        ("option x = " + "{ a " * 1000, "the end where '}' is expected"),
        ("message A { extensions " + "{" * 1000, "nested too deeply"),
        ("message A { option message_set_wire_format = true; }", "message_set_wire_format"),
        (
            "option features.field_presence = SOME;",
            "features.field_presence is not supported in this form",
        ),
        ('edition = "1999"; message A {}', "a known edition"),
        ("/* no end", "line 1: '/' where message or enum is expected|out of place"),
        ("message A {} message B {}", "choose the message with schema_message: A, B"),
        (";" * 2**20 + ";", "it has more than 1,048,576 characters"),
        ("\x00", "line 1: '.x00' is out of place"),
    ],
)
def test_a_schema_that_cannot_be_read(text: str, why: str) -> None:
    with pytest.raises(CannotRead, match=why):
        protobuf.Schema(text, lambda _: None).message(None)


def test_imports_are_found_and_may_not_go_in_a_circle() -> None:
    files = {
        "b.proto": 'syntax = "proto3"; import public "c/c.proto";',
        "c/c.proto": 'syntax = "proto3"; package c; message C { int32 n = 1; }',
    }
    text = 'syntax = "proto3"; import "b.proto"; message A { c.C c = 1; }'
    message = protobuf.Schema(text, files.get).message(None)
    assert protobuf.reader(message)(b"\x0a\x02\x08\x05") == {"c": {"n": 5}}
    files["c/c.proto"] = 'import "b.proto";'
    with pytest.raises(CannotRead, match=r"b\.proto imports itself"):
        protobuf.Schema(text, files.get)
    files["c/c.proto"] = "message {"
    with pytest.raises(CannotRead, match=r"c/c\.proto: line 1: \{ where a name is expected"):
        protobuf.Schema(text, files.get)


def test_files_of_text_and_of_descriptors(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    lines = "package shop; message Line { optional int32 n = 1; }"
    (tmp_path / "shop" / "line.proto").write_text(lines)
    text = (
        'package shop; import "shop/line.proto"; import "google/protobuf/timestamp.proto"; '
        "message Order { optional Line line = 1; optional google.protobuf.Timestamp at = 2; }"
    )
    file = tmp_path / "shop" / "order.proto"
    file.write_text(text)
    assert read_value("protobuf", file, None)(b"\x0a\x02\x08\x05") == {"line": {"n": 5}}
    line = read_text(lines, "shop/line.proto")
    order = read_text(text, "shop/order.proto")
    stamp = FileDescriptorProto.FromString(TIMESTAMP.serialized_pb)
    compiled = tmp_path / "order.desc"
    compiled.write_bytes(FileDescriptorSet(file=[line, stamp, order]).SerializeToString())
    read = read_value("protobuf", compiled, "shop.Order")
    assert read(b"\x0a\x02\x08\x05\x12\x02\x08\x01") == {
        "line": {"n": 5}, "at": "1970-01-01T00:00:01Z",
    }  # fmt: skip
    compiled.write_bytes(FileDescriptorSet(file=[order]).SerializeToString())
    with pytest.raises(ConfigError, match=r"it lacks shop/line\.proto: use protoc's"):
        read_value("protobuf", compiled, None)
    compiled.write_bytes(b"no")
    with pytest.raises(ConfigError, match="it is not a FileDescriptorSet"):
        read_value("protobuf", compiled, None)
    with pytest.raises(ConfigError, match="it has no message Nothing"):
        read_value("protobuf", file, "Nothing")
    assert protobuf_schema(file).indexes(protobuf_schema(file).message(None)) == [0]


def test_without_its_compiled_part_the_library_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    config = Config(
        pipeline=Pipeline(fields={"x": "String"}, format="protobuf", schema_file=Path("a.proto"))
    )
    for use in (
        text_reader,
        lambda given: in_format(ReferenceEvents(7, clock=ManualClock()), given, "t"),
    ):
        with pytest.raises(ConfigError, match="needs the compiled part of the library protobuf"):
            use(config)


INDEXED = """
syntax = "proto3";
message First { map<string, int32> m = 1; message In { int32 a = 1; } message Out { int32 b = 1; } }
message Second { string s = 1; }
"""


KNOWN: dict[SchemaName, Registered] = {
        7: Registered("PROTOBUF", INDEXED),
        8: Registered("PROTOBUF", 'import "l"; message A { optional L l = 1; }', {
            "l": "message L { optional int32 n = 1; }"}),
        9: Registered("PROTOBUF", "message"),
        10: Registered("AVRO", '"string"'),
    }  # fmt: skip


class Schemas:
    def schema(self, name: SchemaName) -> Registered | None:
        return KNOWN.get(name)


def line(*values: bytes) -> list[str]:
    decode = decoding(ByRegistry("protobuf", Schemas(), now=lambda: 0.0).text)
    return [each.decode() for each in decode(values, [None] * len(values))]


def test_the_wire_format_says_which_message_it_is() -> None:
    first, out, second = indexes_prefix([0]), indexes_prefix([0, 1]), indexes_prefix([1])
    assert (first, out, second) == (b"\x00", b"\x04\x00\x02", b"\x02\x02")
    for given in ((0,), (1,), (0, 1), (300, 2)):
        data = prefix(7) + indexes_prefix(given) + b"rest"
        indexes, at = message_indexes(data)
        assert (indexes, data[at:]) == (given, b"rest")
    assert line(
        prefix(7) + first, prefix(7) + b"\x02\x00", prefix(7) + out + b"\x08\x05",
        prefix(7) + second + b"\x0a\x01x", prefix(8) + b"\x00\x0a\x02\x08\x05",
    ) == ['{"m":{}}', '{"m":{}}', '{"b":5}', '{"s":"x"}', '{"l":{"n":5}}']  # fmt: skip


def test_the_reason_is_named() -> None:
    wrong = "!the bytes do not match schema 7: "
    assert line(
        prefix(7), prefix(7) + b"\x02", prefix(7) + b"\x02\x80", prefix(7) + b"\x02\x04",
        prefix(7) + b"\x01", prefix(7) + b"\x80\x01", prefix(7) + b"\xff" * 9,
        prefix(7) + b"\x04\x00\x04", prefix(7) + b"\x00\x0a", prefix(9) + b"\x00",
        prefix(10) + b"\x00", prefix(11) + b"\x00",
    ) == [
        *[f"{wrong}the message ends within the wire format's message indexes"] * 3,
        f"{wrong}it has no message [2]",
        f"{wrong}the wire format does not have -1 message indexes",
        f"{wrong}the wire format does not have 64 message indexes",
        f"{wrong}a message index of the wire format has more than 32 bits",
        f"{wrong}it has no message [0, 2]",
        f"{wrong}they end too early, or are no Protobuf",
        "!schema 9 cannot be read: line 1: the end where a name is expected",
        "!schema 10 is of type AVRO, not PROTOBUF",
        "!schema 11 is not in the registry",
    ]  # fmt: skip


def test_1000_damaged_messages_are_each_a_value_or_a_reason() -> None:
    kind, read = made(ORDER, "Order")
    whole = kind(
        id=7, big=2**64 - 1, tags=["a", "b"], counts={"k": 5}, lines=[{"sku": "s"}], note="n",
        at={"seconds": 5}, parent={"first": {"sku": "x"}, "ratio": 0.5}, ratios=[1, 2],
        price={"value": b"\x05", "scale": 1},
        more={"a": {"b": [1, {}]}},
    ).SerializeToString()  # fmt: skip
    text, chosen = ByFile(read).text, random.Random(13)
    values = 0
    for _ in range(1000):
        data = bytearray(whole)
        match chosen.randrange(5):
            case 0:
                del data[chosen.randrange(len(data)) :]
            case 1:
                for _ in range(chosen.randrange(1, 5)):
                    data[chosen.randrange(len(data))] = chosen.randrange(256)
            case 2:
                at = chosen.randrange(len(data))
                data[at:at] = chosen.randbytes(chosen.randrange(1, 12))
            case 3:
                at = chosen.randrange(len(data))
                data[at:at] = b"\xfa\xff\xff\xff\xff\xff\xff\xff\x7f"
            case _:
                data = bytearray(chosen.randbytes(chosen.randrange(200)))
        with contextlib.suppress(Undecodable):
            json.loads(text(bytes(data)))
            values += 1
    assert 10 < values < 900


@pytest.mark.parametrize(
    ("file", "kind", "data", "expected"),
    [
        ("google/type/money.proto", "google.type.Money", b"\x0a\x03EUR\x10\x05",
         {"currency_code": "EUR", "units": 5, "nanos": 0}),
        ("google/type/color.proto", "google.type.Color", b"\x22\x05\x0d\x00\x00\x80\x3f",
         {"red": 0.0, "green": 0.0, "blue": 0.0, "alpha": 1.0}),
        ("confluent/type/variant.proto", "confluent.type.Variant", b"\x12\x01\xff",
         {"metadata": "", "value": "/w=="}),
        ("confluent/types/decimal.proto", "confluent.type.Decimal", b"\x0a\x01\x10\x18\x01", "1.6"),
    ],
)  # fmt: skip
def test_files_that_clients_do_not_register_are_known(
    file: str, kind: str, data: bytes, expected: Any
) -> None:
    schema = f'syntax = "proto3"; import "{file}"; message M {{ {kind} v = 1; }}'
    read = protobuf.reader(protobuf.Schema(schema, lambda _: None).message("M"))
    assert read(b"\x0a" + bytes([len(data)]) + data) == {"v": expected}


def test_every_file_that_is_known_can_be_read() -> None:
    for file, text in (CONFLUENT | GOOGLE_TYPES).items():
        assert protobuf.Schema(text, lambda _: None), file


def test_a_registry_s_own_file_comes_before_one_that_is_known() -> None:
    schema = (
        'syntax = "proto3"; import "google/type/date.proto"; message M { google.type.Date v = 1; }'
    )
    own = 'syntax = "proto3"; package google.type; message Date { int32 n = 1; }'
    read = protobuf.reader(
        protobuf.Schema(schema, {"google/type/date.proto": own}.get).message("M")
    )
    assert read(b"\x0a\x02\x08\x07") == {"v": {"n": 7}}


def test_options_may_be_lists_as_registries_write_repeated_ones() -> None:
    text = """option (x) = [ (a) = "b", { c: ["}"] } ];
        message M { optional int32 n = 1 [(y) = ["]", {}], deprecated = true, (z) = []]; }"""
    message = protobuf.Schema(text, lambda _: None).message("M")
    assert protobuf.reader(message)(b"\x08\x05") == {"n": 5}
    with pytest.raises(CannotRead, match="the end where '}' is expected"):
        protobuf.Schema("option (x) = [ { a: 1 ];", lambda _: None)


def test_a_descriptor_in_base64_is_a_schema_in_which_maps_have_a_place() -> None:
    text = """syntax = "proto2"; package p; import "google/protobuf/timestamp.proto";
        message M { map<string, int32> counts = 1; optional N n = 2; message N { optional
        google.protobuf.Timestamp at = 1; extensions 5 to 9; } }"""
    found = read_text(text, "whatever.proto")
    found.message_type[0].nested_type.reverse()  # as protoc has them: in the order of the text
    found.extension.add(name="more", number=5, extendee=".p.M.N", type=5, label=1)
    found.service.add(name="S").method.add(name="Get", input_type=".absent.A", output_type=".p.M")
    given = base64.b64encode(found.SerializeToString()).decode() + "\n"
    schema = protobuf.Schema(given, lambda _: None)
    inner = schema.message("p.M.N")
    assert schema.indexes(inner) == [0, 1]
    assert schema.at([0, 1]) is inner
    assert protobuf.reader(inner)(b"\x0a\x02\x08\x05") == {"at": "1970-01-01T00:00:05Z"}
    with_text = protobuf.Schema(text, lambda _: None)
    assert with_text.indexes(with_text.message("p.M.N")) == [0, 0]


@pytest.mark.parametrize("given", ["syntax", "QUJD", "CgF4", "gICAgICA"])
def test_base64_of_anything_else_is_no_schema(given: str) -> None:
    with pytest.raises(CannotRead, match="line 1"):
        protobuf.Schema(given, lambda _: None)
