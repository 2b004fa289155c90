"""Types of arrays and objects in each other: what is stored, and where a dead letter is blamed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from nrtctl.schema.drift import lost
from tests.contract.schema.test_field_types import fates_together, same
from tests.plugins.pipeline_engine import Engine

UTC = timezone.utc  # noqa: UP017

ITEM = "Tuple(sku String, qty UInt32, price Decimal(10, 2), note Nullable(String))"
GOOD = '{"sku":"a","qty":1,"price":"1.50"}'
STORED = {"sku": "a", "qty": 1, "price": Decimal("1.5"), "note": None}
OF_ITEMS: dict[str | None, Any] = {
    None: "field missing:x", "null": "field is null:x", "{}": "wrong type:x", "5": "wrong type:x",
    '"[]"': "wrong type:x", "[]": [], "[ ]": [], f"[{GOOD}]": [STORED],
    f"[{GOOD}, {GOOD}]": [STORED] * 2,
    '[{"note":"5","price":1,"more":{"a":1},"qty":"2","sku":"[1]"}]': [
        {"sku": "[1]", "qty": 2, "price": Decimal(1), "note": "5"}
    ],
    f'[{GOOD},{{"sku":"c","qty":"x","price":1}}]': "wrong type:x[1].qty",
    f'[{GOOD},{{"sku":"d","price":"1"}}]': "field missing:x[1].qty",
    '[{"sku":"d","qty":null,"price":1}]': "field is null:x[0].qty",
    '[{"sku":"d","qty":1.5,"price":1}]': "wrong type:x[0].qty",
    '[{"sku":"d","qty":1,"price":"9.999"}]': "wrong type:x[0].price",
    '[{"sku":5,"qty":1,"price":1}]': "wrong type:x[0].sku",
    '[{"sku":{"a":1},"qty":1,"price":1}]': "wrong type:x[0].sku",
    '[{"sku":"d","qty":1,"price":1,"note":5}]': "wrong type:x[0].note",
    '[{"SKU":"d","qty":1,"price":1}]': "field missing:x[0].sku",
    "[{}]": "field missing:x[0].sku",
    "[null]": "field is null:x[0]", "[5]": "wrong type:x[0]", "[[]]": "wrong type:x[0]",
    f"[{GOOD},null]": "field is null:x[1]", f"[{GOOD},[{GOOD}]]": "wrong type:x[1]",
    '[["a",1,"1.50",null]]': "wrong type:x[0]", '[[null,"a",1,"1.50"]]': "wrong type:x[0]",
    '[[\n null,"a",1,"1.50"]]': "wrong type:x[0]",
    '[{"sku":"a","sku":"a","qty":1,"price":1}]': "duplicate key:x[0].sku",
    '[{"sku":"a","qty":1,"price":1,"z":1,"z" :2}]': "duplicate key:x[0].z",
    '[{"sku":"a","qty":1,"price":1,"z":1,"\\u007a":2}]': "duplicate key:x[0].z",
    '[{"sku":"a","qty":1,"price":1,"z":{"y":1,"y":2}}]': [{**STORED, "price": Decimal(1)}],
    '[{"sku":"12:34","qty":1,"price":1,"note":"a: b"}]': [
        {"sku": "12:34", "qty": 1, "price": Decimal(1), "note": "a: b"}
    ],
}  # fmt: skip

TYPES: dict[str, dict[str | None, Any]] = {
    f"Array({ITEM})": OF_ITEMS,
    f"Nested({ITEM[6:-1]})": OF_ITEMS,
    "Tuple(id UInt64, at DateTime64(3, 'UTC'))": {
        '{"id":18446744073709551615,"at":"2024-01-01T00:00:00Z"}': {
            "id": 2**64 - 1, "at": datetime(2024, 1, 1, tzinfo=UTC)
        },
        '{"id":-1,"at":"2024-01-01T00:00:00Z"}': "wrong type:x.id",
        '{"id":9007199254740993.0,"at":"2024-01-01T00:00:00Z"}': "wrong type:x.id",
        '{"id":1,"at":"2024-02-30T00:00:00Z"}': "wrong type:x.at",
        '{"id":1,"at":null}': "field is null:x.at", '{"at":5}': "field missing:x.id",
        '[1,"2024-01-01T00:00:00Z"]': "wrong type:x", "{}": "field missing:x.id",
        '[null,1,"2024-01-01T00:00:00Z"]': "wrong type:x",
        '{"id":1,"id":1,"at":"2024-01-01T00:00:00Z"}': "duplicate key:x.id",
        "null": "field is null:x", None: "field missing:x", "5": "wrong type:x",
    },
    "Array(Tuple(a Nullable(UInt64), d Nullable(Decimal(38, 4))))": {
        '[{"a":9007199254740993},{"d":12345678901.1234}]': [
            {"a": 2**53 + 1, "d": None}, {"a": None, "d": Decimal("12345678901.1234")}
        ],
        '[{},{"a":1}]': [{"a": None, "d": None}, {"a": 1, "d": None}],
        # Nothing to take from any of them: ClickHouse reads an empty array.
        "[{}]": "wrong type:x", '[{"z":1}]': "wrong type:x", "[null]": "field is null:x[0]",
        '[{"a":1},{"a":9007199254740993.0}]': "wrong type:x[1].a",
        '[{"a":9007199254740992},{"a":9007199254740993.0}]': "wrong type:x[1].a",
        '[{"a":1},{"d":123456789012345678.1234}]': "wrong type:x[1].d",
        '[{"a": 90071992547409.93e2}]': "wrong type:x[0].a",
        '[{"z":"a\\",5.5e1","a":9007199254740993,"y":1e17}]': [{"a": 2**53 + 1, "d": None}],
    },
    "Map(String, Array(Int128))": {
        '{"a":[170141183460469231731687303715884105727,"1"]}': {"a": [2**127 - 1, 1]},
        '{"a":[1],"b c":[2,-1e18]}': 'wrong type:x["b c"][1]',
    },
    "Tuple(Int64, String)": {
        '[9007199254740993,"a"]': (2**53 + 1, "a"), '[9007199254740993.0,"a"]': "wrong type:x[0]",
    },
    "Tuple(a Nullable(UInt8), b Array(UInt8), c Map(String, UInt8))": {
        '{"a":1,"b":[2],"c":{"d":3}}': {"a": 1, "b": [2], "c": {"d": 3}},
        '{"b":[],"c":{}}': {"a": None, "b": [], "c": {}},
        '{"a":1,"c":{}}': "field missing:x.b", '{"a":1,"b":[],"c":null}': "field is null:x.c",
        '{"b":{},"c":{}}': "wrong type:x.b", '{"b":[],"c":[]}': "wrong type:x.c",
        '{"b":[null],"c":{}}': "field is null:x.b[0]",
        '{"b":[],"c":{"d":256}}': "wrong type:x.c.d",
        '{"b":[],"c":{"d e":256}}': 'wrong type:x.c["d e"]',
        '{"b":[],"c":{"d":1,"d":1}}': "duplicate key:x.c.d",
        "{}": "field missing:x.b", None: "field missing:x", "null": "field is null:x",
    },
    "Tuple(a Nullable(UInt8), b Tuple(c Nullable(String)))": {
        '{"b":{}}': {"a": None, "b": {"c": None}},
        '{"a":1,"b":{"c":"d"}}': {"a": 1, "b": {"c": "d"}},
        "{}": "field missing:x.b", '{"b":null}': "field is null:x.b", '{"b":[]}': "wrong type:x.b",
        '{"b":{"c":5}}': "wrong type:x.b.c", '{"b":{"c":null,"z":1,"z":1}}': "duplicate key:x.b.z",
        '{"a":1,"a":1,"b":{}}': "duplicate key:x.a",
        None: "field missing:x", "null": "field is null:x", "[]": "wrong type:x",
    },
    "Tuple(`a b` String, `ключ` Tuple(`c``d` UInt8))": {
        '{"a b":"1","ключ":{"c`d":2}}': {"a b": "1", "ключ": {"c`d": 2}},
        '{"a b":1,"ключ":{"c`d":2}}': 'wrong type:x["a b"]',
        '{"a b":"1","ключ":{"c`d":-2}}': 'wrong type:x["ключ"]["c`d"]',
    },
    "Tuple(Float64, Float64)": {
        "[39.5,32]": (39.5, 32.0), "[1]": "field missing:x[1]", "[]": "field missing:x[0]",
        "[1,2,3]": "wrong type:x", '["1",2]': (1.0, 2.0), "[1,null]": "field is null:x[1]",
        '[1,"a"]': "wrong type:x[1]", "{}": "wrong type:x", "null": "field is null:x",
    },
    "Tuple(String, Nullable(UInt8))": {
        '["a",1]': ("a", 1), '["a",null]': ("a", None), '["a"]': "wrong type:x",
        "[1,1]": "wrong type:x[0]", '["5",1]': ("5", 1),
    },
    "Array(Array(UInt8))": {
        "[]": [], "[[]]": [[]], "[[1,2],[],[3]]": [[1, 2], [], [3]], "[1]": "wrong type:x[0]",
        "[[1],[256]]": "wrong type:x[1][0]", "[null]": "field is null:x[0]",
        "[[1],null]": "field is null:x[1]", "[[null]]": "field is null:x[0][0]",
        "[[[1]]]": "wrong type:x[0][0]", '["[1]"]': "wrong type:x[0]", "[{}]": "wrong type:x[0]",
        "null": "field is null:x", None: "field missing:x", "{}": "wrong type:x",
    },
    "Array(Array(Array(Nullable(String))))": {
        '[[["a",null]],[[]],[]]': [[["a", None]], [[]], []], "[[[5]]]": "wrong type:x[0][0][0]",
        '[[["a"],["b",5]]]': "wrong type:x[0][1][1]",
    },
    "Array(Map(String, String))": {
        '[{"a":"b"},{}]': [{"a": "b"}, {}], '[{"a":5}]': "wrong type:x[0].a",
        '[{"a":"b","a":"c"}]': "duplicate key:x[0].a", "[[]]": "wrong type:x[0]",
    },
    "Array(LowCardinality(String))": {
        '["a","b","a"]': ["a", "b", "a"], '["5"]': ["5"], "[5]": "wrong type:x[0]",
    },
    "Map(String, Array(UInt16))": {
        "{}": {}, '{"a":[1,2],"b c":[]}': {"a": [1, 2], "b c": []}, '{"a":1}': "wrong type:x.a",
        '{"a":null}': "field is null:x.a", '{"a":[1,"x"]}': "wrong type:x.a[1]",
        '{"a":[1],"a":[2]}': "duplicate key:x.a", "[]": "wrong type:x", "[[1]]": "wrong type:x",
    },
    "Map(LowCardinality(String), Tuple(n UInt8, s Array(Tuple(k String))))": {
        '{"a":{"n":1,"s":[{"k":"v"}]}}': {"a": {"n": 1, "s": [{"k": "v"}]}},
        '{"a":{"n":1,"s":[]},"b":{"n":1,"s":[{"k":"v"},{"k":null}]}}': "field is null:x.b.s[1].k",
        '{"a b":{"n":1,"s":[{"k":"v","z":0,"z":0}]}}': 'duplicate key:x["a b"].s[0].z',
        '{"a":{"n":1,"s":[{"k":"v"}],"z":0,"z":0}}': "duplicate key:x.a.z",
        '{"a":[1,[]]}': "wrong type:x.a",
    },
    "Point": {"[-122.5,38.25]": (-122.5, 38.25), "[-122.5,38.25,3]": "wrong type:x"},
    "Ring": {"[[0,0],[1,0.5]]": [(0.0, 0.0), (1.0, 0.5)], "[[0]]": "field missing:x[0][1]"},
    "LineString": {"[]": [], "[[0,0],[1,0.5]]": [(0.0, 0.0), (1.0, 0.5)]},
    "Polygon": {
        "[[[0,0],[1,1]],[]]": [[(0.0, 0.0), (1.0, 1.0)], []], "[[1]]": "wrong type:x[0][0]",
    },
    "MultiLineString": {"[[[0,0],[1,1]]]": [[(0.0, 0.0), (1.0, 1.0)]]},
    "MultiPolygon": {
        "[[[[0,0],[1,1]]]]": [[[(0.0, 0.0), (1.0, 1.0)]]],
        '[[[[0,0],[1,"x"]]]]': "wrong type:x[0][0][1][1]",
    },
}  # fmt: skip


def alike(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(alike(found[k], expected[k]) for k in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return same(found, expected) if expected is not None else found is None


RARE = (
    *(kind for kind in TYPES if kind.startswith("Nested(")),  # an Array(Tuple(…))
    *("Tuple(String, Nullable(UInt8))", "Array(Array(Array(Nullable(String))))"),
    *("Array(LowCardinality(String))", "Map(String, Array(Int128))"),
    *("Ring", "LineString", "Polygon", "MultiLineString", "MultiPolygon"),
)


@pytest.fixture(scope="module")
def fates(one_engine: Engine) -> Callable[[bool], dict[str, dict[str | None, Any]]]:
    """Of the rare ones, or of the others."""

    @cache
    def found(rare: bool) -> dict[str, dict[str | None, Any]]:
        asked = {kind: (kind, cases) for kind, cases in TYPES.items() if (kind in RARE) == rare}
        one_engine.client.command(f"DROP DATABASE IF EXISTS {one_engine.database}")
        return fates_together(one_engine, asked)

    return found


@pytest.mark.parametrize(
    "kind",
    [
        *(kind for kind in TYPES if kind not in RARE),
        *(pytest.param(kind, marks=pytest.mark.long) for kind in RARE),
    ],
)
def test_nested_type(fates: Callable[[bool], dict[str, dict[str | None, Any]]], kind: str) -> None:
    told = fates(kind in RARE)[kind]
    for text, expected in TYPES[kind].items():
        fate = told[text]
        if isinstance(expected, str):
            assert fate == expected, text
        else:
            assert not isinstance(fate, str), (text, fate)
            assert alike(fate, expected), (text, fate)


def test_fields_of_a_message_are_blamed_in_their_order(engine: Engine) -> None:
    engine.up(fields={"a": "Tuple(b UInt8)", "c": "Nullable(UInt8)", "d": "Array(Tuple(e UInt8))"})
    assert engine.fates(
        b'{"a":{"b":1},"c":null,"d":[{"e":1}]}',
        b'{"a":{"b":1},"c":"x","d":[{"e":-1}]}',
        b'{"a":{"b":1},"d":[{"e":1},{"e":-1}],"z":0}',
        b'{"a":{"b":1},"d":[],"z":0,"z":0}',
        b'{"a":{"b":1,"z":0,"z":0},"d":[{"e":1,"e":1}]}',
        b'{"a":{"b":1},"d":[{"e":1,"e":1}]}',
        b'[{"b":1},null,[]]',
        b'{"a":{"b":1}',
    ) == [
        ({"b": 1}, None, [{"e": 1}]), "wrong type:c", "wrong type:d[1].e", "duplicate key:",
        "duplicate key:a.z", "duplicate key:d[0].e", "not an object:", "not JSON:",
    ]  # fmt: skip


def test_an_element_of_another_type_is_drift(engine: Engine) -> None:
    engine.up(fields={"x": "Array(Tuple(a UInt8, b String))"})
    table = f"{engine.database}.{engine.pipeline.table}"
    engine.client.command(f"ALTER TABLE {table} MODIFY COLUMN x Array(Tuple(a UInt16, b String))")
    assert lost(engine.client, engine.pipeline, engine.database) == []
    engine.client.command(f"ALTER TABLE {table} MODIFY COLUMN x Array(Tuple(a Int8, b String))")
    assert len(lost(engine.client, engine.pipeline, engine.database)) == 1
