"""Messages as bytes: whatever comes is a correct row or a dead letter, and the engine survives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.pipeline_engine import Engine

FIELDS = {"id": "Int64", "name": "String", "note": "Nullable(String)"}
ROW = (1, "a", None)
NOT_JSON, TWICE, NO_OBJECT = "not JSON:", "duplicate key:", "not an object:"


def message(more: bytes) -> bytes:
    return b'{"id":1,"name":"a"' + more + b"}"


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return message(b',"x":' + opening * levels + closing * levels)


GOOD = message(b"")
FORMS: dict[str, tuple[bytes | None, Any]] = {
    "plain": (GOOD, ROW),
    "tombstone": (None, "null value:"),
    "empty": (b"", "empty message:"),
    "white space only": (b" \n", NOT_JSON),
    "white space around": (b"\r\n\t " + GOOD + b" \t\r\n", ROW),
    "white space within": (b'{ "id" : 1 ,\n"name"\t: "a" }', ROW),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, ROW),
    "UTF-16": (GOOD.decode().encode("utf-16-le"), NOT_JSON),
    "two objects": (GOOD + GOOD, NOT_JSON),
    "two objects on two lines": (GOOD + b"\n" + GOOD, NOT_JSON),
    "comma behind": (GOOD + b",", NOT_JSON),
    "trailing comma": (message(b","), NOT_JSON),
    "single quotes": (b"{'id':1,'name':'a'}", NOT_JSON),
    "comment": (GOOD + b"// x", NOT_JSON),
    "unquoted key": (b'{id:1,"name":"a"}', NOT_JSON),
    "NaN": (message(b',"x":NaN'), NOT_JSON),
    "leading zero": (message(b',"x":01'), NOT_JSON),
    "plus sign": (message(b',"x":+1'), NOT_JSON),
    "cut off": (GOOD[:-1], NOT_JSON),
    "NUL byte in a string": (message(b',"x":"\0"'), NOT_JSON),
    "NUL byte behind": (GOOD + b"\0", NOT_JSON),
    "tab in a string": (message(b',"x":"\t"'), NOT_JSON),
    "lone surrogate": (message(rb',"note":"\ud800"'), NOT_JSON),
    "bad escape": (message(rb',"note":"\x41"'), NOT_JSON),
    "invalid UTF-8 in a value": (message(b',"note":"\xff"'), "invalid UTF-8:"),
    "invalid UTF-8 in a key": (message(b',"\xff":1'), "invalid UTF-8:"),
    "encoded surrogate": (message(b',"note":"\xed\xa0\x80"'), "invalid UTF-8:"),
    "overlong UTF-8": (message(b',"note":"\xc0\x80"'), "invalid UTF-8:"),
    "array": (b"[" + GOOD + b"]", NO_OBJECT),
    "array of values": (b'[1,"a"]', NO_OBJECT),
    "string": (b'"a"', NO_OBJECT),
    "object in a string": (json.dumps(GOOD.decode()).encode(), NO_OBJECT),
    "number": (b"1", NO_OBJECT),
    "huge number": (b"9" * 400, NO_OBJECT),
    "equal keys": (message(b',"name":"b"'), TWICE),
    "equal keys and values": (message(b',"name":"a"'), TWICE),
    "equal unknown keys": (message(b',"x":1,"x":1'), TWICE),
    "equal keys, one escaped": (message(rb',"n\u0061me":"b"'), TWICE),
    "equal empty keys": (message(b',"":1,"":2'), TWICE),
    "equal keys in an ignored object": (message(b',"x":{"y":1,"y":2}'), ROW),
    "a field's name in an ignored object": (message(b',"x":{"id":2}'), ROW),
    "escaped key": (rb'{"\u0069d":1,"name":"a"}', ROW),
    "other case": (message(b',"ID":2,"Name":"b"'), ROW),
    "other case alone": (b'{"ID":1,"name":"a"}', "field missing:id"),
    "odd keys": (message('," ":1,"a.b":1,"`":1,"\'":1,"\\"":1,"ключ":1,"--":1'.encode()), ROW),
    "colons in a value": (message(b',"note":"a:b::c"'), (1, "a", "a:b::c")),
    "a message in a value": (
        message(b',"note":' + json.dumps(GOOD.decode()).encode()), (1, "a", GOOD.decode())
    ),
    "NULL as a word": (message(b',"note":"NULL"'), (1, "a", "NULL")),
    "backslash N": (message(rb',"note":"\\N"'), (1, "a", "\\N")),
    "null twice": (message(b',"note":null,"note":null'), TWICE),
    "2 MB value": (message(b',"note":"' + b"x" * 2_000_000 + b'"'), (1, "a", "x" * 2_000_000)),
    "2 MB of brackets in a value": (
        message(b',"note":"' + b"[" * 2_000_000 + b'"'), (1, "a", "[" * 2_000_000)
    ),
    "2 MB of unknown keys": (
        message(b"".join(b',"k%d":%d' % (n, n) for n in range(120_000))), ROW
    ),
    "1000 levels": (nested(1000), ROW),
    "1100 levels": (nested(1100), NOT_JSON),
    "100,000 levels": (nested(100_000), NOT_JSON),
    "100,000 levels of objects": (nested(100_000, b'{"a":', b"}")[:-1] + b"1}", NOT_JSON),
    "1,000,000 levels, never closed": (message(b',"x":' + b"[" * 1_000_000), NOT_JSON),
}  # fmt: skip


@pytest.fixture(scope="module")
def objects(one_engine: Engine) -> Engine:
    one_engine.up(fields=FIELDS)
    return one_engine


def test_forms(objects: Engine) -> None:
    fates = objects.fates(*(value for value, _ in FORMS.values()))
    for (name, (_, expected)), fate in zip(FORMS.items(), fates, strict=True):
        assert fate == expected, name


@pytest.mark.parametrize("name", ["2 MB value", "1000 levels", "100,000 levels", "NUL byte behind"])
def test_form_alone(objects: Engine, name: str) -> None:
    """In a batch of its own, with no good neighbour."""
    value, expected = FORMS[name]
    assert objects.fates(value) == [expected]


def test_a_dead_letter_keeps_the_bytes_that_came(objects: Engine) -> None:
    start = objects.send(*(value for value, _ in FORMS.values()))
    kept = dict(objects.query("SELECT _offset, hex(value) FROM {db}.dead_letters"))
    for offset, (name, (value, expected)) in enumerate(FORMS.items(), start):
        if isinstance(expected, str):
            assert kept[offset] == (None if value is None else value.hex().upper()), name


def test_names_like_keywords_functions_and_columns(engine: Engine) -> None:
    names = ["value", "key", "reason", "select", "from", "true", "count", "x", "i", "Id", "table"]
    engine.up(fields=dict.fromkeys(names, "Int8"), columns={"total": "`select` + `value`"})
    engine.send(json.dumps({name: at for at, name in enumerate(names)}).encode())
    assert engine.stored(*(f"`{n}`" for n in names), "total") == {0: (*range(len(names)), 3)}


KEEPING = {
    "text": {"type": "Nullable(String)", "json": "text"},
    "any": {"type": "Nullable(String)", "values": "text"},
    "map": {"type": "Map(String, String)", "values": "text", "default": {}},
    "list": {"type": "Array(String)", "default": []},
    "nest": {"type": "Array(Tuple(a Array(String)))", "default": []},
    "whole": "Nullable(JSON)",
}  # fmt: skip
WORDS = [
    ("text", b'{"x":NaN}', '{"x":NaN}'),
    ("text", b"[1.50, -Infinity]", "[1.50, -Infinity]"),
    ("text", b"NaN", None),
    ("any", b"NaN", "NaN"),
    ("any", b"1e999", "Infinity"),
    ("any", b'{"x":[NaN]}', '{"x":[NaN]}'),
    ("any", b'"NaN"', "NaN"),
    ("map", b'{"a":NaN,"b":1.50,"c":[Infinity]}', {"a": "NaN", "b": "1.5", "c": "[Infinity]"}),
    ("map", b"NaN", None),
    ("list", b"NaN", None),
    ("list", b"[NaN]", None),
    ("nest", b'[{"a":NaN}]', None),
    ("whole", b'{"x":NaN}', None),
]
"""Field, value, and what is stored where the field accepts the words; None: it never does."""


@pytest.mark.parametrize("accept", [False, True])
def test_words_in_the_place_of_numbers_are_kept_as_such_or_refused(
    engine: Engine, accept: bool
) -> None:
    """A field that keeps what comes never stores what a message was made JSON with."""
    fields: dict[str, Any] = {"ratio": {"type": "Nullable(Float64)", "accept": ["nan"]}}
    for name, spec in KEEPING.items():
        takes = accept and name in {"text", "any", "map"}
        fields[name] = {**spec, "accept": ["nan"]} if takes and isinstance(spec, dict) else spec
    engine.up(fields=fields)
    values = (b'{"%b":%b,"ratio":NaN}' % (name.encode(), value) for name, value, _ in WORDS)
    names = list(fields)
    for (name, value, kept), fate in zip(WORDS, engine.fates(*values), strict=True):
        stored = kept is not None and (accept or value == b'"NaN"')
        assert (fate[names.index(name)] if stored else fate) == (
            kept if stored else f"wrong type:{name}"
        ), (name, value)


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False,
    allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_OBJECTS = st.dictionaries(st.sampled_from(["id", "name", "note", "other", "Id", "x"]), _JSON)


def expected(record: dict[str, Any]) -> Any:
    """What becomes of an object, by Python's idea of its values."""
    row: list[Any] = []
    for field, optional in (("id", False), ("name", False), ("note", True)):
        if field not in record and not optional:
            return f"field missing:{field}"
        value = record.get(field)
        if value is None:
            if not optional:
                return f"field is null:{field}"
            row.append(None)
            continue
        if field == "id":
            value = _integer(value)
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            value = str(value)  # the engine has no integer for it: docs/messages.md
        elif not isinstance(value, str):
            value = None
        if value is None:
            return f"wrong type:{field}"
        row.append(value)
    return tuple(row)


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


@settings(max_examples=15)
@given(st.lists(_OBJECTS, min_size=20, max_size=60))
def test_objects_against_python(objects: Engine, records: list[dict[str, Any]]) -> None:
    fates = objects.fates(*(json.dumps(record).encode() for record in records))
    for record, fate in zip(records, fates, strict=True):
        assert fate == expected(record), record


@settings(max_examples=15)
@given(st.lists(st.binary(max_size=40) | _TEXT.map(str.encode), min_size=20, max_size=60))
def test_any_bytes_are_accounted_for(objects: Engine, values: list[bytes]) -> None:
    for value, fate in zip(values, objects.fates(*values), strict=True):
        assert isinstance(fate, str), value
