"""Values that hold others: objects, arrays, maps, in each other. Pure text; called by `nested`.

Everything is taken by one JSONExtract, as text, and cast; which is lenient
inside, too: it reads an array as an object, and anything else as an empty one. `wrong` says so
in three steps, each for fewer messages: what was cast, then what looks doubtful, then the kinds of
the values in the message. Why a message is wrong, and where inside, is asked of the rejected ones
(`fault`). Lambdas have arguments that begin with _, as no column of a pipeline does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from nrtctl.pipeline.places import (
    MISSING,
    NULL,
    TWICE,
    WRONG,
    any_of,
    bound,
    depth,
    first_of,
    key_step,
    keys_of,
    mapped,
    not_there,
    part_of,
    place,
    step,
    tuple_of,
)
from nrtctl.pipeline.texts import literal

FLOAT = "~"
"""Before a number with a fraction or an exponent, where `marked` made a string of it."""


class Leaf(Protocol):
    """What is needed of a `types.Scalar`."""

    text: str
    nullable: bool

    @property
    def has_digits(self) -> bool: ...
    def as_text(self, text: str) -> str: ...
    def missing(self, text: str, value: str) -> str: ...
    def doubt(self, text: str) -> str: ...
    def wrong_kind(self, path: str) -> str: ...


class Node(Protocol):
    """A value inside. `x` is the extracted expression, `v` the parsed one, `path` the arguments of
    JSONType, `at` SQL of the place as a person reads it. Checks are empty where nothing can be."""

    text: str
    extracted: str
    nullable: bool

    def value(self, x: str) -> str: ...
    def stored(self, v: str) -> str: ...
    def bad(self, x: str, v: str) -> str: ...
    def doubt(self, x: str) -> str: ...
    def kinds(self, path: str) -> str: ...
    def digits(self, x: str) -> str: ...
    def long_shape(self) -> str: ...
    def rounded(self, x: str, m: str, at: str) -> str: ...
    def keys(self, x: str) -> str: ...
    def probe(self, level: int) -> str: ...
    def twice(self, found: str, level: int) -> str: ...
    def fault(self, path: str, at: str) -> str: ...


class One:
    """A scalar inside. Taken as text, as an array whose values are all refused is read as empty."""

    extracted = "Nullable(String)"

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf
        self.text = leaf.text
        self.nullable = leaf.nullable

    def value(self, x: str) -> str:
        return self.leaf.as_text(x)

    def stored(self, v: str) -> str:
        return v if self.nullable else f"assumeNotNull({v})"

    def bad(self, x: str, v: str) -> str:
        return self.leaf.missing(x, v)

    def doubt(self, x: str) -> str:
        return "" if self.leaf.has_digits else self.leaf.doubt(x)

    def kinds(self, path: str) -> str:
        doubt = self.doubt(f"JSONExtract({path}, 'Nullable(String)')")
        return f"ifNull({doubt} AND {self.leaf.wrong_kind(path)}, 0)" if doubt else ""

    def digits(self, x: str) -> str:
        return self.leaf.doubt(x) if self.leaf.has_digits else ""

    def long_shape(self) -> str:
        return self.extracted if self.leaf.has_digits else ""

    def rounded(self, x: str, m: str, at: str) -> str:
        long = f"{self.leaf.doubt(x)} AND startsWith({m}, '{FLOAT}')"
        return f"if({long}, concat({at}, '{WRONG}'), '')"

    def keys(self, x: str) -> str:
        return ""

    def probe(self, level: int) -> str:
        return ""

    def twice(self, found: str, level: int) -> str:
        return ""

    def fault(self, path: str, at: str) -> str:
        wrong = any_of(self.bad("_x", self.value("_x")), self.kinds(path))
        extracted = f"[JSONExtract({path}, '{self.extracted}')]"
        cases = f"arrayExists(_x -> {wrong or '0'}, {extracted}), concat({at}, '{WRONG}'), ''"
        if not self.nullable:
            absent = f"NOT JSONHas({path}), concat({at}, '{MISSING}'), " if "," in path else ""
            cases = f"{absent}JSONType({path}) = 'Null', concat({at}, '{NULL}'), {cases}"
        return f"multiIf({cases})"


class Object:
    """`Tuple(a T, …)`: an object with these keys; others are ignored."""

    nullable = False

    def __init__(self, elements: Sequence[tuple[str, Node]]) -> None:
        self.elements = list(elements)
        self.text = tuple_of((name, node.text) for name, node in elements)
        names = [name for name, _ in elements]
        mark = next("_" * n for n in range(1, len(names) + 2) if "_" * n not in names)
        # An array is read by position: its first value comes to stand here.
        shape = [(mark, "Nullable(String)"), *((name, node.extracted) for name, node in elements)]
        self.extracted = tuple_of(shape)

    def parts(self, of: str, first: int) -> list[tuple[Node, str]]:
        return [(node, part_of(of, at)) for at, (_, node) in enumerate(self.elements, first)]

    def value(self, x: str) -> str:
        return f"tuple({', '.join(node.value(part) for node, part in self.parts(x, 2))})"

    def stored(self, v: str) -> str:
        return f"tuple({', '.join(node.stored(part) for node, part in self.parts(v, 1))})"

    def bad(self, x: str, v: str) -> str:
        pairs = zip(self.parts(x, 2), self.parts(v, 1), strict=True)
        return any_of(*(node.bad(text, value) for (node, text), (_, value) in pairs))

    def doubt(self, x: str) -> str:
        nothing = ""
        if all(node.nullable or not isinstance(node, One) for _, node in self.elements):
            nothing = " AND ".join(empty(node, part) for node, part in self.parts(x, 2))
            nothing = f"({nothing})" if len(self.elements) > 1 else nothing
        first = f"isNotNull({part_of(x, 1)})"
        return any_of(first, nothing, *(node.doubt(part) for node, part in self.parts(x, 2)))

    def kinds(self, path: str) -> str:
        raw, given = bound(path)
        inside = [node.kinds(f"{raw}, {literal(name)}") for name, node in self.elements]
        return given(any_of(f"JSONType({raw}) != 'Object'", *inside))

    def digits(self, x: str) -> str:
        return any_of(*(node.digits(part) for node, part in self.parts(x, 2)))

    def long_shape(self) -> str:
        shapes = [(name, node.long_shape()) for name, node in self.elements]
        found = [(name, shape) for name, shape in shapes if shape]
        return tuple_of(found) if found else ""

    def rounded(self, x: str, m: str, at: str) -> str:
        long = [(name, node) for name, node in self.elements if node.long_shape()]
        found = [
            node.rounded(part_of(x, n), part_of(m, n), place(at, step(name)))
            for n, (name, node) in enumerate(long, 1)
        ]
        return first_of(f"[{', '.join(found)}]")

    def keys(self, x: str) -> str:
        fixed, found = 0, []
        for node, part in self.parts(x, 2):
            if isinstance(node, Many | Keyed) and node.empty:
                found.append(f"notEmpty({part})")
            elif node.nullable:
                found.append(f"isNotNull({part})")
            else:
                fixed += 1
            found += filter(None, [node.keys(part)])
        return " + ".join([*([str(fixed)] if fixed else []), *found])

    def _probed(self, level: int) -> list[tuple[str, Node, str]]:
        each = [(name, node, node.probe(level - 1)) for name, node in self.elements]
        return [found for found in each if found[2]]

    def probe(self, level: int) -> str:
        if not level:
            return "Map(String, String)"
        probed = self._probed(level)
        return tuple_of((name, shape) for name, _, shape in probed) if probed else ""

    def twice(self, found: str, level: int) -> str:
        if not level:
            return f"arrayUniq(mapKeys({found})) != length({found})"
        probed = enumerate(self._probed(level), 1)
        return any_of(*(node.twice(part_of(found, at), level - 1) for at, (_, node, _) in probed))

    def fault(self, path: str, at: str) -> str:
        raw, given = bound(path, "arrayMap", "[1]")
        keys = f"JSONExtractKeys({raw})"
        again = f"arrayFirst((_k, _n) -> _n > 1, {keys}, arrayEnumerateUniq({keys}))"
        faults = ", ".join(
            node.fault(f"{raw}, {literal(name)}", place(at, step(name)))
            for name, node in self.elements
        )
        return (
            f"multiIf({not_there(path, at, 'Object')}arrayUniq({keys_of(path)}) != "
            f"length({keys_of(path)}), "
            f"{given(f'concat({at}, {key_step(again)}, {literal(TWICE)})')}, "
            f"{given(first_of(f'[{faults}]'))})"
        )


class Many:
    """`Array(T)`."""

    nullable = False

    def __init__(self, inner: Node, empty: bool = False) -> None:
        self.inner = inner
        self.empty = empty
        self.text = f"Array({inner.text})"
        self.extracted = f"Array({inner.extracted})"

    def value(self, x: str) -> str:
        return mapped("_x", self.inner.value("_x"), x)

    def stored(self, v: str) -> str:
        return mapped("_v", self.inner.stored("_v"), v)

    def bad(self, x: str, v: str) -> str:
        inner = self.inner.bad("_x", "_v")
        return f"arrayExists((_x, _v) -> {inner}, {x}, {v})" if inner else ""

    def doubt(self, x: str) -> str:
        inner = self.inner.doubt("_x")
        return any_of(f"empty({x})", f"arrayExists(_x -> {inner}, {x})" if inner else "")

    def kinds(self, path: str) -> str:
        inner = self.inner.kinds("_r")
        inside = f"arrayExists(_r -> {inner}, JSONExtractArrayRaw({path}))" if inner else ""
        other = _another_kind(path, "Array", self.empty)
        return any_of(other, _left_out(self, path), inside)

    def digits(self, x: str) -> str:
        inner = self.inner.digits("_x")
        return f"arrayExists(_x -> {inner}, {x})" if inner else ""

    def long_shape(self) -> str:
        inner = self.inner.long_shape()
        return f"Array({inner})" if inner else ""

    def rounded(self, x: str, m: str, at: str) -> str:
        text, mark, number = (f"_{name}{depth(at)}" for name in "xmi")
        inner = self.inner.rounded(text, mark, place(at, "[", f"toString({number} - 1)", "]"))
        each = f"{x}, arrayResize({m}, length({x})), arrayEnumerate({x})"
        return first_of(f"arrayMap(({text}, {mark}, {number}) -> {inner}, {each})")

    def keys(self, x: str) -> str:
        inner = self.inner.keys("_x")
        if inner.isdigit():
            return f"{inner} * length({x})"
        return f"arraySum(_x -> {inner}, {x})" if inner else ""

    def probe(self, level: int) -> str:
        inner = self.inner.probe(level)
        return f"Array({inner})" if inner else ""

    def twice(self, found: str, level: int) -> str:
        return f"arrayExists(_m -> {self.inner.twice('_m', level)}, {found})"

    def fault(self, path: str, at: str) -> str:
        raw, number = f"_r{depth(at)}", f"_i{depth(at)}"
        each = f"JSONExtractArrayRaw({path})"
        inner = self.inner.fault(raw, place(at, "[", f"toString({number} - 1)", "]"))
        faults = f"arrayMap(({raw}, {number}) -> {inner}, {each}, arrayEnumerate({each}))"
        left_out = _left_out(self, path)
        last = f"if({left_out}, concat({at}, '{WRONG}'), '')" if left_out else "''"
        return (
            f"multiIf({not_there(path, at, 'Array', self.empty)}"
            f"notEmpty({first_of(faults)}), {first_of(faults)}, {last})"
        )


class Keyed:
    """`Map(String, T)`."""

    nullable = False

    def __init__(self, inner: Node, key: str = "String", empty: bool = False) -> None:
        self.inner = inner
        self.empty = empty
        self.text = f"Map({key}, {inner.text})"
        self.extracted = f"Map(String, {inner.extracted})"

    def value(self, x: str) -> str:
        values = mapped("_x", self.inner.value("_x"), f"mapValues({x})")
        return f"mapFromArrays(mapKeys({x}), {values})"

    def stored(self, v: str) -> str:
        values = mapped("_v", self.inner.stored("_v"), f"mapValues({v})")
        return f"mapFromArrays(mapKeys({v}), {values})"

    def bad(self, x: str, v: str) -> str:
        inner = self.inner.bad("_x", "_v")
        listed = f"arrayExists((_x, _v) -> {inner}, mapValues({x}), mapValues({v}))"
        return any_of(listed if inner else "", f"length({x}) != arrayUniq(mapKeys({x}))")

    def doubt(self, x: str) -> str:
        inner = self.inner.doubt("_x")
        return any_of(f"empty({x})", f"arrayExists(_x -> {inner}, mapValues({x}))" if inner else "")

    def kinds(self, path: str) -> str:
        inner = self.inner.kinds("_p.2")
        pairs = f"JSONExtractKeysAndValuesRaw({path})"
        inside = f"arrayExists(_p -> {inner}, {pairs})" if inner else ""
        return any_of(_another_kind(path, "Object", self.empty), inside)

    def digits(self, x: str) -> str:
        inner = self.inner.digits("_x")
        return f"arrayExists(_x -> {inner}, mapValues({x}))" if inner else ""

    def long_shape(self) -> str:
        inner = self.inner.long_shape()
        return f"Map(String, {inner})" if inner else ""

    def rounded(self, x: str, m: str, at: str) -> str:
        text, mark, key = (f"_{name}{depth(at)}" for name in "xmk")
        inner = self.inner.rounded(text, mark, f"concat({at}, {key_step(key)})")
        each = f"mapValues({x}), arrayResize(mapValues({m}), length({x})), mapKeys({x})"
        return first_of(f"arrayMap(({text}, {mark}, {key}) -> {inner}, {each})")

    def keys(self, x: str) -> str:
        inner = self.inner.keys("_x")
        if inner.isdigit():
            return f"{int(inner) + 1} * length({x})"
        inside = f" + arraySum(_x -> {inner}, mapValues({x}))" if inner else ""
        return f"length({x}){inside}"

    def probe(self, level: int) -> str:
        inner = self.inner.probe(level)
        return f"Map(String, {inner})" if inner else ""

    def twice(self, found: str, level: int) -> str:
        return f"arrayExists(_m -> {self.inner.twice('_m', level)}, mapValues({found}))"

    def fault(self, path: str, at: str) -> str:
        keys, pairs = keys_of(path), f"JSONExtractKeysAndValuesRaw({path})"
        again = f"arrayFirst((_k, _n) -> _n > 1, {keys}, arrayEnumerateUniq({keys}))"
        pair = f"_p{depth(at)}"
        inner = self.inner.fault(f"{pair}.2", f"concat({at}, {key_step(f'{pair}.1')})")
        absent = not_there(path, at, "Object", self.empty)
        return (
            f"multiIf({absent}arrayUniq({keys}) != length({keys}), "
            f"concat({at}, {key_step(again)}, '{TWICE}'), "
            f"{first_of(f'arrayMap({pair} -> {inner}, {pairs})')})"
        )


class Listed:
    """`Tuple(T, …)` without names: an array with as many values, each a scalar."""

    nullable = False
    extracted = "Array(Nullable(String))"

    def __init__(self, leaves: Sequence[One], text: str = "") -> None:
        self.leaves = leaves
        self.text = text or f"Tuple({', '.join(leaf.text for leaf in leaves)})"

    def _texts(self, x: str) -> list[tuple[One, str]]:
        return [(leaf, f"arrayElement({x}, {at})") for at, leaf in enumerate(self.leaves, 1)]

    def value(self, x: str) -> str:
        return f"tuple({', '.join(leaf.leaf.as_text(text) for leaf, text in self._texts(x))})"

    def stored(self, v: str) -> str:
        values = [leaf.stored(part_of(v, at)) for at, leaf in enumerate(self.leaves, 1)]
        return f"tuple({', '.join(values)})"

    def bad(self, x: str, v: str) -> str:
        each = enumerate(self._texts(x), 1)
        inner = (leaf.bad(text, part_of(v, at)) for at, (leaf, text) in each)
        return any_of(f"length({x}) != {len(self.leaves)}", *inner)

    def doubt(self, x: str) -> str:
        return any_of(*(leaf.doubt(text) for leaf, text in self._texts(x)))

    def kinds(self, path: str) -> str:
        inner = (leaf.kinds(f"{path}, {at}") for at, leaf in enumerate(self.leaves, 1))
        return any_of(f"JSONType({path}) != 'Array'", *inner)

    def digits(self, x: str) -> str:
        return any_of(*(leaf.digits(text) for leaf, text in self._texts(x)))

    def long_shape(self) -> str:
        return self.extracted if any(leaf.long_shape() for leaf in self.leaves) else ""

    def rounded(self, x: str, m: str, at: str) -> str:
        found = [
            leaf.rounded(text, mark, place(at, f"[{n}]"))
            for n, ((leaf, text), (_, mark)) in enumerate(
                zip(self._texts(x), self._texts(m), strict=True)
            )
            if leaf.long_shape()
        ]
        return first_of(f"[{', '.join(found)}]")

    def keys(self, x: str) -> str:
        return ""

    def probe(self, level: int) -> str:
        return ""

    def twice(self, found: str, level: int) -> str:
        return ""

    def fault(self, path: str, at: str) -> str:
        each = enumerate(self.leaves, 1)
        inner = (leaf.fault(f"{path}, {n}", place(at, f"[{n - 1}]")) for n, leaf in each)
        faults = ", ".join(inner)
        return (
            f"multiIf({not_there(path, at, 'Array')}"
            f"JSONLength({path}) > {len(self.leaves)}, concat({at}, '{WRONG}'), "
            f"{first_of(f'[{faults}]')})"
        )


def empty(node: Node, x: str) -> str:
    """SQL: nothing was taken for the part `x` of an object."""
    if isinstance(node, One):
        return f"isNull({x})"
    if isinstance(node, Object):
        parts = (empty(inner, part) for inner, part in node.parts(x, 2))
        return f"({' AND '.join(parts)})"
    return f"empty({x})"


def _another_kind(path: str, kind: str, empty: bool) -> str:
    """SQL. `empty`: what is missing or null is as an empty one."""
    return f"JSONType({path}) " + (f"NOT IN ('{kind}', 'Null')" if empty else f"!= '{kind}'")


def _left_out(array: Many, path: str) -> str:
    """SQL: no value of an array was taken, as of objects without any of the keys."""
    if isinstance(array.inner, One):
        return ""
    nothing = f"empty(JSONExtract({path}, {literal(array.extracted)}))"
    return f"(JSONLength({path}) > 0 AND {nothing})"
