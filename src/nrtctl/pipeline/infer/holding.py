"""A type for each place of a sample that holds other values: arrays, objects whose keys are data,
and objects within arrays. Called by `columns`; what a single value is, `guess` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nrtctl.pipeline.infer.guess import (
    ONLY_NULL,
    Guess,
    integer_type,
    is_called,
    rounded,
    scalar,
    texts_of_numbers,
)
from nrtctl.pipeline.infer.seen import ARRAY, FLOAT, INTEGER, OBJECT, STRING, Seen

_MAP_NAME = re.compile(r"(?:^|_)(?:labels|annotations|attributes|dimensions|headers|tags)$")
_KINDS_OF_VALUES = frozenset({
    "stringValue", "intValue", "boolValue", "doubleValue", "arrayValue", "kvlistValue",
    "bytesValue",
})  # fmt: skip
"""Keys of OpenTelemetry's values of any kind, of which each has one."""
_LABELLED = "__name__"
"""A key of the labels of Prometheus, with the metric's name."""
_PLAIN_KEY = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@-]*")
_DATA_KEY = re.compile(
    r"[0-9]+(?:[.:_-][0-9]+)*|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].+|\S+@\S+|\S*/\S*"
)
"""Numbers, days and times, addresses, ids and paths: keys of objects that are data, too."""
_ANY_MAP = "Map(String, String)"
_INTEGERS_INSIDE = re.compile(r"(?:Array|Map)\((?:String, )?(?:Nullable\()?U?Int[0-9]+\)+")
_INTEGER_TYPE = re.compile(r"U?Int[0-9]+")
MANY_KEYS = 24
NOT_TYPED = frozenset({OBJECT, ARRAY})


def inner(name: str, seen: Seen) -> Guess | None:
    """Of values inside an array, a map or a tuple, which have no options; None: no type holds them.

    A place that is not in every tuple counts as null: `seen.nulls` must say so.
    """
    kinds = set(seen.kinds)
    if not kinds & NOT_TYPED:
        guess = scalar(name, seen) if kinds else replace(ONLY_NULL, notes=())
        if guess.type.startswith("LowCardinality"):
            guess = Guess("String")
        plain = _without_options(seen) if guess.options else guess
        if plain is None:
            return None
        return Guess(plain.type, nullable=guess.nullable or seen.nulls > 0)
    if len(kinds) > 1 or seen.nulls:
        return None
    return array(name, seen) if kinds == {ARRAY} else record(seen)


def _without_options(seen: Seen) -> Guess | None:
    if set(seen.kinds) == {STRING}:
        return Guess("String")
    if set(seen.kinds) == {INTEGER}:
        kind = integer_type(seen.low or 0, seen.high or 0, least=64)
        return Guess(kind) if kind else None
    if seen.kinds.keys() <= {INTEGER, FLOAT}:
        return None if rounded(texts_of_numbers(seen)) or seen.not_finite else Guess("Float64")
    return None


def array(name: str, seen: Seen) -> Guess | None:
    """Of a place that holds arrays only."""
    if seen.element is None or not seen.element.count:
        return Guess("Array(String)", notes=("always an empty array in the sample",))
    return _holding("Array({})", name, seen.element)


def _holding(form: str, name: str, values: Seen) -> Guess | None:
    """An array or map of these values; what it accepts is about them."""
    of = inner(name, values)
    if of is not None:
        return Guess(form.format(of.written), of.options, of.notes)
    if set(values.kinds) & NOT_TYPED:
        return None
    of = scalar(name, values)
    if of.options.keys() != {"accept"} or rounded(values.reals):
        return None
    written = replace(of, nullable=values.nulls > 0).written
    return Guess(form.format(written), of.options, of.notes)


