"""Protobuf's texts, as far as two of them are compared."""

from __future__ import annotations

import itertools
from base64 import b64encode

import pytest

from nrtctl.local.registry.proto_schema import File, NotProtobuf, Type, differences, read
from nrtctl.pipeline import proto_text

ORDER = """
// An order.
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
option java_package = "x";
message Order {
  reserved 8, 10 to max; reserved "old";
  option (mine) = { a: 1 b { c: "}" } };
  int64 id = 1 [json_name = "x", (y) = {z: [1, 2]}];
  repeated Item items = 2; /* of it */
  map<string, Order
    .Item> by_name = 3;
  optional State state = 4;
  oneof way { string text = 5; Item.Part part = 6; }
  google.protobuf.Timestamp made = 7;
  message Item { message Part { bytes b = 1; } .shop.v1.Order again = 1;
    repeated .shop.v1.Order more = 2; }
  enum State { option allow_alias = true; NONE = 0; SOME = 1 [deprecated = true]; LESS = -1; }
}
service S { rpc Get (Order) returns (stream Order) { option (x) = { get: "/" }; } }
extend google.protobuf.MessageOptions { string mine = 50000; }
"""


def test_a_file_with_everything_is_read() -> None:
    found = read(ORDER)
    assert set(found.messages) == {"Order", "Order.Item", "Order.Item.Part"}
    fields = found.messages["Order"]
    assert {number: each.words for number, each in fields.items()} == {
        1: "int64",
        2: "repeated Order.Item",
        3: "map<string,Order.Item>",
        4: "optional Order.State",
        5: "string",
        6: "Order.Item.Part",
        7: "google.protobuf.Timestamp",
    }
    assert [each.oneof for each in fields.values()] == ["", "", "", "", "way", "way", ""]
    assert found.messages["Order.Item"][1].type == Type("Order", "a message")
    assert found.enums["Order.State"] == {0: "NONE", 1: "SOME", -1: "LESS"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("int64 id = 1;", "int64 number = 1; string more = 2;", None),
        ("int64 id = 1; string x = 2;", "int64 id = 1;", None),
        ("int64 id = 1;", "string id = 1;", "/M/id: field 1 is string, and was int64"),
        ("int64 id = 1;", "optional int64 id = 1;", None),
        ("optional int64 id = 1;", "repeated int64 id = 1;",
         "/M/id: field 1 is repeated int64, and was optional int64"),
        ("optional string id = 1;", "repeated bytes id = 1;", None),
        ("message A {} A a = 1;", "message A {} repeated A a = 1;", None),
        ("message A {} A a = 1;", "message A {} message B {} B a = 1;",
         "/M/a: field 1 is M.B, and was M.A"),
        ("message A {} A a = 1;", "int64 b = 2;", "/M.A: the message is missing"),
        ("int64 b = 2;", "message A {} A a = 1;", None),
        ("message A {} A a = 1;", "message A {} M.A a = 1;", None),
        ("other.A a = 1;", "other.A b = 1;", None),
        ("other.A a = 1;", "other.B a = 1;", "/M/a: field 1 is other.B, and was other.A"),
        ("map<string, int32> a = 1;", "map<bytes, int64> a = 1;", None),
        ("map<string, int32> a = 1;", "map<string, string> a = 1;",
         "/M/a: field 1 is map<string,string>, and was map<string,int32>"),
        ("int64 id = 1;", "oneof x { int64 id = 1; string t = 2; }", None),
        ("int64 a = 1; int64 b = 2;", "oneof x { int64 a = 1; int64 b = 2; }",
         "/M/x: a, b moved into the oneof"),
        ("oneof x { int64 a = 1; } int64 b = 2;", "oneof x { int64 a = 1; int64 b = 2; }",
         "/M/x: b moved into the oneof beside fields that were in one"),
        ("oneof x { int64 a = 1; int64 b = 2; }", "oneof x { int64 a = 1; }",
         "/M/b: the field is missing in the oneof x"),
        ("oneof x { int64 a = 1; int64 b = 2; }", "oneof x { int64 a = 1; } int64 b = 2;", None),
        ("oneof x { int64 a = 1; }", "oneof y { int32 a = 1; }", None),
        ("oneof x { int64 a = 1; }", "oneof y { string a = 1; }",
         "/M/a: field 1 is string, and was int64"),
    ],
)  # fmt: skip
def test_what_a_new_schema_may_change(old: str, new: str, why: str | None) -> None:
    before, after = (
        read(f'syntax = "proto3"; package {package}; message M {{ {each} }}')
        for package, each in (("p", old), ("q.r", new))
    )
    assert differences(after, before) == ([] if why is None else [why])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("optional int64 id = 1;", "optional int64 id = 1; required int32 x = 2;",
         "/M/x: a required field is new"),
        ("required int32 x = 2;", "", "/M/x: the required field is missing"),
        ("required int32 x = 2;", "optional int32 x = 2;",
         "/M/x: field 2 is optional int32, and was required int32"),
        ("required string x = 2;", "optional string x = 2;", None),
    ],
)  # fmt: skip
def test_labels_of_proto2(old: str, new: str, why: str | None) -> None:
    before, after = read(f"message M {{ {old} }}"), read(f"message M {{ {new} }}")
    assert differences(after, before) == ([] if why is None else [why])


