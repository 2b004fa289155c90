"""On which line of a TOML file a key stands. Asked by `settings_files`, for messages. Pure."""

from __future__ import annotations

import re
import tomllib
from typing import Any

_KEY = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]")
_ASSIGNED = re.compile(rf"\s*({_DOTTED})\s*=")


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Path of every table header and key to its line, counted from 1.

    Keys within an inline table stand on its line and are not listed. `text` is valid TOML.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            inside = "" if inside in line else inside
            continue
        header = _HEADER.match(line)
        key = _ASSIGNED.match(line)
        if header:
            table = _path(header[1])
            _add(found, (), table, number)
        elif key:
            _add(found, table, _path(key[1]), number)
            for quotes in ('"""', "'''"):
                if line.count(quotes) % 2:
                    inside = quotes
    return found


def _add(
    found: dict[tuple[str, ...], int], table: tuple[str, ...], key: tuple[str, ...], number: int
) -> None:
    for end in range(1, len(key) + 1):
        found.setdefault((*table, *key[:end]), number)


def _path(dotted: str) -> tuple[str, ...]:
    node: Any = tomllib.loads(f"{dotted} = 0")
    path: list[str] = []
    while isinstance(node, dict):
        name, node = next(iter(node.items()))
        path.append(name)
    return tuple(path)
