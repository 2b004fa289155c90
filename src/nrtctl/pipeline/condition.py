"""Conditions on messages, as trees: what holds for a message. Pure.

Written as text (`condition_text`), asked here of one message (`peek --where`), and as SQL of all
that a pipeline reads (`schema.condition_sql`). Both give the same verdict.

As in SQL there are three: true, false, and None, where a path leads nowhere or to null, or the
message is not JSON. What is None does not hold, and neither does its `not`. Values compare with
values of their kind only: a text is neither above nor below a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from nrtctl.pipeline.fields import Source, value_at

Headers = Sequence[tuple[str | bytes, bytes | None]]
ORDERS = ("<", "<=", ">", ">=")
_NOTHING = object()
_LONGEST_WHOLE = 20
"""Characters of a whole number of 64 bits, at most."""
_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)


class _NotJson:
    """Of a message whose value is no JSON text."""


NOT_JSON = _NotJson()


@dataclass(frozen=True, slots=True)
class IsNull:
    """It leads nowhere, or to null."""

    source: Source


@dataclass(frozen=True, slots=True)
class Equal:
    """It is any of these: texts, numbers, truths, arrays or objects.

    A number is also equal to the text that is written so.
    """

    source: Source
    wanted: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """How it compares with a number or a text. `operator`: one of `ORDERS`."""

    source: Source
    operator: str
    wanted: Any


@dataclass(frozen=True, slots=True)
class Like:
    """A text that is like a pattern of SQL: `%` is any characters, `_` one."""

    source: Source
    pattern: str


@dataclass(frozen=True, slots=True)
class Matches:
    """A text in which a regular expression finds something."""

    source: Source
    pattern: str


@dataclass(frozen=True, slots=True)
class Not:
    inner: Condition


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Condition, ...]


Leaf = IsNull | Equal | Order | Like | Matches
Condition = Leaf | Not | All | Either


@dataclass(frozen=True, slots=True)
class Message:
    """What a condition is asked of. `value`: decoded, or `NOT_JSON`."""

    value: Any
    key: bytes | None = None
    headers: Headers = ()

    @classmethod
    def of(cls, data: bytes | None, key: bytes | None, headers: Headers) -> Message:
        return cls(parsed(data), key, headers)


def parsed(data: bytes | None) -> Any:
    """The value of JSON text as ClickHouse reads it: of equal keys the first, a whole number beyond
    64 bits as text; `NOT_JSON`: it is none."""
    try:
        text = (data or b"").decode().removeprefix("\ufeff")
        value = json.loads(
            text,
            object_pairs_hook=_first_ones,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return NOT_JSON
    return value


def _first_ones(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _whole(text: str) -> int | str:
    short = len(text) <= _LONGEST_WHOLE
    return int(text) if short and -(2**63) <= int(text) < 2**64 else text


def _finite(text: str) -> float:
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(f"{text} is not a number in JSON")


def holds(condition: Condition, message: Message) -> bool:
    return verdict(condition, message) is True


def verdict(condition: Condition, message: Message) -> bool | None:
    match condition:
        case Not(inner):
            found = verdict(inner, message)
            return None if found is None else not found
        case All(parts):
            each = [verdict(part, message) for part in parts]
            return False if False in each else None if None in each else True
        case Either(parts):
            each = [verdict(part, message) for part in parts]
            return True if True in each else None if None in each else False
    if condition.source.record == "message" and message.value is NOT_JSON:
        return None
    found = _found(condition.source, message)
    if isinstance(condition, IsNull):
        return found is _NOTHING or found is None
    if found is _NOTHING or found is None:
        return None
    match condition:
        case Equal(_, wanted):
            return any(_equal(found, each) for each in wanted)
        case Order(_, operator, wanted):
            return _comparable(found, wanted) and _ordered(found, operator, wanted)
        case Like(_, pattern):
            return isinstance(found, str) and _like(pattern).fullmatch(found) is not None
        case Matches(_, pattern):
            return isinstance(found, str) and pattern_of(pattern).search(found) is not None


def leaves(condition: Condition) -> Iterator[Leaf]:
    match condition:
        case Not(inner):
            yield from leaves(inner)
        case All(parts) | Either(parts):
            for part in parts:
                yield from leaves(part)
        case _:
            yield condition


@cache
def pattern_of(text: str) -> re.Pattern[str]:
    """Classes such as `\\w` are of ASCII, as they are for ClickHouse.

    Raises:
        ValueError: it is no regular expression.
    """
    try:
        return re.compile(text, re.ASCII)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


@cache
def _like(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\\[%_\\]|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(e) or re.escape(e[-1]) for e in parts), re.DOTALL)


def _found(source: Source, message: Message) -> Any:
    if source.record == "key":
        return _text(message.key)
    if source.record == "header":
        given = [value for name, value in message.headers if name == source.header]
        return _text(given[-1]) if given else _NOTHING
    return value_at(message.value, source.path, _NOTHING)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _comparable(one: Any, other: Any) -> bool:
    return (_is_number(one) and _is_number(other)) or (
        isinstance(one, str) and isinstance(other, str)
    )


def _ordered(found: Any, operator: str, wanted: Any) -> bool:
    if operator == "<":
        return bool(found < wanted)
    if operator == "<=":
        return bool(found <= wanted)
    return bool(found > wanted) if operator == ">" else bool(found >= wanted)


def _equal(one: Any, other: Any) -> bool:
    """True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and _is_number(other):
        return one == str(other)
    return bool(one == other)