KINDS = [
    {"int32", "int64", "uint32", "uint64", "bool", "E"}, {"sint32", "sint64"}, {"string", "bytes"},
    {"fixed32", "sfixed32"}, {"fixed64", "sfixed64"}, {"float"}, {"double"},
    {"M"}, {"map<string, int32>"},
]  # fmt: skip
"""Confluent's registry has the same: `FieldSchemaDiff`, docs/decisions/0073."""


def test_a_type_may_become_another_of_its_kind() -> None:
    def file(type_: str) -> File:
        return read(f'syntax = "proto3"; enum E {{ A = 0; }} message M {{ {type_} a = 1; }}')

    kind_of = {each: kind for kind in KINDS for each in kind}
    for old, new in itertools.product(kind_of, repeat=2):
        refused = bool(differences(file(new), file(old)))
        assert refused == (new not in kind_of[old]), (old, new)


@pytest.mark.parametrize(
    "text",
    ["message", "message M {", "message M }", "message M { int64 = 1; }", "message M { int64 a; }",
     "message M { int64 a = 0; }", "message M { int64 a = x; }", "what is this;", "message M {} ?",
     "message M { int64 a = 1; int64 b = 1; }", "message M { int64 a = 1; int64 a = 2; }",
     "message M {} enum M { A = 0; }", "message M { map<string> a = 1; }", "option a = ]",
     "message M { int64 a = 1 [;} }", "message A {" * 70 + "}" * 70, "x" * 600],
)  # fmt: skip
def test_what_is_no_protobuf_is_refused(text: str) -> None:
    with pytest.raises(NotProtobuf):
        read(text)


def test_looking_names_up_is_bounded() -> None:
    fields = "".join(f"B f{at} = {at + 1};" for at in range(3000))
    assert len(read(f"message A {{ {fields} }}").messages["A"]) == 3000
    with pytest.raises(NotProtobuf, match="take too long"):
        read(f"package {'a.' * 250}a; message A {{ {fields} }}")


def test_symbols_of_edition_2024() -> None:
    found = read(
        'edition = "2024"; export message M { local message N {} } local enum E { A = 0; }'
    )
    assert set(found.messages) == {"M", "M.N"}


def test_groups_of_proto2() -> None:
    found = read(
        "message M { repeated group Item = 1 [deprecated = true] { required int32 x = 2; } }"
    )
    assert found.messages["M"][1].words == "repeated M.Item"
    assert found.messages["M.Item"][2].words == "required int32"


def test_names_of_a_package_within_messages() -> None:
    found = read("package p; message A { optional p.B b = 1; optional .p.A.B c = 2; message B {} }")
    assert [each.type.name for each in found.messages["A"].values()] == ["p.B", "A.B"]


def test_a_descriptor_in_base64_says_what_its_text_says() -> None:
    given = b64encode(proto_text.read(ORDER, "order.proto").SerializeToString()).decode()
    assert read(given) == read(ORDER)
    assert differences(read(given), read(ORDER)) == []


@pytest.mark.parametrize("wrong", [{"type": 10}, {"type": 11}, {"type": 9, "oneof_index": 3}])
def test_a_damaged_descriptor_is_refused(wrong: dict[str, int]) -> None:
    found = proto_text.read("message M {}", "")
    found.message_type[0].field.add(name="f", number=1, label=1, **wrong)
    with pytest.raises(NotProtobuf, match="a field of the descriptor"):
        read(b64encode(found.SerializeToString()).decode())
