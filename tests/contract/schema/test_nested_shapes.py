"""Objects and arrays as messages of other programs have them, and what fields say about them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from nrtctl.config.load import load_config
from nrtctl.errors import ConfigError
from tests.contract.schema.test_nested_types import alike
from tests.plugins.pipeline_engine import Engine

UTC = timezone.utc  # noqa: UP017


class Shape(NamedTuple):
    """Fields, and message to what is stored of it or its fate."""

    fields: dict[str, Any]
    messages: dict[str, Any]


UID = "61f0c404-5cb3-11e7-907b-a6006ad3dba0"
EMPTY_LISTS = {"default": "empty"}
LABELS = '{"app.kubernetes.io/name":"web","team":"a"}'
LOG = '"resourceLogs":[{"resource":{"attributes":[]},"scopeLogs":[{"logRecords":%s}]}]'

SHAPES = {
    "arrays and maps that are missing or null": Shape(
        {
            "id": "UInt8",
            "tags": {"type": "Array(Nullable(String))", "default": []},
            "m": {"type": "Map(String, Nullable(String))", "default": {}},
            "a": {"type": "Array(Array(UInt8))", **EMPTY_LISTS},
        },
        {
            '{"id":1,"tags":["a",null],"m":{"x":"1","y":null},"a":[[1]]}': (
                1, ["a", None], {"x": "1", "y": None}, [[1]],
            ),
            '{"id":2,"tags":[],"m":{},"a":[]}': (2, [], {}, []),
            '{"id":3,"tags":null,"m":null,"a":null}': (3, [], {}, []),
            '{"id":4}': (4, [], {}, []),
            '{"id":5,"tags":"a,b"}': "wrong type:tags",
            '{"id":6,"m":{"x":1}}': "wrong type:m",
            '{"id":7,"a":{}}': "wrong type:a",
            '{"id":8,"a":[null]}': "wrong type:a",
        },
    ),
    "empty inside": Shape(
        {
            "o": {
                "type": "Array(Tuple(n UInt8, tags Array(String), m Map(String, UInt8)))",
                "default": "empty",
            },
            "t": {"type": "Tuple(s Nullable(String), a Array(UInt8))", "default": "empty"},
        },
        {
            '{"o":[{"n":1,"tags":["a"],"m":{"b":2}},{"n":2},{"n":3,"tags":null,"m":null}]}': (
                [
                    {"n": 1, "tags": ["a"], "m": {"b": 2}},
                    {"n": 2, "tags": [], "m": {}},
                    {"n": 3, "tags": [], "m": {}},
                ],
                {"s": None, "a": []},
            ),
            "{}": ([], {"s": None, "a": []}),
            '{"o":null,"t":null}': ([], {"s": None, "a": []}),
            '{"t":{"s":"x"}}': ([], {"s": "x", "a": []}),
            '{"t":{"a":5}}': "wrong type:t.a",
            '{"t":[]}': "wrong type:t",
            '{"o":[{"tags":[]}]}': "field missing:o[0].n",
            '{"o":[{"n":1,"m":[]}]}': "wrong type:o[0].m",
            '{"o":[{"n":1,"n":1}]}': "duplicate key:o[0].n",
            '{"t":{"z":1,"z":1}}': "duplicate key:t.z",
        },
    ),
    "a Kubernetes event": Shape(
        {
            "metadata": "Tuple(name String, namespace Nullable(String), uid UUID)",
            "labels": {
                "type": "Map(String, String)", "from": ["metadata", "labels"], "default": {},
            },
            "count": "Nullable(UInt32)",
        },
        {
            f'{{"metadata":{{"name":"w","namespace":"prod","uid":"{UID}",'
            f'"labels":{LABELS}}},"count":3}}': (
                {"name": "w", "namespace": "prod", "uid": UUID(UID)}, json.loads(LABELS), 3,
            ),
            f'{{"metadata":{{"name":"w","uid":"{UID}"}}}}': (
                {"name": "w", "namespace": None, "uid": UUID(UID)}, {}, None,
            ),
            '{"metadata":{"name":"w","uid":"x"}}': "wrong type:metadata.uid",
        },
    ),
    "a value that is an object or an array": Shape(
        {"p": {"type": "Nullable(String)", "json": "text"}},
        {
            '{"p":{"a":1.0,"b":[1,2]}}': ('{"a":1.0,"b":[1,2]}',),
            '{"q":{"p":5},"p" :  {"a" : 1.50,\n "s":"}\\"" } }': ('{"a" : 1.50,\n "s":"}\\"" }',),
            '{"q":{"p":{"x":1}},"p":[ 1, {"p":2.0} ]}': ('[ 1, {"p":2.0} ]',),
            '{"p":[],"z":12}': ("[]",),
            '{"p": {"n":123456789012345678901234567890, "f":1e2}}': (
                '{"n":123456789012345678901234567890, "f":1e2}',
            ),
            '{"\\u0070":{"a": 1}}': ('{"a":1}',),
            '{"p":null}': (None,), "{}": (None,),
            '{"p":"{}"}': "wrong type:p", '{"p":5}': "wrong type:p", '{"p":true}': "wrong type:p",
        },
    ),
    "a map of mixed values": Shape(
        {
            "id": "UInt8",
            "a": {"type": "Map(String, String)", "values": "text"},
            "n": {"type": "Array(Map(String, Nullable(String)))", "values": "text", "default": []},
        },
        {
            '{"id":1,"a":{"m":"GET","s":200,"c":false,"r":0.5}}': (
                1, {"m": "GET", "s": "200", "c": "false", "r": "0.5"}, [],
            ),
            '{"id":2,"a":{"u":{"id":1},"l":[1,"a"]},"n":[{"x":1,"y":null}]}': (
                2, {"u": '{"id":1}', "l": '[1,"a"]'}, [{"x": "1", "y": None}],
            ),
            '{"id":3,"a":{"x":null}}': "wrong type:a",
            '{"id":4,"a":{"x":0.12345678901234567}}': "wrong type:a",
            '{"id":5,"a":[]}': "wrong type:a",
            '{"id":6,"a":{"x":1,"x":2}}': "wrong type:a",
        },
    ),
    "orders with their items": Shape(
        {"id": "UInt32", "items": "Nested(sku String, qty UInt32, price Nullable(Decimal(10, 2)))"},
        {
            '{"id":1,"items":[{"sku":"a","qty":1,"price":"1.50"},{"sku":"b","qty":2}]}': (
                1,
                [
                    {"sku": "a", "qty": 1, "price": Decimal("1.5")},
                    {"sku": "b", "qty": 2, "price": None},
                ],
            ),
            '{"id":2,"items":[]}': (2, []),
            '{"id":3,"items":[{"sku":"c","qty":"x"}]}': "wrong type:items[0].qty",
            '{"id":4,"items":[{"sku":"d","price":"9.999"}]}': "field missing:items[0].qty",
            '{"id":5,"items":[{"sku":"d","qty":1,"price":"9.999"}]}': "wrong type:items[0].price",
        },
    ),
    "measurements of a device": Shape(
        {
            "location": "Tuple(Float64, Float64)",
            "stats": "Map(String, Nullable(Float64))",
            "at": {"type": "DateTime('UTC')", "from": ["payload", "at"]},
        },
        {
            '{"location":[39.5,32.25],"stats":{"t":71.2,"u":null},'
            '"payload":{"at":"2024-05-06T07:08:09Z"}}': (
                (39.5, 32.25), {"t": 71.2, "u": None}, datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
            ),
            '{"location":[39.5,32.25],"stats":{"s":"ok"},'
            '"payload":{"at":"2024-05-06T07:08:09Z"}}': "wrong type:stats",
            '{"location":[39.5],"stats":{},"payload":{"at":"2024-05-06T07:08:09Z"}}': (
                "field missing:location[1]"
            ),
            '{"location":[1,2],"stats":{},"payload":{"at":"06/May/2024:07:08:09 +0000"}}': (
                "wrong type:at"
            ),
        },
    ),
    "log records in arrays of arrays": Shape(
        {
            "resourceLogs": "Array(Tuple(scopeLogs Array(Tuple(logRecords Array(Tuple("
            "timeUnixNano Int64, severityNumber Nullable(UInt8), body Tuple(stringValue String), "
            "traceId Nullable(FixedString(4))))))))",
        },
        {
            "{%s}" % (LOG % '[{"timeUnixNano":"1544712660300000001","severityNumber":9,'
                      '"body":{"stringValue":"one"},"traceId":"5b8e"}]'): ([{"scopeLogs": [
                          {"logRecords": [{"timeUnixNano": 1544712660300000001,
                                           "severityNumber": 9, "body": {"stringValue": "one"},
                                           "traceId": b"5b8e"}]}]}],),
            "{%s}" % (LOG % '[{"timeUnixNano":"1","body":{"stringValue":5}}]'): (
                "wrong type:resourceLogs[0].scopeLogs[0].logRecords[0].body.stringValue"
            ),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        # test_recipes_page has another one.
        pytest.param(name, marks=[pytest.mark.long] if name.startswith("log records") else [])
        for name in SHAPES
    ],
)
def test_shape(engine: Engine, name: str) -> None:
    shape = SHAPES[name]
    engine.up(fields=shape.fields)
    fates = engine.fates(*(text.encode() for text in shape.messages))
    for (text, expected), fate in zip(shape.messages.items(), fates, strict=True):
        if isinstance(expected, str):
            assert fate == expected, text
        else:
            assert not isinstance(fate, str), (text, fate)
            assert alike(list(fate), list(expected)), (text, fate)


def test_text_of_an_object_is_json_that_says_the_same(engine: Engine) -> None:
    engine.up(fields={"p": {"type": "String", "json": "text"}})
    values: list[dict[str, Any]] = [
        {"p": {"p": [1.5, {"p": "x"}], "é": None}},
        {"a": {"p": 1}, "p": {"deep": {"p": {"p": {}}}}},
        {"p": [[], {}, "\n", -0.0, 1e300]},
    ]
    for indent in (None, 1):
        given = [json.dumps(value, indent=indent).encode() for value in values]
        for value, fate in zip(values, engine.fates(*given), strict=True):
            assert json.loads(fate[0]) == value["p"]
            assert fate[0] in json.dumps(value, indent=indent)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ({"type": "Array(String)", "json": "text"}, "json: "),
        ({"type": "UInt8", "json": "text"}, "json: "),
        ({"type": "Array(String)", "values": "text"}, "values: "),
        ({"type": "Map(String, UInt8)", "values": "text"}, "values: "),
        ({"type": "UInt8", "values": "text"}, "values: "),
    ],
)
def test_what_means_nothing_for_the_type_is_refused(
    field: dict[str, str], why: str, tmp_path: Any
) -> None:
    file = tmp_path / "nrtctl.toml"
    said = ", ".join(f'{key} = "{value}"' for key, value in field.items())
    file.write_text(f"[pipeline.fields]\nx = {{ {said} }}\n")
    with pytest.raises(ConfigError, match=why):
        load_config(file=file)


def test_a_tuple_that_cannot_be_empty_says_why(engine: Engine) -> None:
    field = {"type": "Tuple(id UInt32, tags Array(String))", "default": "empty"}
    with pytest.raises(ConfigError, match="cannot be empty") as raised:
        engine.up(fields={"x": field})
    assert raised.value.hint == (
        "make them Nullable, as in Tuple(id Nullable(UInt32), tags Array(String))"
    )
    engine.up(fields={"x": {**field, "type": "Tuple(id Nullable(UInt32), tags Array(String))"}})
    assert engine.fates(b"{}") == [({"id": None, "tags": []},)]
