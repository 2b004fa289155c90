"""A ClickHouse type's text, taken apart. Pure; called by `field_types` and `nested`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_QUOTED = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)+`|\"(?:[^\"\\]|\\.|\"\")+\"", re.DOTALL
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class Refused(ValueError):
    """A type that is no field's; the text says what to write instead."""


class Element(NamedTuple):
    """One of a Tuple's: its name, empty where it has none, and its type's text."""

    name: str
    kind: str


def taken_apart(text: str) -> tuple[str, list[str]]:
    """A type's name and its arguments, whose parentheses and quotes are closed.

    Raises:
        ValueError: it is not written as a type is.
    """
    found = _PLAIN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a type")
    return found[1], [] if found[2] is None else _arguments(found[2])


def _arguments(text: str) -> list[str]:
    """Split at the commas outside parentheses and quotes."""
    parts, depth, begin = [], 0, 0
    for at, mark in _marks(text):
        depth += (mark == "(") - (mark == ")")
        if depth < 0:
            raise ValueError(f"{text!r} closes a parenthesis that is not open")
        if mark == "," and not depth:
            parts.append(text[begin:at])
            begin = at + 1
    if depth:
        raise ValueError(f"{text!r} leaves a parenthesis open")
    return [each.strip() for each in (*parts, text[begin:])]


def _marks(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(text):
        if text[at] in "'`\"":
            quoted = _QUOTED.match(text, at)
            if quoted is None:
                raise ValueError(f"{text!r} leaves a quote open")
            at = quoted.end()
            continue
        if text[at] in "(),":
            yield at, text[at]
        at += 1


def element(text: str) -> Element:
    """An argument of `Tuple` or `Nested`."""
    if text[:1] in ("`", '"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise ValueError(f"{text!r} leaves a quote open")
        mark = text[0]
        inside = quoted[0][1:-1].replace(mark * 2, mark)
        return Element(_ESCAPED.sub(r"\1", inside), text[quoted.end() :].strip())
    name = _NAME.match(text)
    rest = text[name.end() :].strip() if name else ""
    if name is None or not rest or rest.startswith("("):
        return Element("", text)
    return Element(name[0], rest)


def quoted(name: str) -> str:
    """A name of an element as ClickHouse reads it."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
