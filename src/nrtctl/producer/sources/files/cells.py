"""Cells of CSV as JSON values, by the type of the field. Called by `csv`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from nrtctl.pipeline.commas import number
from nrtctl.pipeline.field_types import EXACT_DIGITS

INTEGER_TYPE = re.compile(r"U?Int(8|16|32|64|128|256)")
_NUMBER_TYPE = re.compile(r"U?Int(8|16|32|64|128|256)|B?Float(16|32|64)|Decimal.*")
_TEXT_TYPE = re.compile(r"String|FixedString\(.*\)")
_WRAPPER = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))(?:\.0+)?")
_BOOLEANS = {"true": True, "false": False}
Convert = Callable[[str], Any]


def plain_type(clickhouse_type: str) -> str:
    """Without what only says how it is stored, or that it may be null."""
    kind = clickhouse_type.strip()
    while wrapped := _WRAPPER.fullmatch(kind):
        kind = wrapped[1].strip()
    return kind


def empty_cell(clickhouse_type: str | None) -> str | None:
    """What an empty cell is: empty text where the field is a text that cannot be null, else null.

    Args:
        clickhouse_type: None: the column is no field.
    """
    if clickhouse_type is None or "Nullable(" in clickhouse_type:
        return None
    return "" if _TEXT_TYPE.fullmatch(plain_type(clickhouse_type)) else None


def converter(clickhouse_type: str, *, decimal_comma: bool = False) -> Convert | None:
    """From a cell's text to the value that a field of `clickhouse_type` should see in JSON; None:
    the text itself.

    Numbers keep their digits exactly, but for `1.0` in an integer, which is 1. What is no number
    (or boolean) stays text, for the pipeline to judge.
    """
    kind = plain_type(clickhouse_type)
    if kind in {"Bool", "Boolean"}:
        return lambda cell: _BOOLEANS.get(cell.lower(), cell)
    if not _NUMBER_TYPE.fullmatch(kind):
        return None
    whole = INTEGER_TYPE.fullmatch(kind) is not None
    if decimal_comma:
        return lambda cell: _with_comma(cell, whole)
    if whole:
        return _integer
    if kind.startswith("Decimal"):
        return _decimal
    return lambda cell: orjson.Fragment(cell) if _NUMBER.fullmatch(cell) else cell


def as_sent_to(clickhouse_type: str) -> Callable[[str | None], Any]:
    """From the text of any cell, or null, to the value that is sent to a field of this type."""
    convert, empty = converter(clickhouse_type), empty_cell(clickhouse_type)

    def sent(cell: str | None) -> Any:
        if not cell:
            return empty
        return cell if convert is None else convert(cell)

    return sent


def _integer(cell: str) -> Any:
    if found := _WHOLE.fullmatch(cell):
        return orjson.Fragment(found[1])
    return orjson.Fragment(cell) if _NUMBER.fullmatch(cell) else cell


def _decimal(cell: str) -> Any:
    """A long one as text, since a JSON number with a fraction is read as a double."""
    if not _NUMBER.fullmatch(cell) or (len(cell) > EXACT_DIGITS and "e" not in cell.lower()):
        return cell
    return orjson.Fragment(cell)


def _with_comma(cell: str, whole: bool) -> Any:
    found = number(cell)
    if found is None:
        return cell
    return _integer(found.with_point) if whole else orjson.Fragment(found.with_point)
