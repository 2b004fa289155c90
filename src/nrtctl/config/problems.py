"""What pydantic says of a configuration, in one line a person can act on. Called by `config.load`,
and of an option by `cli.lazy_group`.

A value is quoted only where it cannot be a secret.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from nrtctl.config.layer import Origin
from nrtctl.config.shape import KeyPath, Place, UnknownKey, locate, unknown
from nrtctl.config.units import format_duration, format_size

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


def problem_lines(
    error: ValidationError, tree: Mapping[str, Any], where: Callable[[KeyPath], Origin | None]
) -> list[str]:
    """One line for each thing that is wrong: where, key, what is wrong and what would be right."""
    found: dict[KeyPath, str] = {}
    for each in error.errors(include_url=False):
        path = _path(each["loc"], tree)
        message = _message(each, path, len(path) < _length(each["loc"]))
        inner = re.match(r"([\w.]+): ", message)
        if inner and each["type"] == "value_error" and _known((*path, *inner[1].split("."))):
            path, message = (*path, *inner[1].split(".")), message[inner.end() :]
        found.setdefault(path, message)
    return [line_of(path, message, where) for path, message in found.items()]


def of_option(error: ValidationError) -> str:
    """What is wrong with the value of an option."""
    first = error.errors(include_url=False)[0]
    kind, given = first["type"], first["input"]
    if kind == "value_error":
        return _own_words(first)
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        bound = first["ctx"][name]
        whole = isinstance(bound, float) and bound.is_integer()
        return f"must be {words} {int(bound) if whole else bound}, not {given}"
    return f"must be {_right(kind, None, False)}, not {given!r}"


def line_of(path: KeyPath, message: str, where: Callable[[KeyPath], Origin | None]) -> str:
    """Where, key, message."""
    origin = where(path)
    parts = [str(origin)] if origin is not None else []
    return ": ".join([*parts, *([".".join(path)] if path else []), message])


def _length(loc: tuple[int | str, ...]) -> int:
    return len([part for part in loc if part != "[key]"])


def _path(loc: tuple[int | str, ...], tree: Mapping[str, Any]) -> KeyPath:
    """The key an error is at, without the names of union branches and the places in a list."""
    path: list[str] = []
    node: Any = tree
    for part in loc:
        if isinstance(node, dict) and part in node:
            node = node[part]
            path.append(str(part))
        elif _known((*path, str(part))) and isinstance(node, dict):
            return (*path, str(part))
        else:
            break
    return tuple(path)


def _known(path: KeyPath) -> bool:
    try:
        return bool(locate(path))
    except UnknownKey:
        return False


def _message(error: Any, path: KeyPath, within: bool) -> str:
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    place = locate(path) if _known(path) else None
    if kind == "value_error":
        return _own_words(error)
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"must be {words} {_bound(place, context[name])}{_not(place, given)}"
    if kind == "literal_error" and place is not None:
        choices = get_args(place.type)
        return (
            _choice(place, given)
            if choices
            else f"must be {context['expected']}{_not(place, given)}"
        )
    if kind == "extra_forbidden" and place is not None and place.is_table_too:
        names = [info.alias or name for name, info in place.type.model_fields.items()]
        return unknown(path[-1], names)
    if kind == "missing":
        return "is required"
    if kind in {"string_too_short", "too_short"}:
        return "must not be empty"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']} characters"
    return f"must be {_right(kind, place, within)}{_not(place, given)}"


def _own_words(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _right(kind: str, place: Place | None, within: bool) -> str:
    if place is not None and within and place.kind == "value":
        return "a text or a number"
    if kind.startswith("int"):
        return "a whole number"
    if kind.startswith("bool"):
        return "true or false"
    if kind.startswith("float"):
        return "a number"
    if kind in {"tuple_type", "list_type"}:
        return 'a list, as in ["a", "b"]'
    if kind in {"dict_type", "model_type", "model_attributes_type"}:
        return "a table"
    if kind.startswith(("string", "path")):
        return "text in quotes"
    return "another value"


def _bound(place: Place | None, bound: Any) -> str:
    if place is not None and place.is_duration:
        return format_duration(float(bound))
    if place is not None and place.is_size:
        return format_size(bound)
    return f"{bound}"


def _not(place: Place | None, given: Any) -> str:
    if place is None or place.is_secret or place.path[-1] == "url":
        return ""
    if place.is_duration and isinstance(given, float):
        return f", not {format_duration(given)}"
    if isinstance(given, bool | int | float) or (isinstance(given, str) and len(given) < 60):
        return f", not {json.dumps(given, ensure_ascii=False)}"
    return ""


def _choice(place: Place, given: Any) -> str:
    choices = [str(each) for each in get_args(place.type)]
    text = "must be " + ", ".join(repr(each) for each in choices[:-1]) + f" or {choices[-1]!r}"
    near = difflib.get_close_matches(str(given), choices, 1)
    if not near:
        near = [each for each in choices if each.lower() == str(given).lower()]
    return text + _not(place, given) + (f"; did you mean {near[0]!r}?" if near else "")
