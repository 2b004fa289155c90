"""Conditions on messages: `user.country = DE`, `items[0].price > 9.5`, `error`, `name ~ ^A`. Pure.

A path leads into the value, key by key; a key with other characters stands in double quotes.
Without an operator the path must lead to something that is not null. Values compare with values of
their kind only: a text is neither above nor below a number.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_STEP = re.compile(r'\.?([A-Za-z_@$][\w@$-]*)|\.?("(?:[^"\\]|\\.)*")|\[(-?\d+)\]')
_OPERATOR = re.compile(r"\s*(==|=|!=|<=|>=|<|>|~)\s*")

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Condition:
    """One `--where`. `pattern`: of the operator `~`, which has no `wanted`."""

    path: tuple[str | int, ...]
    operator: str
    wanted: Any
    pattern: re.Pattern[str] | None

    def holds(self, value: Any) -> bool:
        """Of a decoded value. A path that leads nowhere holds for nothing."""
        found = _follow(value, self.path)
        if found is _MISSING:
            return False
        if not self.operator:
            return found is not None
        if self.pattern is not None:
            return isinstance(found, str) and self.pattern.search(found) is not None
        if self.operator in {"=", "=="}:
            return _equal(found, self.wanted)
        if self.operator == "!=":
            return not _equal(found, self.wanted)
        if not _comparable(found, self.wanted):
            return False
        return _ORDER[self.operator](found, self.wanted)


def parse_condition(text: str) -> Condition:
    """Raises ValueError: it is no condition."""
    path: list[str | int] = []
    at = 2 if text.startswith("$.") else 0
    while (step := _STEP.match(text, at)) is not None:
        name, quoted, index = step.groups()
        if name is not None:
            path.append(name)
        elif quoted is not None:
            path.append(json.loads(quoted))
        else:
            path.append(int(index))
        at = step.end()
    rest = text[at:]
    if not path or (rest.strip() and _OPERATOR.match(rest) is None):
        raise ValueError(
            f"{text!r} is not a condition: write a path, an operator (=, !=, <, <=, >, >=, ~) and "
            "a value, as in user.country = DE"
        )
    found = _OPERATOR.match(rest)
    if found is None:
        return Condition(tuple(path), "", None, None)
    value = rest[found.end() :].strip()
    if found[1] == "~":
        return Condition(tuple(path), "~", None, pattern_of(_unquoted(value)))
    return Condition(tuple(path), found[1], _scalar(value), None)


def pattern_of(text: str) -> re.Pattern[str]:
    """Raises ValueError: it is no regular expression."""
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


def _scalar(text: str) -> Any:
    """A JSON value, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _unquoted(text: str) -> str:
    found = _scalar(text) if text.startswith('"') else text
    return found if isinstance(found, str) else text


def _follow(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return _MISSING
            value = value[step]
        else:
            if not isinstance(value, list) or not -len(value) <= step < len(value):
                return _MISSING
            value = value[step]
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _comparable(one: Any, other: Any) -> bool:
    return (_is_number(one) and _is_number(other)) or (
        isinstance(one, str) and isinstance(other, str)
    )


def _equal(one: Any, other: Any) -> bool:
    """True is not 1, and a text that was written without quotes may be one of digits."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and _is_number(other):
        return one == str(other)
    return bool(one == other)
