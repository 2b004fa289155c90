"""Conditions on messages (`pipeline.condition`) as SQL over the envelope. Pure text.

Called by `parsing` and `check`. A condition is true, false or NULL, as in `condition.verdict`. Each
JSON function reads the whole message, so the frequent question, whether a text is one of some, is
a single one.
"""

from __future__ import annotations

import re
from typing import Any

from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.condition import (
    All,
    Condition,
    Either,
    Equal,
    IsNull,
    Leaf,
    Like,
    Matches,
    Not,
    Order,
    leaves,
)
from nrtctl.pipeline.fields import Path
from nrtctl.schema.columns import VALUE, part
from nrtctl.schema.extraction import arguments

_EXACT = 2**53
"""Whole numbers below it are their double."""

_NUMBER = "('Int64', 'UInt64', 'Double')"
_OF_OTHER_KINDS = re.compile(r"[-0-9\[{]|(?:true|false|null)$")
"""What the text of a value begins with that is no text."""


def holds(condition: Condition, value: str = VALUE) -> str:
    """SQL: whether it holds; never NULL. Args: value: SQL of the message's JSON text."""
    return f"ifNull({sql_of(condition, value)}, 0)"


def sql_of(condition: Condition, value: str = VALUE) -> str:
    """SQL of a Nullable(UInt8). Args: value: as of `holds`."""
    match condition:
        case Not(inner):
            return f"(NOT {sql_of(inner, value)})"
        case All(parts):
            return f"({' AND '.join(sql_of(each, value) for each in parts)})"
        case Either(parts):
            return f"({' OR '.join(sql_of(each, value) for each in parts)})"
    if condition.source.record != "message":
        return _of_text(condition, part(condition.source))
    return _of_message(condition, condition.source.path, value)


def patterns(condition: Condition) -> list[str]:
    """SQL of the regular expressions."""
    return [_pattern(each.pattern) for each in leaves(condition) if isinstance(each, Matches)]


def _of_message(leaf: Leaf, steps: Path, value: str) -> str:
    path = arguments(steps, value)
    # The engine would take an index for the place of a key in an object.
    arrays = " AND ".join(
        f"JSONType({arguments(steps[:end], value)}) = 'Array'"
        for end, step in enumerate(steps)
        if isinstance(step, int)
    )
    if isinstance(leaf, IsNull):
        there = " AND ".join(filter(None, [arrays, f"JSONType({path}) != 'Null'"]))
        return f"multiIf({there}, 0, isValidJSON({value}), 1, NULL)"
    asked = _of_value(leaf, path)
    return f"if({arrays}, {asked}, NULL)" if arrays else asked


def _of_value(leaf: Equal | Order | Like | Matches, path: str) -> str:
    kind, text = f"JSONType({path})", f"JSONExtractString({path})"
    match leaf:
        case Equal(_, wanted):
            return _any_of(wanted, path)
        case Order(_, operator, wanted) if isinstance(wanted, str):
            return _if_text(path, f"{text} {operator} {literal(wanted)}")
        case Order(_, operator, wanted):
            return f"multiIf({_number(path, operator, wanted)}, {kind} = 'Null', NULL, 0)"
        case Like(_, pattern):
            return _if_text(path, f"{text} LIKE {literal(pattern)}")
        case Matches(_, pattern):
            return _if_text(path, f"match({text}, {_pattern(pattern)})")


def _if_text(path: str, asked: str) -> str:
    kind = f"JSONType({path})"
    return f"multiIf({kind} = 'String', {asked}, {kind} = 'Null', NULL, 0)"


def _any_of(wanted: tuple[Any, ...], path: str) -> str:
    plain = [e for e in wanted if isinstance(e, str) and not _OF_OTHER_KINDS.match(e)]
    asked = []
    if plain:
        raw = f"JSONExtract({path}, 'Nullable(String)')"
        asked.append(f"{raw} {_is_one_of(plain)}")
    asked += [_equal(path, each) for each in wanted if each not in plain]
    return asked[0] if len(asked) == 1 else f"({' OR '.join(asked)})"


def _is_one_of(texts: list[str]) -> str:
    if len(texts) == 1:
        return f"= {literal(texts[0])}"
    return f"IN ({', '.join(map(literal, texts))})"


def _equal(path: str, wanted: Any) -> str:
    kind = f"JSONType({path})"
    if isinstance(wanted, bool):
        truth = f"JSONExtractBool({path})" if wanted else f"NOT JSONExtractBool({path})"
        return f"multiIf({kind} = 'Bool', {truth}, {kind} = 'Null', NULL, 0)"
    if isinstance(wanted, str):
        return _if_text(path, f"JSONExtractString({path}) = {literal(wanted)}")
    written = f"JSONExtractString({path}) = {literal(str(wanted))}"
    number = _number(path, "=", wanted)
    return f"multiIf({number}, {kind} = 'String', {written}, {kind} = 'Null', NULL, 0)"


def _number(path: str, operator: str, wanted: float) -> str:
    """SQL: the first arguments of a multiIf that compare a number."""
    kind = f"JSONType({path})"
    if abs(wanted) < _EXACT:
        return f"{kind} IN {_NUMBER}, JSONExtractFloat({path}) {operator} {wanted}"
    small = abs(wanted) < 2**63
    number = str(wanted) if isinstance(wanted, int) and (small or 0 < wanted < 2**64) else ""
    number = number or repr(float(wanted))
    return ", ".join(
        f"{kind} = '{name}', {function}({path}) {operator} {number}"
        for name, function in (
            ("Int64", "JSONExtractInt"),
            ("UInt64", "JSONExtractUInt"),
            ("Double", "JSONExtractFloat"),
        )
    )


def _of_text(leaf: Leaf, text: str) -> str:
    """Of a key or header, which is a text or NULL."""
    match leaf:
        case IsNull():
            return f"isNull({text})"
        case Equal(_, wanted):
            texts = [str(e) for e in wanted if not isinstance(e, bool | list | dict)]
            return f"{text} {_is_one_of(texts)}" if texts else _never(text)
        case Order(_, operator, wanted):
            return (
                f"{text} {operator} {literal(wanted)}" if isinstance(wanted, str) else _never(text)
            )
        case Like(_, pattern):
            return f"{text} LIKE {literal(pattern)}"
        case Matches(_, pattern):
            return f"match({text}, {_pattern(pattern)})"


def _never(text: str) -> str:
    return f"if(isNull({text}), NULL, 0)"


def _pattern(pattern: str) -> str:
    """For ClickHouse a dot is a line break, too, unless it is told otherwise."""
    return literal(f"(?-s){pattern}")
