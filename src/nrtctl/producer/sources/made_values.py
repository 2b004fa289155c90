"""Values that a field stores as they are, made from its type and what else is said of it. Pure.

Called by `own_events`.
"""

from __future__ import annotations

import base64
import datetime
import random
import re
import uuid
from collections.abc import Callable
from typing import Any

from nrtctl.pipeline.casts import decimal_digits
from nrtctl.pipeline.fields import FieldSpec
from nrtctl.pipeline.nested import GEOMETRIES
from nrtctl.pipeline.time_formats import ISO
from nrtctl.pipeline.times import scale_of
from nrtctl.pipeline.type_text import element, taken_apart

Make = Callable[[random.Random, int], Any]
"""A value of JSON. Args: the random numbers, and the time of the event in microseconds since 1970.
Two calls with equal random numbers and times give the same value."""

WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath")
ONE_IN = 20
"""Values of which one is null, of those that may be."""
LARGEST = 10_000
MOST_ELEMENTS = 3

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1, "d": 86_400_000_000}
_ENUM_NAME = re.compile(r"'((?:[^'\\]|\\.)+)'")


class NotMade(ValueError):
    """No values are made for a type; the text says of which."""


def maker(name: str, spec: FieldSpec) -> Make:
    """What makes values of the field `name`. Raises NotMade."""
    if spec.json_ == "text":
        return lambda rng, now: {"value": rng.randrange(LARGEST)}
    return _of_type(spec.type.strip(), name, spec)


def _of_type(kind: str, name: str, spec: FieldSpec) -> Make:
    outer, inside = taken_apart(kind)
    kind = GEOMETRIES.get(kind, kind)
    if outer in GEOMETRIES:
        outer, inside = taken_apart(kind)
    match outer:
        case "LowCardinality" if inside[0] in ("String", "Nullable(String)") and not spec.format:
            words: Make = lambda rng, now: rng.choice(WORDS)  # noqa: E731
            return words if inside[0] == "String" else _nullable(words)
        case "LowCardinality":
            return _of_type(inside[0], name, spec)
        case "Nullable":
            return _nullable(_of_type(inside[0], name, spec))
        case "Array":
            return _list(_of_type(inside[0], name, spec))
        case "Nested":
            return _list(_object(inside, spec))
        case "Tuple":
            return _object(inside, spec)
        case "Map":
            value = _of_type(inside[1], name, spec)
            return lambda rng, now: {key: value(rng, now) for key in rng.sample(WORDS, 2)}
    return _scalar(kind, outer, inside, name, spec)


def _nullable(make: Make) -> Make:
    return lambda rng, now: None if rng.randrange(ONE_IN) == 0 else make(rng, now)


def _list(make: Make) -> Make:
    return lambda rng, now: [make(rng, now) for _ in range(rng.randint(1, MOST_ELEMENTS))]


def _object(inside: list[str], spec: FieldSpec) -> Make:
    elements = [element(each) for each in inside]
    makers = [(each.name, _of_type(each.kind, each.name or "value", spec)) for each in elements]
    if not elements[0].name:
        return lambda rng, now: [make(rng, now) for _, make in makers]
    return lambda rng, now: {name: make(rng, now) for name, make in makers}


def _scalar(kind: str, outer: str, inside: list[str], name: str, spec: FieldSpec) -> Make:
    options = spec.options(name)
    if options.binary:
        return _bytes(kind, inside, options.binary)
    if integer := re.fullmatch(r"(U?)Int(\d+)", outer):
        largest = min(LARGEST, 2 ** (int(integer[2]) - (not integer[1])) - 1)
        return lambda rng, now: rng.randrange(largest + 1)
    if digits := decimal_digits(kind):
        return _decimal(*digits)
    match outer:
        case "Float32" | "Float64" | "BFloat16":
            return lambda rng, now: rng.randrange(LARGEST) / 4
        case "String":
            return lambda rng, now: f"{name} {rng.randrange(LARGEST)}"
        case "FixedString":
            length = int(inside[0])
            return lambda rng, now: "".join(rng.choices("0123456789abcdef", k=length))
        case "Bool":
            return lambda rng, now: rng.random() < 0.5
        case "UUID":
            return lambda rng, now: str(uuid.UUID(int=rng.getrandbits(128), version=4))
        case "IPv4":
            return lambda rng, now: f"192.0.2.{rng.randrange(256)}"
        case "IPv6":
            return lambda rng, now: f"2001:db8::{rng.randrange(1, 65536):x}"
        case "Enum8" | "Enum16":
            names = [re.sub(r"\\(.)", r"\1", each) for each in _ENUM_NAME.findall(kind)]
            return lambda rng, now: rng.choice(names)
        case "JSON":
            return lambda rng, now: {"value": rng.randrange(LARGEST)}
        case "Time" | "Time64" if spec.epoch:
            unit = _MICROS.get(spec.epoch)
            return lambda rng, now: (
                now % 86_400_000_000 // 1_000_000 * 1_000_000 // unit
                if unit
                else now % 86_400_000_000 // 1_000_000 * 1_000_000_000
            )
        case "Time" | "Time64":
            return lambda rng, now: _text(now - now % 1_000_000, "%H:%M:%S")
        case "Date" | "Date32" | "DateTime" | "DateTime64":
            return _time(kind, outer, spec)
    raise NotMade(kind)


def _decimal(precision: int, scale: int) -> Make:
    """As text, so that it keeps its digits whatever reads it."""
    largest = 10 ** min(precision, scale + 4, 15) - 1

    def make(rng: random.Random, now: int) -> str:
        units = rng.randint(0, largest)
        whole, rest = divmod(units, 10**scale)
        return f"{whole}.{rest:0{scale}}" if scale else str(whole)

    return make


def _bytes(kind: str, inside: list[str], form: str) -> Make:
    length = int(inside[0]) if kind.startswith("FixedString") else 8
    digits = decimal_digits(kind)

    def make(rng: random.Random, now: int) -> str:
        value = rng.randbytes(length)
        if digits:
            value = rng.randint(0, 10 ** min(digits[0], 4) - 1).to_bytes(2, "big")
        return value.hex() if form == "hex" else base64.b64encode(value).decode()

    return make


def _time(kind: str, outer: str, spec: FieldSpec) -> Make:
    """The time of the event, with no more decimals than are stored."""
    step = 86_400_000_000 if outer.startswith("Date32") or outer == "Date" else 0
    step = step or 10 ** (6 - min(6, scale_of(kind)))
    if unit := spec.epoch:
        if unit == "ns":
            return lambda rng, now: (now - now % step) * 1_000
        # Whole units: a coarser one than is stored has no decimals.
        return lambda rng, now: (now - now % step) // _MICROS[unit]
    form = next((each for each in spec.format if each != ISO), None)
    if form is None:
        form = "%Y-%m-%d" if step == 86_400_000_000 else "%Y-%m-%dT%H:%M:%S"
        if step < 1_000_000 and step != 86_400_000_000:
            form += ".%f"
        form += "" if step == 86_400_000_000 else "Z"
    elif "%f" not in form:
        step = max(step, 1_000_000)
    return lambda rng, now: _text(now - now % step, form)


def _text(micros: int, form: str) -> str:
    return (_EPOCH + datetime.timedelta(microseconds=micros)).strftime(form)
