"""SQL that several kinds of nested values share: parts of tuples, places as a person reads them.

Pure; called by `nodes` and `nested`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from nrtctl.pipeline.texts import literal
from nrtctl.pipeline.type_text import quoted

MISSING, NULL, WRONG, TWICE = "m", "n", "w", "d"
"""The last letter of a `fault`, behind the place: a value that must be there is missing or null,
it would have to be changed, or its key stands twice."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def any_of(*checks: str) -> str:
    return " OR ".join(filter(None, checks))


def part_of(of: str, number: int) -> str:
    return f"tupleElement({of}, {number})"


def key_step(key: str) -> str:
    """SQL: a key that is only known in the message, as a step of a place."""
    plain = literal(f"^{_PLAIN_KEY.pattern}$")
    return f"if(match({key}, {plain}), concat('.', {key}), concat('[', toJSONString({key}), ']'))"


def step(name: str) -> str:
    return f".{name}" if _PLAIN_KEY.fullmatch(name) else f"[{_json(name)}]"


def _json(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def not_there(path: str, at: str, kind: str, empty: bool = False) -> str:
    """SQL: the first arguments of a multiIf that says what is wrong with an array or object.

    `empty`: nothing is, where it is missing or null.
    """
    absent = f"NOT JSONHas({path}), concat({at}, '{MISSING}'), " if "," in path else ""
    null = f"{absent}JSONType({path}) = 'Null', concat({at}, '{NULL}'), "
    if empty:
        null = f"JSONType({path}) = 'Null', '', "
    return f"{null}JSONType({path}) != '{kind}', concat({at}, '{WRONG}'), "


def keys_of(path: str) -> str:
    return f"JSONExtractKeys({path})"


def tuple_of(elements: Iterable[tuple[str, str]]) -> str:
    return f"Tuple({', '.join(f'{quoted(name)} {kind}' for name, kind in elements)})"


def mapped(name: str, inner: str, array: str) -> str:
    return array if inner == name else f"arrayMap({name} -> {inner}, {array})"


def place(at: str, *steps: str) -> str:
    """SQL: the place and further steps; one that calls a function is SQL, others are text."""
    parts = at.removeprefix("concat(").removesuffix(")")
    found = [parts] if at.startswith("concat(") else [at]
    found += [step if step.startswith("toString(") else literal(step) for step in steps]
    return f"concat({', '.join(found)})"


def depth(at: str) -> int:
    """Tells the arguments of lambdas in each other apart: a place inside has more functions."""
    return at.count("(")


def first_of(faults: str) -> str:
    return f"arrayFirst(_f -> notEmpty(_f), {faults})"


def bound(path: str, how: str = "arrayExists", then: str = "") -> tuple[str, Callable[[str], str]]:
    """A name for the JSON text at `path`, so that what is asked of it does not read the message
    again, and how a check of it is written."""
    if "," not in path:
        return path, lambda inner: inner
    return "_o", lambda inner: f"{how}(_o -> {inner}, [JSONExtractRaw({path})]){then}"
