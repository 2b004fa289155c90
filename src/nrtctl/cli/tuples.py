"""Tuples as text, with the names of their elements. Called by `query`.

ClickHouse writes `(1,'x')` for a Tuple(a UInt8, b String) outside of JSON.
"""

from __future__ import annotations

from collections.abc import Callable

from nrtctl.pipeline.type_text import element, taken_apart

_WRAPPERS = {"Nullable", "LowCardinality"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def has_names(kind: str) -> bool:
    """Whether a type holds tuples whose elements have names."""
    name, inside = _apart(kind)
    if name in {"Tuple", "Nested"}:
        elements = [element(each) for each in inside]
        return any(each.name or has_names(each.kind) for each in elements)
    return any(has_names(each) for each in inside if name in {"Array", "Map"})


def with_names(text: str, kind: str) -> str:
    """A value as ClickHouse writes it, with names: `(a: 1, b: 'x')`. What is not understood stays
    as it is."""
    reader = _Reader(text)
    try:
        found = reader.value(kind)
    except (ValueError, IndexError):
        return text
    return found if reader.at == len(text) else text


def _apart(kind: str) -> tuple[str, list[str]]:
    try:
        name, inside = taken_apart(kind)
    except ValueError:
        return "", []
    return _apart(inside[0]) if name in _WRAPPERS and inside else (name, inside)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def value(self, kind: str) -> str:
        name, inside = _apart(kind)
        mark = self.text[self.at]
        if name == "Tuple" and mark == "(":
            elements = iter([element(each) for each in inside])
            return self._listed(lambda: self._element(*next(elements)))
        if name in {"Array", "Nested"} and mark == "[":
            of = inside[0] if name == "Array" else f"Tuple({', '.join(inside)})"
            return self._listed(lambda: self.value(of))
        if name == "Map" and mark == "{":
            return self._listed(lambda: self._pair(inside[0], inside[1]))
        return self._token()

    def _element(self, name: str, kind: str) -> str:
        return f"{name}: {self.value(kind)}" if name else self.value(kind)

    def _pair(self, key: str, value: str) -> str:
        return f"{self.value(key)}{self._take(':')} {self.value(value)}"

    def _listed(self, item: Callable[[], str]) -> str:
        opened = self._take(self.text[self.at])
        closed, items = _CLOSING[opened], []
        while self.text[self.at] != closed:
            items.append(item())
            if self.text[self.at] != closed:
                self._take(",")
        return f"{opened}{', '.join(items)}{self._take(closed)}"

    def _take(self, mark: str) -> str:
        if self.text[self.at] != mark:
            raise ValueError(f"{self.text[self.at]!r} is not {mark!r}")
        self.at += 1
        return mark

    def _token(self) -> str:
        begin, depth = self.at, 0
        while self.at < len(self.text):
            mark = self.text[self.at]
            if mark in "'\"":
                self._quoted(mark)
                continue
            if not depth and mark in ",:)]}":
                break
            depth += (mark in "([{") - (mark in ")]}")
            self.at += 1
        return self.text[begin : self.at]

    def _quoted(self, mark: str) -> None:
        self.at += 1
        while self.text[self.at] != mark:
            self.at += 2 if self.text[self.at] == "\\" else 1
        self.at += 1
