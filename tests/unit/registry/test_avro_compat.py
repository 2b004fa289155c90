"""Which Avro schemas read what others write, held against a reader and against cases by hand."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_one

from nrtctl.local.registry.avro_compat import Budget, TooMuch, faults
from nrtctl.local.registry.avro_schema import NotAvro, read


def told(reader: Any, writer: Any, steps: int = 10_000) -> list[str]:
    return faults(read(reader, {}), read(writer, {}), Budget(steps))


def record(*fields: Any, **more: Any) -> dict[str, Any]:
    named = [{"name": f"f{at}", **each} for at, each in enumerate(fields)]
    return {"type": "record", "name": "R", "fields": named, **more}


X = {"name": "x", "type": "int"}
NODE = {
    "type": "record", "name": "Node", "fields": [
        {"name": "next", "type": ["null", "Node"]}, {"name": "v", "type": "int"},
    ],
}  # fmt: skip
E, F = {"type": "enum", "name": "E"}, {"type": "fixed", "name": "F"}


@pytest.mark.parametrize(
    ("reader", "writer", "first"),
    [
        ("long", "int", None),
        ("int", "long", "/: int cannot be read from long"),
        ("double", "long", None),
        ("float", "double", "/: float cannot be read from double"),
        ("bytes", "string", None),
        ("string", "bytes", None),
        ("boolean", "int", "/: boolean cannot be read from int"),
        (["null", "long"], "int", None),
        (["null", "long"], ["int", "null"], None),
        (["null", "int"], "long", "/: no branch of the union can be read from long"),
        ("int", ["null", "int"], "/: int cannot be read from null"),
        ("int", ["int"], None),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, None),
        (
            {"type": "map", "values": "int"}, {"type": "map", "values": "string"},
            "/values: int cannot be read from string",
        ),
        ({**E, "symbols": ["A", "B"]}, {**E, "symbols": ["A"]}, None),
        (
            {**E, "symbols": ["A"]}, {**E, "symbols": ["A", "B"]},
            "/: enum E lacks B, and has no default",
        ),
        ({**E, "symbols": ["A"], "default": "A"}, {**E, "symbols": ["A", "B"]}, None),
        ({**F, "size": 4}, {**F, "size": 5}, "/: fixed F has 4 bytes, and 5 are written"),
        (
            {**F, "size": 4}, {**F, "size": 4, "name": "G"},
            "/: fixed F cannot be read from fixed G: another name",
        ),
        ({**F, "size": 4, "aliases": ["G"]}, {**F, "size": 4, "name": "G"}, None),
        ({**F, "size": 4, "namespace": "a"}, {**F, "size": 4, "namespace": "b"}, None),
        (record({"type": "int"}), record({"type": "int"}, {"type": "int"}), None),
        (
            record({"type": "int"}), record(),
            "/f0: the field is not written, and has no default",
        ),
        (record({"type": "int", "default": 1}), record(), None),
        (
            record({"type": "int", "name": "x", "aliases": ["y"]}),
            record({"type": "int", "name": "y"}), None,
        ),
        (NODE, NODE, None),
        (
            NODE, json.loads(json.dumps(NODE).replace('"int"', '"string"')),
            "/v: int cannot be read from string",
        ),
    ],
)  # fmt: skip
def test_each_rule(reader: Any, writer: Any, first: str | None) -> None:
    found = told(reader, writer)
    assert (found[0] if found else None) == first


def test_a_guess_about_a_type_that_contains_itself_does_not_outlive_what_refutes_it() -> None:
    """A checker that remembers "holds", said of B while A was still being looked at, says that all
    of it can be read: Apache's `avro` 1.12.2 does. A itself can be read as an n.A, and B cannot."""

    def whole(kind: str, *more: Any) -> dict[str, Any]:
        b = {"type": "record", "name": "B", "fields": [{"name": "a", "type": ["null", "A"]}]}
        a = {"type": "record", "name": "A", "fields": [
            {"name": "b", "type": ["null", b]}, {"name": "v", "type": kind}]}  # fmt: skip
        fields = [{"name": "x", "type": ["null", a, *more]}, {"name": "y", "type": ["null", "B"]}]
        return {"type": "record", "name": "R", "fields": fields}

    reader = whole("int", {"type": "record", "name": "n.A", "fields": []})
    why = "/y: no branch of the union can be read from record B"
    assert told(reader, whole("string")) == [why]


