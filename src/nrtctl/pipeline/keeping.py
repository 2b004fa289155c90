"""Whether a column of one ClickHouse type keeps every value of another as it is. Pure.

An insert converts without a word where it can, and a number that is too large is cut to its lower
bits. Used by `schema.drift`.
"""

from __future__ import annotations

import re

from nrtctl.pipeline.type_catalogue import known
from nrtctl.pipeline.type_text import Element, element, taken_apart

_WRAPPED = re.compile(r"(LowCardinality|Nullable|Array|Tuple)\((.*)\)", re.DOTALL)
_FEW_VALUES = re.compile(r"\bLowCardinality\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
_MAP = re.compile(r"Map\((\w+), ?(.*)\)", re.DOTALL)
_INTEGER = re.compile(r"(U?)Int(\d+)")
_DECIMAL = re.compile(r"Decimal\((\d+), ?(\d+)\)")
_TIME = re.compile(r"DateTime(?:64\((\d))?.*")
_TIME_OF_DAY = re.compile(r"Time64\((\d)\)")
_ENUM = re.compile(r"Enum(?:8|16)\((.*)\)", re.DOTALL)
_ITEM = re.compile(r"'(?:[^'\\]|\\.|'')*' = -?\d+")
_EXACT_BITS = {"BFloat16": 8, "Float32": 24, "Float64": 53}
"""Integers of no more bits are floating-point numbers."""

_WIDER = {
    ("Float64", "Float32"),
    ("Float64", "BFloat16"),
    ("Float32", "BFloat16"),
    ("Date32", "Date"),
}
"""(stored, given)"""

_FINEST = 8
"""Digits of a second up to which DateTime64 has all years that it can have."""


def keeps(stored: str, given: str) -> bool:
    """Args: stored, given: types as `system.columns` writes them."""
    stored, given = _one_of_many(stored), _one_of_many(given)
    if _bare(stored) == _bare(given):
        return True
    kind, inner = _taken_apart(given)
    if kind == "Nullable":
        to, held = _taken_apart(stored)
        return to == "Nullable" and keeps(held, inner)
    to, held = _taken_apart(stored)
    if to == "Nullable":
        return keeps(held, given)
    if kind == "Array":
        return to == "Array" and keeps(held, inner)
    if kind == "Tuple" == to:
        mine, its = _elements(stored), _elements(given)
        return [each.name for each in mine] == [each.name for each in its] and all(
            keeps(into.kind, each.kind) for into, each in zip(mine, its, strict=True)
        )
    maps = _MAP.fullmatch(stored), _MAP.fullmatch(given)
    if maps[0] and maps[1]:
        return maps[0][1] == maps[1][1] and keeps(maps[0][2], maps[1][2])
    return _keeps_scalar(stored, given)


def _keeps_scalar(stored: str, given: str) -> bool:
    if stored == "String":
        return given == "String" or (given != "JSON" and known(given))
    if given == "Bool":
        given = "UInt8"
    if (number := _INTEGER.fullmatch(given)) is not None:
        signed, bits = not number[1], int(number[2])
        if stored in _EXACT_BITS:
            return bits - signed <= _EXACT_BITS[stored]
        into = _INTEGER.fullmatch(stored)
        if into is None:
            return False
        more = int(into[2]) - bits
        return more >= 0 if signed == (not into[1]) else not signed and more > 0
    if (decimal := _DECIMAL.fullmatch(given)) and (into := _DECIMAL.fullmatch(stored)):
        scale = int(into[2]) - int(decimal[2])
        return scale >= 0 and int(into[1]) - int(decimal[1]) >= scale
    if (day := _TIME_OF_DAY.fullmatch(given)) and (into := _TIME_OF_DAY.fullmatch(stored)):
        return int(into[1]) >= int(day[1])
    if (time := _TIME.fullmatch(given)) and (into := _TIME.fullmatch(stored)):
        fine, finer = int(time[1] or 0), int(into[1] or 0)
        if time[1] and not into[1]:
            return False
        return fine == finer or fine < finer <= _FINEST
    if (items := _ENUM.fullmatch(given)) and (into := _ENUM.fullmatch(stored)):
        return set(_ITEM.findall(items[1])) <= set(_ITEM.findall(into[1]))
    return (stored, given) in _WIDER


def _one_of_many(kind: str) -> str:
    """Without a default and LowCardinality: how a value is written is no part of it."""
    kind = kind.partition(" DEFAULT ")[0]
    while (bare := _FEW_VALUES.sub(lambda found: found[1], kind)) != kind:
        kind = bare
    return kind


def _taken_apart(kind: str) -> tuple[str, str]:
    found = _WRAPPED.fullmatch(kind)
    return ("", kind) if found is None else (found[1], found[2])


def _elements(kind: str) -> list[Element]:
    return [element(each) for each in taken_apart(kind)[1]]


def _bare(kind: str) -> str:
    """Servers write names of tuples' elements with quotes or without."""
    return re.sub(r"[\s`]", "", kind)
