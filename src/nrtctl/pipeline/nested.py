"""A field of arrays and objects in each other: its type, read from text.

Called by `field_types`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nrtctl.pipeline.nodes import (
    FLOAT,
    Keyed,
    Leaf,
    Listed,
    Many,
    Node,
    Object,
    One,
    empty,
)
from nrtctl.pipeline.options import PLAIN, Options
from nrtctl.pipeline.places import any_of, keys_of
from nrtctl.pipeline.texts import literal
from nrtctl.pipeline.type_text import Refused, element, quoted, taken_apart

Leaves = Callable[[str, bool], Leaf]
"""From a type's text, and whether it is the value of a map."""

MOST_LEVELS = 8
"""Of types in each other; each level makes the SQL longer."""

_ARRAYS_THAT_HIDE = "['[null', '[ ', '[\\n', '[\\t', '[\\r']"
"""An array that stands for an object is seen by its first value, unless that is null."""

_MAP_KEYS = ("String", "LowCardinality(String)")

_LONG_FLOATS = r"[\[:,\s]-?[0-9]+(?:[.][0-9]{6}|[.]?[0-9]*[eE])|[0-9]{10}[.]"
"""What a message has that holds a double of more digits than one keeps."""

_TOKENS = r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:[.eE][-+.eE0-9]*)?|[^"0-9-]+|-'
"""Parts of JSON text: strings, numbers, and what is between them."""

GEOMETRIES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
"""The engine's names for arrays of coordinates, as GeoJSON writes them."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads types. `empty`: arrays and maps inside that are missing or null are empty ones."""

    leaves: Leaves
    empty: bool

    def node(self, text: str, level: int = 0, *, in_map: bool = False) -> Node:
        """Raises ValueError: the type is not supported."""
        if level > MOST_LEVELS:
            raise Refused(
                f"{text!r} lies deeper than {MOST_LEVELS} types in each other; write JSON for the "
                'object that it lies in, or { type = "String", json = "text" } for the whole field'
            )
        name, inside = taken_apart(text)
        if name in GEOMETRIES:
            if inside:
                raise ValueError(f"{text!r}: {name} has no arguments")
            meant = self.node(GEOMETRIES[name], level)
            meant.text = name
            return meant
        if name == "Array" and len(inside) == 1:
            return Many(self.node(inside[0], level + 1), self.empty)
        if name == "Map" and len(inside) == 2:
            if inside[0] not in _MAP_KEYS:
                raise ValueError(f"{text!r}: the keys of a Map are String, as those of JSON are")
            return Keyed(self.node(inside[1], level + 1, in_map=True), inside[0], self.empty)
        if name == "Nested" and inside:
            return Many(self._object(text, inside, level + 1), self.empty)
        if name == "Tuple" and inside:
            return self._object(text, inside, level)
        if name == "Nullable" and len(inside) == 1 and holds_others(inside[0]):
            if _is_tuple(inside[0]):
                raise Refused(
                    f"{text!r}: a tuple is not Nullable in ClickHouse; write "
                    '{ type = "String", json = "text" } for the whole field'
                )
            raise Refused(
                f"{text!r}: an array, map or tuple is not Nullable in ClickHouse; write "
                f'{inside[0]} and default = "empty" for the field: then it is empty where it is '
                "missing or null"
            )
        return One(self.leaves(text, in_map))

    def _object(self, text: str, inside: Sequence[str], level: int) -> Node:
        elements = [element(each) for each in inside]
        names = [each.name for each in elements]
        nodes = [self.node(each.kind, level + 1) for each in elements]
        if not any(names):
            scalars = [each for each in nodes if isinstance(each, One)]
            if text.startswith("Nested") or len(scalars) < len(nodes):
                raise ValueError(
                    f"{text!r}: give its elements names, as in Tuple(a String, b Int8)"
                )
            return Listed(scalars)
        if not all(names):
            raise ValueError(f"{text!r}: every element of a Tuple has a name, or none has")
        if len(set(names)) < len(names):
            raise ValueError(f"{text!r}: two elements have one name")
        return Object(list(zip(names, nodes, strict=True)))


def holds_others(text: str) -> bool:
    """Whether it is the text of a type of arrays or objects."""
    name = text.strip().partition("(")[0].strip()
    return name in {"Array", "Map", "Tuple", "Nested", *GEOMETRIES}


def refuse_nullable(text: str) -> None:
    """Raises Refused: it is the text of such a type as Nullable."""
    found = re.fullmatch(r"\s*Nullable\((.+)\)\s*", text, re.DOTALL)
    if found is None or not holds_others(found[1]):
        return
    inner = found[1].strip()
    name, inside = taken_apart(inner)
    unnamed = name == "Tuple" and not any(element(each).name for each in inside)
    kind = inner if name != "Tuple" or unnamed else _that_may_be_empty(inside)
    if not kind:
        raise Refused(
            f"{text.strip()!r}: a tuple is not Nullable in ClickHouse; write "
            '{ type = "Nullable(String)", json = "text" }'
        )
    wanted = f'{{ type = "{kind}", default = "empty" }}'
    if unnamed or name == "Point":
        wanted = '{ type = "Array(Float64)", default = [] }'
    raise Refused(
        f"{text.strip()!r}: an array, map or tuple is not Nullable in ClickHouse; write {wanted}, "
        "which is empty where the value is missing or null"
    )


def _that_may_be_empty(elements: Sequence[str]) -> str:
    """The text of a Tuple with these elements that nothing must be in; empty: there is none."""
    parts = []
    for name, kind in map(element, elements):
        if _is_tuple(kind):
            return ""
        if not holds_others(kind) and not kind.startswith(("Nullable(", "LowCardinality(")):
            kind = f"Nullable({kind})"
        parts.append(f"{name if name.isidentifier() and name.isascii() else quoted(name)} {kind}")
    return f"Tuple({', '.join(parts)})"


def _is_tuple(text: str) -> bool:
    return text.strip().partition("(")[0].strip() in {"Tuple", "Point"}


def marked(message: str) -> str:
    """SQL: the message with its floating-point numbers as strings that begin with `FLOAT`.

    The JSON text of a value inside, which other checks ask, has a whole one without its point.
    """
    tokens = f"extractAll({message}, {literal(_TOKENS)})"
    marked = f"if(match(_t, '^-?[0-9]+[.eE]'), concat('\"{FLOAT}', _t, '\"'), _t)"
    return f"arrayStringConcat(arrayMap(_t -> {marked}, {tokens}))"


class Nest:
    """A field of such a type, with the interface of `types.Scalar`.

    Args:
        leaves: makes the types of single values inside.
        given: how the field's values are written.

    Raises:
        ValueError: the type is not supported.
    """

    low_cardinality = False
    nullable = False

    def __init__(self, text: str, leaves: Leaves, given: Options = PLAIN) -> None:
        self.node = _Reader(leaves, given.empty_inside).node(text)
        self.options = given
        self.text = self.node.text
        self._objects = "Tuple(`" in self.node.extracted

    @property
    def optional(self) -> bool:
        return self.options.optional

    @property
    def parsed(self) -> str:
        return self.text

    @property
    def extracted(self) -> str:
        return self.node.extracted

    def value(self, text: str) -> str:
        return self.node.value(text)

    def stored(self, value: str) -> str:
        return f"CAST({self.node.stored(value)}, {literal(self.text)})"

    def absent(self, text: str) -> str:
        return empty(self.node, text)

    def none(self, text: str, path: str) -> str:
        """SQL: nothing was there, or null."""
        return f"({self.absent(text)} AND JSONType({path}) = 'Null')"

    def wrong(self, text: str, value: str, path: str) -> str:
        message = path.partition(",")[0]
        hidden = f"multiSearchAny({message}, {_ARRAYS_THAT_HIDE})" if self._objects else ""
        doubt, kinds = any_of(hidden, self.node.doubt(text)), self.node.kinds(path)
        wrong = any_of(
            self.node.bad(text, value),
            f"(({doubt}) AND ({kinds}))" if doubt else "",
            self._rounded_at_all(text, path),
        )
        return f"(({wrong}) AND JSONType({path}) != 'Null')" if self.optional and wrong else wrong

    def _rounded_at_all(self, text: str, path: str) -> str:
        digits, message = self.node.digits(text), path.partition(",")[0]
        if not digits:
            return ""
        floats = f"match({message}, {literal(_LONG_FLOATS)})"
        return f"(({digits}) AND {floats} AND notEmpty({self._rounded(path, literal(''))}))"

    def _rounded(self, path: str, at: str) -> str:
        """SQL: the place of a number that has more digits than a double keeps; as `fault`."""
        message, comma, steps = path.partition(",")
        shape = literal(self.node.long_shape())
        texts = f"JSONExtract({path}, {shape})"
        marks = f"JSONExtract({marked(message)}{comma}{steps}, {shape})"
        return self.node.rounded(texts, marks, at)

    def keys(self, text: str) -> str:
        """SQL: how many keys of objects inside were taken."""
        keys = self.node.keys(text)
        return f"if({self.absent(text)}, 0, {keys})" if keys and self.optional else keys

    def twice(self, path: str) -> str:
        """SQL: an object inside has a key twice; empty: there is none but maps."""
        checks, level = [], 0
        if isinstance(self.node, Object):
            keys = keys_of(path)
            checks, level = [f"length({keys}) != arrayUniq({keys})"], 1
        while shape := self.node.probe(level):
            found = f"JSONExtract({path}, {literal(shape)})"
            checks.append(self.node.twice(found, level))
            level += 1
        return any_of(*checks)

    def fault(self, path: str, name: str) -> str:
        """SQL: what is wrong, as the place (`items[2].price`) and one letter; empty: nothing."""
        fault = self.node.fault(path, literal(name))
        if self.optional:
            fault = f"if(JSONType({path}) = 'Null', '', {fault})"
        if not self.node.long_shape():
            return fault
        both = f"[{fault}, {self._rounded(path, literal(name))}]"
        return f"arrayFirst(_f -> notEmpty(_f), {both})"