def random_schema(dice: random.Random, names: list[str], depth: int = 0) -> Any:
    simple = ["null", "boolean", "int", "long", "float", "double", "string", "bytes"]
    kind = dice.choice(
        [*simple, "array", "map", "record", "enum", "fixed", "union"][: 8 if depth > 2 else None]
    )
    match kind:
        case "array" | "map":
            key = "items" if kind == "array" else "values"
            return {"type": kind, key: random_schema(dice, names, depth + 1)}
        case "union":
            return dice.sample(simple, dice.randint(1, 3))
        case "enum" | "fixed" | "record":
            name = f"T{len(names)}"
            names.append(name)
            if kind == "fixed":
                return {"type": kind, "name": name, "size": dice.randint(1, 2)}
            if kind == "enum":
                symbols = dice.sample(["A", "B", "C"], dice.randint(1, 3))
                return {"type": kind, "name": name, "symbols": symbols}
            fields = [
                {"name": field, "type": random_schema(dice, names, depth + 1)}
                for field in dice.sample("abc", dice.randint(1, 3))
            ]
            return {"type": kind, "name": name, "fields": fields}
    return kind


def changed(schema: Any, dice: random.Random) -> Any:
    """The same with a few places otherwise."""
    if isinstance(schema, dict):
        return {
            key: changed(each, dice) if key in {"fields", "type", "items", "values"} else each
            for key, each in schema.items()
        }
    if isinstance(schema, list):
        kept = [changed(each, dice) for each in schema if len(schema) < 2 or dice.random() > 0.1]
        return kept if schema and isinstance(schema[0], dict) else list(dict.fromkeys(kept))
    if schema in {"int", "long", "float", "string"} and dice.random() < 0.3:
        return dice.choice(["long", "double", "bytes", "string"])
    return schema


def test_what_is_said_to_be_readable_is_read() -> None:
    dice, agreed, refused = random.Random(3), 0, 0
    for _ in range(600):
        writer = random_schema(dice, [])
        reader = changed(writer, dice)
        try:
            problems = told(reader, writer)
        except NotAvro:
            continue
        if problems:
            refused += 1
            continue
        agreed += 1
        written, wanted = fastavro.parse_schema(writer), fastavro.parse_schema(reader)
        out = io.BytesIO()
        random.seed(dice.random())
        fastavro.schemaless_writer(out, written, generate_one(written))
        out.seek(0)
        fastavro.schemaless_reader(out, written, wanted)
    assert agreed > 100
    assert refused > 40


def test_a_comparison_is_bounded() -> None:
    many = [
        {"type": "record", "name": f"R{at}", "fields": [{"name": "x", "type": "int"}]}
        for at in range(300)
    ]
    with pytest.raises(TooMuch):
        told(many, many, steps=80_000)
    chain: Any = "int"
    named: dict[str, Any] = {}
    fields = []
    for at in range(3000):
        one = {"type": "record", "name": f"R{at}", "fields": [{"name": "x", "type": chain}]}
        fields.append({"name": f"f{at}", "type": one})
        chain = f"R{at}"
    long = read({"type": "record", "name": "All", "fields": fields}, named)
    assert faults(long, long, Budget(100_000)) == []


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "record", "name": "1a", "fields": []}, "'1a' is not a valid name for a record"),
        ({"type": "record", "name": "A"}, "the record A has no list of 'fields'"),
        ({"type": "enum", "name": "A", "symbols": ["x", "x"]}, "the enum A has a symbol twice"),
        ({"type": "fixed", "name": "A", "size": -1}, "the fixed A has no sound 'size'"),
        ({"type": "fixed", "name": "A", "size": True}, "the fixed A has no sound 'size'"),
        ({"type": "fixed", "name": "string", "size": 1}, "the name string is taken"),
        (["int", ["null"]], "a union is directly inside a union"),
        (["int", "int"], "a union has int twice"),
        ("Nope", "the type 'Nope' is not known"),
        (7, "a type is a name, a list of types, or an object with a 'type'"),
        (record({"type": "int", "default": "x"}), "the default of field R.f0 is not of type int"),
        (record(X, X), "the record R has the field x twice"),
        (record({"type": "int"}, aliases="x"), "aliases are a list of names"),
    ],
)  # fmt: skip
def test_what_is_no_schema_is_said(schema: Any, why: str) -> None:
    with pytest.raises(NotAvro) as error:
        read(schema, {})
    assert str(error.value) == why


def test_defaults_are_looked_at_for_a_bounded_time() -> None:
    inner: Any = {}
    for _ in range(40):
        inner = {"a": inner}
    loop = {"type": "record", "name": "A", "fields": [
        {"name": "a", "type": ["null", "A", {"type": "record", "name": "B", "fields": [
            {"name": "a", "type": ["null", "A", "B"]}, {"name": "no", "type": "int"}]}]},
        {"name": "no", "type": "int"},
    ]}  # fmt: skip
    with pytest.raises(NotAvro, match="its defaults are too large"):
        read({"type": "record", "name": "R", "fields": [
            {"name": "x", "type": loop, "default": inner}]}, {})  # fmt: skip
