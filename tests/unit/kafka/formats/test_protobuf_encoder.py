"""JSON into Protobuf and back: nothing is rounded, left out or guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nrtctl.kafka.formats.encoder import DoesNotFit
from nrtctl.kafka.formats.protobuf import Schema, reader
from nrtctl.kafka.formats.protobuf_encoder import ProtobufEncoder, derived
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.message_format import CannotRead

SCHEMA = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/field_mask.proto";
import "confluent/type/decimal.proto";
message Order {
  int64 id = 1;
  confluent.type.Decimal price = 2;
  google.protobuf.Timestamp at = 3;
  optional bytes raw = 4;
  double ratio = 5; float part = 6;
  enum Kind { NONE = 0; CARD = 1; }
  Kind kind = 7;
  map<int32, string> more = 8; map<string, Line> by_name = 9;
  message Line { string sku = 1; }
  repeated Line lines = 10;
  oneof paid { string card = 11; Line cash = 12; }
  google.protobuf.Duration took = 13;
  google.protobuf.UInt64Value big = 14;
  google.protobuf.Struct any = 15;
  google.protobuf.FieldMask mask = 16;
  optional bool ok = 17;
  google.protobuf.Value value = 18;
}
"""
ORDER: dict[str, Any] = {
    "id": 2**53 + 1, "price": "-12.07", "at": "2024-05-06T07:08:09.123456789Z", "raw": "AP8=",
    "ratio": 0.1, "part": 0.5, "kind": "CARD", "more": {"-7": "x"}, "by_name": {"a": {"sku": "s"}},
    "lines": [{"sku": "s"}, {"sku": ""}], "cash": {"sku": "c"}, "took": "-1.500", "big": 2**64 - 1,
    "any": {"a": [1.5, None, True, {"b": "x"}]}, "mask": "a.b,c", "ok": False, "value": None,
}  # fmt: skip
LEAST = {name: ORDER[name] for name in ("id", "ratio", "part", "kind", "more", "by_name", "lines")}


def back(value: Any, text: str = SCHEMA) -> Any:
    message = Schema(text, lambda _: None).message(None)
    return reader(message)(ProtobufEncoder(message).encode(json.dumps(value).encode()))


def test_a_message_comes_back_as_it_was() -> None:
    assert back(ORDER) == ORDER
    assert back(LEAST) == LEAST
    assert back({**LEAST, "card": "x", "cash": None}) == {**LEAST, "card": "x"}
    assert back({**LEAST, "ratio": "NaN", "part": "-Infinity"}) == {
        **LEAST, "ratio": "NaN", "part": "-Infinity",
    }  # fmt: skip
    given = {"at": "2024-05-06 09:08:09+02:00", "price": 1200, "took": 3}
    assert back({**LEAST, **given}) == {
        **LEAST, "at": "2024-05-06T07:08:09Z", "price": "1200", "took": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"id": "7"}, 'id is "7", not int64'),
        ({"id": 1.5}, 'id is "1.5", not int64'),
        ({"id": 2**63}, "id is 9223372036854775808, not int64"),
        ({"id": True}, "id is true, not int64"),
        ({"id": None}, "id is null, not int64"),
        ({"part": 1e300}, "part is .*, not float"),
        ({"kind": "OTHER"}, 'kind is "OTHER", not enum'),
        ({"raw": "?"}, r'raw is "\?", not bytes'),
        ({"other": 1}, "the schema has no field other"),
        ({"lines": [{"sku": 5}]}, r"lines\[0\].sku is 5, not string"),
        ({"lines": [{}]}, r"the message has no field lines\[0\].sku"),
        ({"lines": [None]}, r"lines\[0\] is null, not Order.Line"),
        ({"lines": {}}, "lines is {}, not repeated"),
        ({"more": {"x": "y"}}, "more.x is null, not int32"),
        ({"more": []}, r"more is \[\], not map"),
        ({"card": "x", "cash": {"sku": ""}}, "cash and card are of one oneof"),
        ({"at": "soon"}, 'at is "soon", not Timestamp'),
        ({"at": 5}, "at is 5, not Timestamp"),
        ({"took": "0.0000000001"}, "not Duration"),
        ({"price": "x"}, 'price is "x", not Decimal'),
        ({"big": -1}, "big is -1, not UInt64Value"),
        ({"any": {"a": 2**53 + 1}}, "not Struct"),
        ({"mask": 5}, "mask is 5, not FieldMask"),
        ({"ok": 1}, "ok is 1, not bool"),
    ],
)
def test_what_does_not_fit_is_said(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(DoesNotFit, match=why):
        back({**LEAST, **changed})


@pytest.mark.parametrize("number", ["1e400000", "1e30000000", "1e999999999999", "1e-999999999999"])
@pytest.mark.parametrize("name", ["took", "price", "ratio", "part"])
def test_a_number_that_is_huge_is_refused_before_it_is_computed(name: str, number: str) -> None:
    message = Schema(SCHEMA, lambda _: None).message(None)
    given = json.dumps({**LEAST, name: 0}).replace(f'"{name}": 0', f'"{name}": {number}')
    if "e-" in number and name in {"ratio", "part"}:
        assert reader(message)(ProtobufEncoder(message).encode(given.encode()))[name] == 0
        return
    with pytest.raises(DoesNotFit, match=f"{name} is .*not (Duration|Decimal|double|float)"):
        ProtobufEncoder(message).encode(given.encode())


def test_durations_and_decimals_keep_all_their_digits() -> None:
    given = {"took": "-1234567890123456789.123456789", "price": "1234567890123456789012345678.05"}
    assert back({**LEAST, **given}) == {**LEAST, **given}
    zero = {"took": "0e999999999", "price": "0e999999999"}
    assert back({**LEAST, **zero}) == {**LEAST, "took": "0", "price": "0"}
    message = Schema(SCHEMA, lambda _: None).message(None)
    made = ProtobufEncoder(message).encode(json.dumps({**LEAST, "price": "1200e2"}).encode())
    order: Any = ProtobufEncoder(message)._class.FromString(made)
    assert (order.price.precision, order.price.scale) == (6, 0)


@pytest.mark.parametrize("text", [b"", b"no", b"[" * 100_000, b"\xff"])
def test_what_is_no_json_is_said(text: bytes) -> None:
    with pytest.raises(DoesNotFit, match="not JSON"):
        ProtobufEncoder(Schema(SCHEMA, lambda _: None).message(None)).encode(text)


def test_a_schema_is_made_for_the_fields_of_a_pipeline() -> None:
    pipeline = Pipeline(
        topic="shop.orders",
        fields={
            "id": "UInt32",
            "price": "Decimal(9, 2)",
            "tags": "Array(LowCardinality(String))",
            "city": {"type": "Nullable(String)", "from": ["address", "city"]},
            "zip": {"type": "LowCardinality(Nullable(String))", "from": ["address", "zip"]},
            "note": {"type": "String", "default": ""},
        },
    )
    text = derived(pipeline)
    sent = {"id": 7, "price": "1.50", "tags": ["a"], "address": {"city": "x"}}
    assert back(sent, text) == sent
    assert "message ShopOrders {" in text
    for kind in ("Map(String, String)", "Array(Nullable(String))", "Array(Array(Int8))"):
        with pytest.raises(CannotRead, match="no schema can be made for"):
            derived(Pipeline(fields={"m": kind}))
    with pytest.raises(CannotRead, match="can have the name 'a b'"):
        derived(Pipeline(fields={"m": {"type": "String", "from": "a b"}}))
