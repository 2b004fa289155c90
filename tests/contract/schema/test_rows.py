"""Several rows from one message: where they are found, and what becomes of bad ones."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from tests.plugins.pipeline_engine import Engine

OTLP: dict[str, Any] = {
    "rows": ["resourceLogs", "scopeLogs", "logRecords"],
    "fields": {
        "time": {"type": "DateTime64(9, 'UTC')", "from": "timeUnixNano", "epoch": "ns"},
        "body": {"type": "String", "from": ["body", "stringValue"]},
        "service": {
            "type": "Nullable(String)",
            "from": ["$", "resourceLogs", "*", "resource", "name"],
        },
        "scope": {
            "type": "LowCardinality(String)",
            "from": ["$", "resourceLogs", "*", "scopeLogs", "*", "scope", "name"],
            "default": "",
        },
        "batch": {"type": "Nullable(UInt8)", "from": ["$", "batch"]},
        "sent_by": "Nullable(String)",
    },
}
OTLP["fields"]["sent_by"] = {"type": "Nullable(String)", "from": "key"}


def record(nano: object, body: object) -> dict[str, Any]:
    return {"timeUnixNano": nano, "body": {"stringValue": body}}


def resource(name: object, *scopes: Any) -> dict[str, Any]:
    return {"resource": {"name": name}, "scopeLogs": list(scopes)}


def scope(name: object, *records: Any) -> dict[str, Any]:
    return {"scope": {"name": name}, "logRecords": list(records)}


def rows(engine: Engine, *columns: str) -> dict[int, list[tuple[Any, ...]]]:
    """Offset to its rows, which must be numbered without a gap."""
    named = (each if "(" in each else f"`{each}`" for each in columns or engine.pipeline.fields)
    names = ", ".join(named)
    found: dict[int, list[tuple[Any, ...]]] = {}
    for offset, row, _, *values in engine.query(
        f"SELECT _offset, _row, _rows, {names} FROM {{db}}.events ORDER BY _offset, _row"
    ):
        there = found.setdefault(offset, [])
        assert row == len(there)
        there.append(tuple(values))
    return found


def test_a_row_is_made_of_each_element_with_values_from_around_it(engine: Engine) -> None:
    engine.up(**OTLP)
    message: dict[str, Any] = {
        "batch": 7,
        "resourceLogs": [
            resource("cart", scope("a", record("5", "one"), record("6000000007", "two")), scope(1)),
            resource(None, scope("b"), scope("c", record(8, "three"))),
            resource("none"),
        ],
    }
    del message["resourceLogs"][0]["scopeLogs"][1]["scope"]
    engine.send(json.dumps(message).encode())
    names = ("toUnixTimestamp64Nano(time)", "body", "service", "scope", "batch", "sent_by")
    found = engine.query(f"SELECT {', '.join(names)} FROM {{db}}.events ORDER BY _row")
    assert found == [
        (5, "one", "cart", "a", 7, "k"),
        (6000000007, "two", "cart", "a", 7, "k"),
        (8, "three", None, "c", 7, "k"),
    ]
    assert engine.query("SELECT _rows FROM {db}.events ORDER BY _row") == [(3,), (0,), (0,)]


def good(*records: Any) -> dict[str, Any]:
    return {"resourceLogs": [resource("cart", scope("a", record("5", "one"), *records))]}


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (b'{"resourceLogs":[', "not JSON:"),
    "empty": (b"", "empty message:"),
    "an array": ([], "not an object:"),
    "bytes": (b'{"resourceLogs":"\xff"}', "invalid UTF-8:"),
    "none": ({"resourceLogs": []}, "no rows:"),
    "none inside": ({"resourceLogs": [resource("x", scope("a"))]}, "no rows:"),
    "missing": ({"x": 1}, "field missing:resourceLogs"),
    "null": ({"resourceLogs": None}, "field is null:resourceLogs"),
    "a number": ({"resourceLogs": 5}, "wrong type:resourceLogs"),
    "numbers": ({"resourceLogs": [5]}, "wrong type:resourceLogs[0]"),
    "null in an array": ({"resourceLogs": [None]}, "wrong type:resourceLogs[0]"),
    "missing inside": (
        {"resourceLogs": [resource("x"), {"resource": 1}]},
        "field missing:resourceLogs[1].scopeLogs",
    ),
    "an object": (
        {"resourceLogs": [resource("x", {"logRecords": record("5", "x")})]},
        "wrong type:resourceLogs[0].scopeLogs[0].logRecords",
    ),
    "equal keys": (b'{"resourceLogs":[],"resourceLogs":[]}', "duplicate key:"),
    "equal keys of no field": (b'{"a":1,"a":2,"resourceLogs":[]}', "duplicate key:"),
    "equal keys around": (
        b'{"resourceLogs":[{"resource":{"name":"a","name":"b"},"scopeLogs":[{"logRecords":[]}]}]}',
        "duplicate key:resourceLogs[0]",
    ),
    "equal keys in an element": (
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5","body":'
        b'{"stringValue":"x","stringValue":"y"}}]}]}]}',
        "duplicate key:resourceLogs[0].scopeLogs[0].logRecords[0]",
    ),
    "a bad value": (
        good(record("6", "two"), record("x", "three"), record("y", "four")),
        "wrong type:resourceLogs[0].scopeLogs[0].logRecords[2].time",
    ),
    "a missing value": (
        good({"timeUnixNano": "5"}),
        "field missing:resourceLogs[0].scopeLogs[0].logRecords[1].body",
    ),
    "a null element": (good(None), "not an object:resourceLogs[0].scopeLogs[0].logRecords[1]"),
    "a text element": (good("x"), "not an object:resourceLogs[0].scopeLogs[0].logRecords[1]"),
    "an array element": (good([1]), "not an object:resourceLogs[0].scopeLogs[0].logRecords[1]"),
    "a bad value around": (
        {"batch": -1, **good()},
        "wrong type:resourceLogs[0].scopeLogs[0].logRecords[0].batch",
    ),
    "another kind around": (
        {"resourceLogs": [{"resource": 5, "scopeLogs": [scope("a", record("5", "x"))]}]},
        "wrong type:resourceLogs[0].scopeLogs[0].logRecords[0].service",
    ),
}


def test_a_message_with_a_bad_row_is_one_dead_letter_and_no_row(engine: Engine) -> None:
    engine.up(**OTLP)
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each, _ in
             BAD.values()]  # fmt: skip
    engine.send(*texts, None)
    found = engine.query(
        "SELECT _offset, concat(reason, ':', field), _row, _rows, base64Encode(value) "
        "FROM {db}.dead_letters ORDER BY _offset"
    )
    reasons = dict(zip([*BAD, "no value"], [each[1] for each in found], strict=True))
    assert reasons == {**{name: why for name, (_, why) in BAD.items()}, "no value": "null value:"}
    assert {each[2:4] for each in found} == {(0, 1)}
    values = engine.query("SELECT value = unhex(h) FROM {db}.dead_letters AS l INNER JOIN "
                          "(SELECT c1 AS o, c2 AS h FROM values("
                          f"{', '.join(f'({n}, {t.hex()!r})' for n, t in enumerate(texts))})) AS s "
                          "ON l._offset = s.o")  # fmt: skip
    assert values == [(True,)] * len(texts)
    assert rows(engine) == {}


def test_the_good_rows_may_be_stored_beside_the_dead_letter(engine: Engine) -> None:
    engine.up(rows={"from": ["x"], "bad": "leave out"}, fields={"n": "UInt8"})
    engine.send(
        b'{"x":[{"n":1},{"n":-1},{"n":2},{"n":"y"},{"n":3}]}',
        b'{"x":[{"n":-1},{"n":4}]}',
        b'{"x":[{"n":5}]}',
        b'{"x":[{"n":-1}]}',
        b'{"x":[]}',
    )
    assert rows(engine) == {0: [(1,), (2,), (3,)], 1: [(4,)], 2: [(5,)]}
    assert engine.query("SELECT _offset, _rows FROM {db}.events WHERE _row = 0 ORDER BY 1") == [
        (0, 4), (1, 2), (2, 1),
    ]  # fmt: skip
    letters = "SELECT _offset, field, _row, _rows, value FROM {db}.dead_letters ORDER BY _offset"
    assert [each[:4] for each in engine.query(letters)] == [
        (0, "x[1].n", 3, 0), (1, "x[0].n", 1, 0), (3, "x[0].n", 0, 1), (4, "", 0, 1),
    ]  # fmt: skip
    assert engine.query(letters)[1][4] == '{"x":[{"n":-1},{"n":4}]}'


def test_messages_may_be_arrays_objects_or_lines_of_them(engine: Engine) -> None:
    engine.up(rows={"from": ["*"], "texts": "lines", "single": True}, fields={"id": "UInt8"})
    engine.send(
        b'[{"id":1},{"id":2}]',
        b'{"id":3}\n{"id":4}\n',
        b'{"id":5}\r\n\r\n[{"id":6},{"id":7}]\r\n',
        b'{\n"id":8\n}',
        b'{"id":9}\n\n{"id":"x"}',
        b'{"id":9}\n[{"id":1},{"id":"x"}]',
        b'{"id":9}\n[{"id":',
        b'{"id":9}\n5',
        b" \n \n",
        b"[]",
    )
    expected = {0: [1, 2], 1: [3, 4], 2: [5, 6, 7], 3: [8]}
    assert rows(engine) == {at: [(n,) for n in each] for at, each in expected.items()}
    assert engine.rejected() == {
        4: ("wrong type", "line 3.id"),
        5: ("wrong type", "line 2[1].id"),
        6: ("not JSON", "line 2"),
        7: ("not an object", "line 2"),
        8: ("empty message", ""),
        9: ("no rows", ""),
    }


def test_lines_need_no_array(engine: Engine) -> None:
    engine.up(rows={"texts": "lines"}, fields={"id": "UInt8"})
    engine.send(b'{"id":1}', b' {"id":2} \n\t{"id":3}', b"[]")
    assert rows(engine) == {0: [(1,)], 1: [(2,), (3,)]}
    assert engine.rejected() == {2: ("not an object", "line 1")}


def test_lines_have_arrays_and_json_in_strings_as_messages_have(engine: Engine) -> None:
    engine.up(
        rows={"texts": "lines"},
        unpack=["M", "größe/x"],
        fields={
            "id": {"type": "UInt8", "from": ["M", "id"]},
            "tag": {"type": "Nullable(String)", "from": ["tags", 0]},
            "n": {"type": "Nullable(UInt8)", "from": ["größe/x", "n"]},
        },
    )
    lines: list[Any] = [{"M": json.dumps({"id": 1}, indent=2), "größe/x": '{"n":5}', "tags": ["a"]}]
    lines += [{"M": {"id": 2}}, {"M": '\ufeff{"id":3}', "größe/x": {"n": 6}}]
    escaped, plain = (
        "\n".join(json.dumps(line, ensure_ascii=ascii) for line in lines).encode()
        for ascii in (True, False)
    )
    slashes = plain.replace(b"/", b"\\/")
    engine.send(escaped, plain, slashes, json.dumps(lines[0], indent=1).encode(), b'{"M":"{"}\n5')
    three = [(1, "a", 5), (2, None, None), (3, None, 6)]
    assert rows(engine) == {0: three, 1: three, 2: three, 3: three[:1]}
    assert engine.rejected() == {4: ("wrong type", "line 1.id")}


def test_strings_of_json_in_lines_may_have_what_their_fields_accept(engine: Engine) -> None:
    fields = {"n": {"type": "Float64", "from": ["M", "n"], "accept": ["nan"]}}
    engine.up(rows={"texts": "lines"}, unpack=["M"], fields=fields)
    engine.send(b'{"M":"{\\"n\\":-Infinity}"}\n{"M":{"n":2.5}}')
    assert engine.query("SELECT toString(n) FROM {db}.events ORDER BY _row") == [
        ("-inf",),
        ("2.5",),
    ]


def test_an_array_of_arrays_and_of_values(engine: Engine) -> None:
    engine.up(
        rows=["*", "*"],
        fields={"n": {"type": "UInt8", "from": ["$", "*", "*"]}},
    )
    engine.send(b"[[1,2],[],[3]]", b"[[1],[true]]", b"[[1],5]", b"{}")
    assert rows(engine) == {0: [(1,), (2,), (3,)]}
    assert engine.rejected() == {
        1: ("wrong type", "[1][0].n"),
        2: ("wrong type", "[1]"),
        3: ("wrong type", ""),
    }


def test_a_message_that_is_an_array_of_values_is_a_row(engine: Engine) -> None:
    engine.up(
        rows=[],
        fields={
            "at": {"type": "DateTime64(3, 'UTC')", "from": ["$", 0], "epoch": "ms"},
            "price": {"type": "Decimal(18, 8)", "from": ["$", 1], "accept": ["spellings"]},
            "pair": {"type": "Nullable(String)", "from": ["$", 2, "pair"]},
            "last": {"type": "Nullable(Int32)", "from": ["$", -1]},
        },
    )
    sent = [
        b'[1714979289123, "0.01634790", {"pair": "a/b"}, 7]',
        b"[1714979289123, 1234567890.12345678, null, null]",
        b'[1714979289123, "x", {}, 7]',
        b"[1714979289123]",
        b'[1714979289123, 1, {"pair": "a", "pair": "b"}, 7]',
        b'{"a": 1}',
        b"[]",
        b"7",
        b"[1",
    ]
    engine.send(*sent)
    stored = rows(engine, "toString(at)", "toString(price)", "pair", "last")
    at = "2024-05-06 07:08:09.123"
    assert stored == {
        0: [(at, "0.0163479", "a/b", 7)],
        1: [(at, "1234567890.12345678", None, None)],
    }
    assert engine.rejected() == {
        2: ("wrong type", "price"),
        3: ("field missing", "price"),
        4: ("duplicate key", ""),
        5: ("not an array", ""),
        6: ("field missing", "at"),
        7: ("not an array", ""),
        8: ("not JSON", ""),
    }


def test_rules_and_columns_see_the_row(engine: Engine) -> None:
    engine.up(
        rows=["x"],
        fields={"n": "UInt8"},
        columns={"double": "n * 2", "raw": "assumeNotNull(_value)", "at": "_row + 1"},
        rejects={"too large": "n > 100", "": "n = 99"},
        order_by=("double",),
    )
    engine.send(b'{"x": [ {"n" : 1, "m":[1.50]}, {"n":2}]}', b'{"x":[{"n":1},{"n":101}]}',
                b'{"x":[{"n":99}]}')  # fmt: skip
    assert rows(engine, "double", "raw", "at") == {
        0: [(2, '{"n":1,"m":[1.5]}', 1), (4, '{"n":2}', 2)]
    }
    assert engine.rejected() == {1: ("too large", "x[1]"), 2: ("", "x[0]")}


NUMBERS = [
    "0.1234567890123456789", "12345678901234567890123456789", "18446744073709551615", "1.0", "-0",
    "-0.0", "1e3", "1.5E+2", "123456.7890123456789", "1544712660.300000001", "1e400", "true",
    '"1.5"', '"~n5"', '"a~"', '"~s\\"~n1\\""', '"\\u0000\\ud83d\\ude00"', '"\\ud800"', "null",
]  # fmt: skip
KINDS = ["Float64", "Decimal(38, 19)", "UInt64", "Int128", "UInt8", "String", "Nullable(Float32)"]


def test_a_value_in_an_element_is_taken_as_strictly_as_in_a_message(
    engine: Engine, make_engine: Any
) -> None:
    """Whatever the engine does to numbers when it takes an element out of an array."""
    flat = make_engine()
    kinds = {f"n{at}": kind for at, kind in enumerate(KINDS)}
    good = {name: '"5"' if kind == "String" else "5" for name, kind in kinds.items()}
    flat.up(fields={**kinds, "j": {"type": "Nullable(String)", "json": "text"}})
    engine.up(rows=["x"], fields=flat.pipeline.fields)
    for extra in ("", ',"j":{"k":[1.0,2e5,"~n1"]}'):
        texts = []
        for name in kinds:
            others = "".join(f',"{each}":{good[each]}' for each in kinds if each != name)
            texts += [f'{{"{name}":{each}{others}{extra}}}' for each in NUMBERS]
        start = flat.send(*(text.encode() for text in texts))
        engine.send(*(f'{{"y":[1.25,"~"],"x":[{text}]}}'.encode() for text in texts))
        wanted = {at: [row] for at, row in flat.stored(*kinds, "j", since=start).items()}
        found = {at: each for at, each in rows(engine, *kinds, "j").items() if at >= start}
        assert found == wanted
        reasons = flat.rejected(since=start)
        assert {field for _, field in reasons.values()} >= {*kinds} - {"n6"}
        where = {"not JSON": ""}
        assert engine.rejected(since=start) == {
            at: (why, where.get(why, f"x[0].{field}")) for at, (why, field) in reasons.items()
        }


def test_many_rows_and_large_ones(engine: Engine) -> None:
    engine.up(rows=["x"], fields={"n": "UInt32", "t": "Nullable(String)"})
    many = b'{"x":[' + b",".join(b'{"n":%d}' % n for n in range(300_000)) + b"]}"
    large = json.dumps({"x": [{"n": n, "t": "é" * 500_000} for n in range(3)]}).encode()
    deep = b'{"x":[{"n":1,"d":' + b"[" * 900 + b"]" * 900 + b"}]}"
    engine.send(many, large, deep)
    assert engine.query("SELECT _offset, count(), sum(n), sum(_rows), max(length(t)) "
                        "FROM {db}.events GROUP BY 1 ORDER BY 1") == [
        (0, 300_000, 300_000 * 299_999 // 2, 300_000, None), (1, 3, 3, 3, 1_000_000),
        (2, 1, 1, 1, None),
    ]  # fmt: skip
    assert engine.rejected() == {}
    parts = "system.parts WHERE database = '{db}' AND table = 'events' AND active"
    assert engine.value(f"SELECT count() FROM {parts}") == 1


def test_a_repeat_under_the_same_token_changes_nothing(engine: Engine) -> None:
    engine.up(rows=["x"], fields={"n": "UInt32"}, partition_by="n % 3")
    values = [b'{"x":[{"n":1},{"n":2},{"n":3}]}', b'{"x":[{"n":-1}]}'] * 50
    for _ in range(2):
        engine.send(*values, token="t", offset=0)
    assert engine.query("SELECT count(), sum(_rows) FROM {db}.events") == [(150, 150)]
    assert len(engine.rejected()) == 50


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rows": []}, "write the keys that lead to the rows"),
        ({"rows": [], "at": ["x", 0]}, "write the keys that lead to the rows"),
        ({"rows": "x"}, "write the keys that lead to the rows"),
        ({"rows": ["x"], "at": ["$", "x"]}, "fields.at: from: ['$', 'x'] contains"),
        ({"rows": ["x"], "at": ["$"]}, "contains the row itself"),
        ({"rows": ["x"], "at": ["$", "y", "*", "z"]}, 'only be used as in ["$", "x", "*", …]'),
        ({"rows": ["x"], "at": ["$", 0]}, "there is an object before 0"),
        ({"rows": ["*"], "at": ["$", "y"]}, "there is an array before 'y'"),
        ({"rows": ["x", 5]}, "5 is no step to the rows"),
        ({"rows": ["x", []]}, "[] is no step to the rows"),
        ({"rows": ["x", ["y", "*"]]}, "['y', '*'] is no step to the rows"),
        ({"rows": ["x", ["y", "y"]]}, "['y', 'y'] has a key twice"),
        ({"rows": [["x", "y"]], "at": ["$", "y"]}, "contains the row itself"),
        (
            {"rows": [["x", "y"]], "at": ["$", "z", "*", "i"]},
            'only be used as in ["$", "x", "*", …]',
        ),
    ],
)
def test_a_place_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    place = given.pop("at", None)
    fields = {"at": {"type": "String", "from": place}} if place else {"n": "UInt8"}
    with pytest.raises(ValueError, match=re.escape(said)):
        Pipeline.model_validate({**given, "fields": fields})


def test_rows_of_several_rows_cannot_be_taken_for_messages(engine: Engine) -> None:
    engine.up(rows=["x"], fields={"n": "UInt8"})
    engine.up(fields={"n": "UInt8"})
    columns = "SELECT name FROM system.columns WHERE database = '{db}' AND table = 'events'"
    assert ("_rows",) not in engine.query(columns)
    engine.up(rows=["x"], fields={"n": "UInt8"})
    engine.send(b'{"x":[{"n":1},{"n":2}]}')
    with pytest.raises(ConfigError, match="a message may be several rows") as refused:
        engine.steps(Pipeline.model_validate({"fields": {"n": "UInt8"}}))
    assert "replay load --into events_2 --swap" in str(refused.value.hint)


def test_times_and_decimals_from_elements(engine: Engine) -> None:
    engine.up(
        rows=["features"],
        fields={
            "id": "String",
            "mag": {"type": "Nullable(Float64)", "from": ["properties", "mag"]},
            "at": {"type": "DateTime64(3, 'UTC')", "from": ["properties", "time"], "epoch": "ms"},
            "xyz": {"type": "Array(Float64)", "from": ["geometry", "coordinates"]},
            "count": {"type": "Decimal(9, 2)", "from": ["$", "metadata", "count"]},
        },
    )
    feature = {
        "id": "us1",
        "properties": {"mag": None, "time": 1706843045123},
        "geometry": {"coordinates": [-122.5, 38.25, 3.0]},
    }
    message = json.dumps({"metadata": {"count": 2.5}, "features": [feature, feature]}, indent=1)
    engine.send(message.encode())
    at = datetime(2024, 2, 2, 3, 4, 5, 123000, tzinfo=UTC)
    ((_, *found), _) = rows(engine)[0]
    assert found[0] is None
    assert found[1].replace(tzinfo=UTC) == at
    assert found[2:] == [[-122.5, 38.25, 3.0], Decimal("2.50")]


METRICS: dict[str, Any] = {
    "rows": ["metrics", ["sum", "gauge", "a b"], "dataPoints"],
    "fields": {
        "value": {"type": "Nullable(Float64)", "from": "asDouble"},
        "name": {"type": "Nullable(String)", "from": ["$", "metrics", "*", "name"]},
        "monotonic": {
            "type": "Nullable(Bool)",
            "from": ["$", "metrics", "*", "sum", "isMonotonic"],
        },
        "unit": {"type": "Nullable(String)", "from": ["$", "metrics", "*", "gauge", "*", "unit"]},
    },
}


def points(*values: Any) -> dict[str, Any]:
    return {"dataPoints": [{"asDouble": each} for each in values]}


def test_each_of_several_keys_that_is_there_leads_to_rows(engine: Engine) -> None:
    engine.up(**METRICS)
    message = {
        "metrics": [
            {"name": "a", "sum": {**points(1.5, 2), "isMonotonic": True, "unit": "s"}},
            {"name": "b", "gauge": {**points(3), "unit": "g"}, "sum": None},
            {"name": "c", "gauge": [points(4), {**points(5), "unit": "h"}]},
            {"name": "d", "a b": points(6), "sum": points(7), "gauge": {"dataPoints": []}},
            {"name": "e", "gauge": points()},
        ]
    }
    engine.send(json.dumps(message).encode())
    assert rows(engine)[0] == [
        (1.5, "a", True, "s"), (2.0, "a", True, "s"), (3.0, "b", None, "g"),
        (4.0, "c", None, None), (5.0, "c", None, "h"), (7.0, "d", None, None),
        (6.0, "d", None, None),
    ]  # fmt: skip


SEVERAL_KEYS: dict[str, tuple[Any, str]] = {
    "none": ({"metrics": [{"name": "a"}]}, "field missing:metrics[0].sum or gauge or a b"),
    "null": ({"metrics": [{"gauge": None}]}, "field is null:metrics[0].sum or gauge or a b"),
    "a text": (
        {"metrics": [{"gauge": points(1)}, {"gauge": "x"}]},
        "wrong type:metrics[1].gauge",
    ),
    "an empty key": (
        {"metrics": [{"": points(1)}]},
        "field missing:metrics[0].sum or gauge or a b",
    ),
    "a number": ({"metrics": [7]}, "wrong type:metrics[0]"),
    "twice": (b'{"metrics":[{"sum":{},"sum":{}}]}', "duplicate key:metrics[0]"),
    "missing inside": ({"metrics": [{"gauge": {}}]}, "field missing:metrics[0].gauge.dataPoints"),
    "inside an array": (
        {"metrics": [{"name": "a", "a b": [points(1), points(2, "x")]}]},
        'wrong type:metrics[0]["a b"][1].dataPoints[1].value',
    ),
    "around": (
        {"metrics": [{"sum": points(1), "name": 5}]},
        "wrong type:metrics[0].sum.dataPoints[0].name",
    ),
    "nothing": ({"metrics": []}, "no rows:"),
}  # fmt: skip


def test_a_fault_below_one_of_several_keys_is_named_by_that_key(engine: Engine) -> None:
    engine.up(**METRICS)
    engine.send(
        *(each if isinstance(each, bytes) else json.dumps(each).encode()
          for each, _ in SEVERAL_KEYS.values())
    )  # fmt: skip
    found = engine.query(
        "SELECT concat(reason, ':', field) FROM {db}.dead_letters ORDER BY _offset"
    )
    assert [each for (each,) in found] == [wanted for _, wanted in SEVERAL_KEYS.values()]
    assert engine.query("SELECT count() FROM {db}.events") == [(0,)]


def test_several_keys_at_the_end_and_one_after_the_other(engine: Engine) -> None:
    engine.up(
        rows={"from": [["created", "removed"], ["x", "y"]], "single": True, "texts": "lines"},
        fields={
            "id": "UInt8",
            "by": {"type": "Nullable(String)", "from": ["$", "removed", "*", "by"]},
        },
    )
    engine.send(
        b'{"created":{"x":[{"id":1}],"by":"b"},"removed":[{"y":{"id":2}},{"y":[],"x":{"id":3}}]}\n'
        b'{"removed":{"x":{"id":4},"by":"c"}}',
        b'{"created":{"x":[{"id":1}]}}\n{"removed":{"y":[{"id":1},{"id":-1}]}}',
    )
    assert rows(engine) == {0: [(1, "b"), (2, None), (3, None), (4, "c")]}
    assert engine.query("SELECT field FROM {db}.dead_letters") == [("line 2.removed.y[1].id",)]
