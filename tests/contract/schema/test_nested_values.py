"""Random nested values against a model: stored as they are, or blamed at their place."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.schema.test_field_types import TYPES, WRONG
from tests.contract.schema.test_nested_types import alike
from tests.plugins.pipeline_engine import Engine

SEED = 20261129
LEAVES = (
    "String", "UInt8", "Int64", "Float64", "Bool", "UUID", "Decimal(9, 2)", "Date",
    "DateTime64(3, 'UTC')", "IPv4", "Enum16('5' = 1, 'true' = 1000)", "LowCardinality(String)",
)  # fmt: skip
KEYS = ("a", "b c", "ключ", 'q"', "", "n", "x.y")
OTHERS = ("5", '"x"', "true", "[]", "{}", '["a",1]', '{"z":[1]}', "[null,1]", "[[null,2]]", "1.5")
FIRST = {"tuple": "{", "map": "{", "array": "[", "listed": "["}
SPACE = ("", " ", "\n", "\t ")


@dataclass
class Kind:
    """A type: `text` as a pipeline has it; `inner` by name (None: no names)."""

    how: str
    text: str
    inner: list[tuple[str, Kind]]


def scalar(text: str) -> Kind:
    return Kind("leaf", text, [])


def kind(rng: random.Random, depth: int) -> Kind:
    how = rng.choice(["tuple", "array", "map", "leaf", "leaf"] if depth else ["leaf"])
    if how == "leaf":
        name = rng.choice(LEAVES)
        nullable = rng.random() < 0.3 and not name.startswith("Low")
        return scalar(f"Nullable({name})" if nullable else name)
    if how == "array" and rng.random() < 0.2:
        each = [scalar(rng.choice(LEAVES[:8])) for _ in range(2)]
        return Kind("listed", f"Tuple({each[0].text}, {each[1].text})", [("", k) for k in each])
    if how == "tuple":
        named = [(name, kind(rng, depth - 1)) for name in rng.sample(["k", "l m", "n", "_"], 3)]
        listed = ", ".join(f"`{name}` {each.text}" for name, each in named)
        return Kind(how, f"Tuple({listed})", named)
    inner = kind(rng, depth - 1)
    text = f"Array({inner.text})" if how == "array" else f"Map(String, {inner.text})"
    return Kind(how, text, [("", inner)])


@dataclass
class Value:
    """JSON text, and what the model says of it: `fault` (reason, place), else `stored`."""

    text: str
    stored: Any = None
    fault: tuple[str, str] | None = None


def step(key: str) -> str:
    plain = key.isascii() and key.isidentifier()
    return f".{key}" if plain else f"[{json.dumps(key, ensure_ascii=False)}]"


def value(rng: random.Random, of: Kind, place: str, bad: float) -> Value:
    """Args: bad: how likely each value is one that does not fit."""
    if rng.random() < bad / 2:
        fine = of.how == "leaf" and of.text.startswith("Nullable")
        return Value("null", None, None if fine else ("field is null", place))
    if of.how == "leaf":
        return leaf(rng, of.text, place, bad)
    if rng.random() < bad:
        text = rng.choice([each for each in OTHERS if not each.startswith(FIRST[of.how])])
        return Value(text, None, ("wrong type", place))
    space = rng.choice(SPACE)
    if of.how == "listed":
        each = [leaf(rng, k.text, f"{place}[{at}]", bad) for at, (_, k) in enumerate(of.inner)]
        fault = next((found.fault for found in each if found.fault), None)
        return Value(f"[{(',' + space).join(v.text for v in each)}]",
                     tuple(v.stored for v in each), fault)  # fmt: skip
    if of.how == "array":
        many = range(rng.choice([0, 1, 2, 3]))
        each = [value(rng, of.inner[0][1], f"{place}[{at}]", bad) for at in many]
        fault = next((found.fault for found in each if found.fault), None)
        return Value(f"[{space}{','.join(v.text for v in each)}]", [v.stored for v in each], fault)
    return an_object(rng, of, place, bad, space)


def an_object(rng: random.Random, of: Kind, place: str, bad: float, space: str) -> Value:
    if of.how == "map":
        keys = rng.sample(KEYS, rng.choice([0, 1, 2, 3]))
        named = [(key, of.inner[0][1]) for key in keys]
    else:
        named = of.inner
    pairs, stored, fault = [], {}, None
    for key, inner in named:
        found = value(rng, inner, place + step(key), bad)
        if of.how == "tuple" and rng.random() < bad / 3:
            fine = inner.how == "leaf" and inner.text.startswith("Nullable")
            found = Value("", None, None if fine else ("field missing", place + step(key)))
        else:
            pairs.append((key, found.text))
        stored[key] = found.stored
        fault = fault or found.fault
    if of.how == "tuple" and rng.random() < 0.2:
        pairs.insert(0, ("more", rng.choice(OTHERS)))
    if pairs and rng.random() < bad / 3:
        pairs.append((rng.choice(pairs)[0], rng.choice(OTHERS)))
        fault = ("duplicate key", place + step(pairs[-1][0]))
    colon = rng.choice([":", ": ", " :", "\n:"])
    inside = ",".join(json.dumps(key) + colon + text for key, text in pairs)
    return Value(f"{{{space}{inside}}}", stored, fault)


def leaf(rng: random.Random, text: str, place: str, bad: float) -> Value:
    inner = text.removeprefix("Nullable(")[:-1] if text.startswith("Nullable(") else text
    cases = [(k, v) for k, v in TYPES[inner].items() if k is not None]
    wrong = rng.random() < bad
    given, stored = rng.choice([each for each in cases if (each[1] == WRONG) is wrong])
    return Value(given, stored, ("wrong type", place) if wrong else None)


def messages(rng: random.Random, kinds: dict[str, Kind], count: int) -> Iterator[tuple[str, Any]]:
    for _ in range(count):
        wrong = rng.choice([*kinds, None])
        values = {name: value(rng, of, name, 0.15 if name == wrong else 0)
                  for name, of in kinds.items()}  # fmt: skip
        text = ", ".join(f'"{name}": {each.text}' for name, each in values.items())
        fault = values[wrong].fault if wrong else None
        yield (
            f'{{"at": "12:34:56", {text}}}',
            (":".join(fault) if fault else [each.stored for each in values.values()]),
        )


@pytest.mark.parametrize(
    ("fields", "count"), [(3, 300), pytest.param(7, 600, marks=pytest.mark.long)]
)
def test_random_values_are_stored_or_blamed_as_the_model_says(
    engine: Engine, fields: int, count: int
) -> None:
    """A plain array or map, of scalars, is blamed as a whole: test_field_types."""
    rng = random.Random(SEED)
    kinds: dict[str, Kind] = {}
    while len(kinds) < fields:
        made = kind(rng, 4)
        if made.how in {"tuple", "listed"} or any(each.inner for _, each in made.inner):
            kinds[f"f{len(kinds)}"] = made
    engine.up(fields={name: each.text for name, each in kinds.items()})
    given = list(messages(rng, kinds, count))
    fates = engine.fates(*(text.encode() for text, _ in given))
    good = 0
    for (text, expected), fate in zip(given, fates, strict=True):
        if isinstance(expected, str):
            assert fate == expected, text
        else:
            good += 1
            assert not isinstance(fate, str), (text, fate)
            assert alike(list(fate), expected), (text, fate)
    assert count / 4 < good < count * 3 / 4