def record(seen: Seen) -> Guess | None:
    """Of objects inside an array: a map where their keys are data, else a tuple; any object where
    its key says what kind of value it has."""
    if seen.keys and seen.keys.keys() <= _KINDS_OF_VALUES:
        return Guess("JSON")
    if (found := mapping("", seen)) is not None:
        return found
    if not seen.keys:
        return None
    parts = []
    for key, each in seen.keys.items():
        absent = seen.kinds[OBJECT] - each.count
        if absent and set(each.kinds) & NOT_TYPED:
            return None
        guess = inner(key, replace(each, nulls=each.nulls + absent))
        if guess is None or guess.options or "`" in key or "\\" in key:
            return None
        plain = key.isidentifier() and key.isascii()
        parts.append(f"{key} {guess.written}" if plain else f"`{key}` {guess.written}")
    return Guess(f"Tuple({', '.join(parts)})")


def mapping(name: str, seen: Seen) -> Guess | None:
    """Of a place that holds objects whose keys are data; None: they are names of fields."""
    keys = seen.keys
    objects = seen.kinds[OBJECT]
    if not keys:
        return None
    odd = not all(_PLAIN_KEY.fullmatch(key) for key in keys)
    sparse = (
        len(keys) >= MANY_KEYS and sum(e.count for e in keys.values()) * 4 < len(keys) * objects
    )
    if seen.is_map or _LABELLED in keys:
        return _map_of(name, seen)
    if not (odd or sparse or is_called(_MAP_NAME, name)):
        return None
    if not (odd or sparse) and _has_fields(seen):
        return None
    nested = any(set(each.kinds) & NOT_TYPED for each in keys.values())
    if nested and not sparse and not all(_DATA_KEY.fullmatch(key) for key in keys):
        return None
    return _map_of(name, seen)


def _has_fields(seen: Seen) -> bool:
    """Whether all of several objects have the same keys, with values of several kinds."""
    objects = seen.kinds[OBJECT]
    kinds = {kind for each in seen.keys.values() for kind in each.kinds}
    return objects > 1 and len(kinds) > 1 and all(e.count == objects for e in seen.keys.values())


def _map_of(name: str, seen: Seen) -> Guess | None:
    return _holding("Map(String, {})", name, Seen.together(seen.keys.values()))


def known(name: str, said: Mapping[str, Any], seen: Seen) -> Guess | None:
    """Of a place of which the file, or a schema in the message, says this; None: its values are
    not so.

    Args:
        said: options of a field; the type `Map` is one of whatever values.
    """
    kinds = set(seen.kinds)
    kind = said["type"]
    options = {option: value for option, value in said.items() if option != "type"}
    if kind.startswith("Map"):
        if not kinds <= {OBJECT}:
            return None
        if not seen.keys:
            return Guess(kind if "(" in kind else _ANY_MAP)
        return _of_integers(_map_of("", seen), kind)
    if kind.startswith("Array("):
        if not kinds <= {ARRAY}:
            return None
        empty = seen.element is None or not seen.element.count
        return Guess(kind) if empty else _of_integers(array(name, seen), kind)
    if not kinds:
        return Guess(kind, options, ("only null in the sample",))
    if not kinds <= {INTEGER, FLOAT, STRING} or (STRING in kinds and len(kinds) > 1):
        return None
    if kind.startswith("Decimal("):
        return Guess(kind, options if STRING in kinds else {"accept": ["spellings"]})
    if _INTEGER_TYPE.fullmatch(kind):
        guess = scalar(name, seen)
        return replace(guess, type=kind) if _INTEGER_TYPE.fullmatch(guess.type) else None
    return Guess(kind, options) if options else None


def _of_integers(guess: Guess | None, kind: str) -> Guess | None:
    """An array or map of integers, with the integers of this type; any other as it is."""
    said = _INTEGER_TYPE.search(kind)
    if guess is None or said is None or not _INTEGERS_INSIDE.fullmatch(guess.type):
        return guess
    return replace(guess, type=_INTEGER_TYPE.sub(said[0], guess.type))
