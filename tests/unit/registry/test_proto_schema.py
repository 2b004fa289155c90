"""Protobuf's texts, as far as two of them are compared."""

from __future__ import annotations

import pytest

from nrtctl.local.registry.proto_schema import NotProtobuf, differences, read

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
    assert set(found.messages) == {
        "shop.v1.Order", "shop.v1.Order.Item", "shop.v1.Order.Item.Part"
    }  # fmt: skip
    fields = found.messages["shop.v1.Order"]
    assert {number: each.words for number, each in fields.items()} == {
        1: "int64",
        2: "repeated shop.v1.Order.Item",
        3: "map<string,shop.v1.Order.Item>",
        4: "shop.v1.Order.State",
        5: "string",
        6: "shop.v1.Order.Item.Part",
        7: "google.protobuf.Timestamp",
    }
    assert found.enums["shop.v1.Order.State"] == {0: "NONE", 1: "SOME", -1: "LESS"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("int64 id = 1;", "int64 number = 1; string more = 2;", None),
        ("int64 id = 1; string x = 2;", "int64 id = 1;", None),
        ("int64 id = 1;", "string id = 1;", "/M/id: field 1 is string, and was int64"),
        ("int64 id = 1;", "repeated int64 id = 1;",
         "/M/id: field 1 is repeated int64, and was int64"),
        ("int64 id = 1;", "optional int64 id = 1;", None),
        ("int64 id = 1;", "oneof x { int64 id = 1; }", None),
        ("int64 id = 1;", "int64 id = 1; required int32 x = 2;",
         "/M/x: a required field is in one of the two only"),
        ("message A {} A a = 1;", "int64 b = 2;", "/M.A: the message is in one of the two only"),
        ("message A {} A a = 1;", "message A {} M.A a = 1;", None),
    ],
)  # fmt: skip
def test_numbers_keep_their_types(old: str, new: str, why: str | None) -> None:
    before, after = read(f"message M {{ {old} }}"), read(f"message M {{ {new} }}")
    assert differences(after, before) == ([] if why is None else [why])


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
