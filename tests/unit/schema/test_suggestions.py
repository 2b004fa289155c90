"""What is written instead of a type or a name that is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.field_types import field_type
from nrtctl.pipeline.suggest import identifier

INSTEAD = {
    "Int": "Int64", "int": "Int64", "Int24": "Int32", "Uint8": "UInt8", "bigint unsigned": "UInt64",
    "varchar": "String", "varchar(255)": "String", "text": "String", "Strin": "String",
    "timestamp": "DateTime64(3, 'UTC')", "timestamp(6)": "DateTime64(6)",
    "TIMESTAMP WITH TIME ZONE": "DateTime64(3, 'UTC')", "datetime64": "DateTime64(3, 'UTC')",
    "datetime64(3)": "DateTime64(3)", "DateTime(UTC)": "DateTime('UTC')",
    "DateTime64('Europe/Berlin')": "DateTime64(3, 'Europe/Berlin')",
    "DateTime('UTC', 3)": "DateTime64(3, 'UTC')", "DateTime64(10)": "DateTime64(9)",
    "boolean": "Bool", "double precision": "Float64", "uuid": "UUID",
    "numeric(10,2)": "Decimal(10,2)", "Decimal(9)": "Decimal(9, 0)",
    "Decimal32(2)": "Decimal(9, 2)",
    "Decimal(2, 3)": "Decimal(3, 3)", "Decimal(77, 0)": "Decimal(76, 0)",
    "List(String)": "Array(String)", "list<int>": "Array(Int64)", "string[]": "Array(String)",
    "Nulable(String)": "Nullable(String)", "Nullable(Strin)": "Nullable(String)",
    "Optional[int]": "Nullable(Int64)", "int?": "Nullable(Int64)",
    "Nullable(Nullable(Int8))": "Nullable(Int8)",
    "Map(string, int)": "Map(String, Int64)", "dict": "Map(String, String)",
    "Nullable(LowCardinality(String))": "LowCardinality(Nullable(String))",
    "Enum8(a = 1)": "Enum8('a' = 1)",
    "Tuple(a Int8, Int16)": "Tuple(a Int8, b Int16)", "Tuple": "Tuple(a String)",
    "Tuple(a Int8, a Int16)": "Tuple(a Int8, a_2 Int16)", "Nested(Int8)": "Nested(a Int8)",
    "Tuple(Array(Int8), Int8)": "Tuple(a Array(Int8), b Int8)", "Nullable()": "Nullable(String)",
    "Array(String": "Array(String)", "Point(Int8)": "Point", "IPAddress": "IPv6",
    "SimpleAggregateFunction(sum, UInt8)": "UInt8", "QBit(Float32, 8)": "Array(Float32)",
}  # fmt: skip


@pytest.mark.parametrize("text", INSTEAD)
def test_a_refused_type_ends_with_one_that_is_meant(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        field_type(text)
    assert str(caught.value).endswith(f"; write {INSTEAD[text]}")
    field_type(INSTEAD[text])


ADVICE = {
    "Nullable(Tuple(a Int8, `b c` Array(Int8)))": (
        '{ type = "Tuple(a Nullable(Int8), `b c` Array(Int8))", default = "empty" }, which is empty'
    ),
    "Nullable(Tuple(a Tuple(b String)))": 'write { type = "Nullable(String)", json = "text" }',
    "Nullable(Map(String, UInt8))": '{ type = "Map(String, UInt8)", default = "empty" }, which',
    "Nullable(Array(Int8))": '{ type = "Array(Int8)", default = "empty" }, which is empty',
    "Nullable(Point)": '{ type = "Array(Float64)", default = [] }, which is empty',
    "Array(Nullable(Tuple(a String)))": 'write { type = "String", json = "text" } for the whole',
    "Array(Nullable(Array(Int8)))": 'write Array(Int8) and default = "empty" for the field',
    "Array(" * 10 + "Int8" + ")" * 10: '{ type = "String", json = "text" } for the whole field',
    "UInt32 DEFAULT 5": '{ type = "UInt32", default = 5 }',
    "String default 'new'": '{ type = "String", default = "new" }',
    "Variant(String, Int8)": 'accept = ["numbers", "booleans"] } for single values of any kind',
    "Object('json')": "; write JSON",
}


@pytest.mark.parametrize("text", ADVICE)
def test_a_refused_type_says_what_else_to_write(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        field_type(text)
    assert ADVICE[text] in str(caught.value)


def test_a_type_that_is_like_none_ends_with_those_that_are_known() -> None:
    with pytest.raises(ValueError) as caught:
        field_type("zzz")
    assert "; write " not in str(caught.value)


NAMES = {
    "Event-Name": "Event_Name", "_id": "id", "@timestamp": "timestamp",
    "service.name": "service_name", "größe": "grosse", "2fa": "n2fa", "a b": "a_b", "ключ": "name",
    "Straße 5": "Strasse_5",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_name_ends_with_one_that_is_accepted(name: str) -> None:
    assert identifier(name) == NAMES[name]
    with pytest.raises(ValidationError) as caught:
        Pipeline(fields={"x": "Int8"}, columns={name: "1"})
    assert f"; write {NAMES[name]}" in str(caught.value)
    Pipeline(fields={"x": "Int8"}, columns={NAMES[name]: "1"})
