"""The SQL that takes values out of a message, at any path, with one parse. Pure text.

Called by `parsing`. Paths of keys become one JSONExtract of nested tuples. What no tuple can name
gets a JSONExtract of its own: an index, the keys that tuples refuse, a value that is read as two
types, a value within one that is read as a whole.

JSONExtract reads an array as a tuple by position, and finds nothing in a parent that is neither an
array nor an object; `Parent` says what shows that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.field_types import FieldType, Scalar
from nrtctl.pipeline.fields import Path, Step

MESSAGE = "_message"
_UNNAMED = ("", "null")
"""Keys that no element of a tuple may have."""

_NULL_FIRST = r"\[\s*null"
"""An array whose first element the witness does not show."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value to be taken. `required`: a message without it is rejected on its account."""

    path: Path
    kind: FieldType
    required: bool


@dataclass(frozen=True, slots=True)
class Parent:
    """An object or array on a path. Where it is something else, all below it is wrong.

    Attributes:
        path: to it; never empty.
        kind: what it must be, as JSONType says it.
        doubt: SQL that is true wherever it is something else; empty: each message must be asked.
    """

    path: Path
    kind: str
    doubt: str = ""

    def wrong(self) -> str:
        """SQL: it is there, and something else."""
        return f"(({self.doubt}) AND {self.other(MESSAGE)})" if self.doubt else self.other(MESSAGE)

    def other(self, message: str) -> str:
        """The same, of any message."""
        return f"JSONType({arguments(self.path, message)}) NOT IN ('{self.kind}', 'Null')"

    def holds(self, path: Path) -> bool:
        """Whether `path` leads through it."""
        return len(path) > len(self.path) and path[: len(self.path)] == self.path


def arguments(path: Path, message: str = MESSAGE) -> str:
    """A path as the JSON functions take it."""
    return ", ".join([message, *(step_argument(step) for step in path)])


def step_argument(step: Step) -> str:
    """A key is text, indexes count from 1."""
    if isinstance(step, str):
        return literal(step)
    return str(step + 1 if step >= 0 else step)


@dataclass(slots=True)
class _Node:
    """An object of the tree. `children`: key to node, or to the type of a value."""

    children: dict[str, _Node | str] = field(default_factory=dict)

    def put(self, keys: tuple[str, ...], extracted: str) -> bool:
        """Whether the value has a place in the tree now."""
        step, rest = keys[0], keys[1:]
        if not rest:
            return self.children.setdefault(step, extracted) == extracted
        there = self.children.setdefault(step, _Node())
        return isinstance(there, _Node) and there.put(rest, extracted)

    @property
    def witness(self) -> str:
        """A name that no key of the tree has: only an array gives it a value."""
        name = "[]"
        while name in self.children:
            name += "]"
        return name

    def shape(self, *, top: bool) -> str:
        """The type for JSONExtract. `top`: the message itself, which has no witness."""
        parts = [] if top else [_element(self.witness, "Nullable(String)")]
        for name, child in self.children.items():
            kind = child if isinstance(child, str) else child.shape(top=False)
            parts.append(_element(name, kind))
        return f"Tuple({', '.join(parts)})"


def _element(name: str, kind: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}` {kind}"


class Extraction:
    """Where each value is found after `selected` has been selected.

    Attributes:
        selected: SQL items of a SELECT over `_message`.
        parents: what the paths lead through, below the message itself.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        self._values = list(values)
        self._texts: dict[tuple[Path, str], str] = {}
        self.selected: list[str] = []
        self._tree = _Node()
        tree = [each for each in self._values if self._in_tree(each)]
        if tree:
            shape = literal(self._tree.shape(top=True))
            self.selected.append(f"JSONExtract({MESSAGE}, {shape}) AS _fields")
            self._name(self._tree, (), "_fields")
        for each in self._values:
            self._alone(each)
        self.parents = [*self._of_tree(self._tree, (), "_fields"), *self._of_others(tree)]

    def text(self, value: Value) -> str:
        """SQL of the value as it was extracted."""
        return self._texts[value.path, value.kind.extracted]

    def keys_found(self) -> str:
        """SQL: how many keys a good message has at least."""
        surely: set[Path] = set()
        perhaps: dict[Path, str] = {}
        for each in self._values:
            ends = [end for end, step in enumerate(each.path, 1) if isinstance(step, str)]
            for end in ends:
                if any(isinstance(step, int) and step < 0 for step in each.path[:end]):
                    break  # it may be the same as from the beginning
                if each.required:
                    surely.add(each.path[:end])
                else:
                    perhaps.setdefault(each.path[:end], self._is_there(each))
        optional = [sql for path, sql in perhaps.items() if path not in surely]
        return " + ".join([str(len(surely)), *optional])

    def _is_there(self, each: Value) -> str:
        text = self.text(each)
        if isinstance(each.kind, Scalar):
            return f"isNotNull({text})"
        return f"(NOT {each.kind.absent(text)})"

    def _in_tree(self, each: Value) -> bool:
        keys = tuple(step for step in each.path if isinstance(step, str) and step not in _UNNAMED)
        return len(keys) == len(each.path) and self._tree.put(keys, each.kind.extracted)

    def _name(self, node: _Node, at: Path, sql: str) -> None:
        for number, (key, child) in enumerate(node.children.items(), 2 if at else 1):
            if isinstance(child, str):
                self._texts[(*at, key), child] = f"{sql}.{number}"
            else:
                self._name(child, (*at, key), f"{sql}.{number}")

    def _alone(self, each: Value) -> None:
        kind = each.kind.extracted
        if (each.path, kind) not in self._texts:
            name = f"_alone{len(self.selected)}"
            self._texts[each.path, kind] = name
            self.selected.append(f"JSONExtract({arguments(each.path)}, {literal(kind)}) AS {name}")

    def _of_tree(self, node: _Node, at: Path, sql: str) -> list[Parent]:
        found = []
        for number, (key, child) in enumerate(node.children.items(), 2 if at else 1):
            if isinstance(child, _Node):
                path, place = (*at, key), f"{sql}.{number}"
                found.append(Parent(path, "Object", self._doubt(path, place)))
                found += self._of_tree(child, path, place)
        return found

    def _doubt(self, path: Path, sql: str) -> str:
        """Empty and null objects are missing ones; so is, as far as can be seen, any scalar."""
        null_first = f"match({MESSAGE}, {literal(_NULL_FIRST)})"
        parts = [f"isNotNull({sql}.1)", f"position({MESSAGE}, '[') > 0 AND {null_first}"]
        below = [each for each in self._values if each.path[: len(path)] == path]
        if not any(each.required for each in below):
            absent = dict.fromkeys(each.kind.absent(self.text(each)) for each in below)
            parts.append(f"({' AND '.join(absent)})")
        return " OR ".join(parts)

    def _of_others(self, tree: list[Value]) -> list[Parent]:
        """The parents of values that stand alone."""
        known = {(e.path[:end], "Object") for e in tree for end in range(1, len(e.path))}
        found = {}
        for each in self._values:
            for end in range(1, len(each.path)):
                path, step = each.path[:end], each.path[end]
                kind = "Object" if isinstance(step, str) else "Array"
                if (path, kind) not in known:
                    found[path, kind] = Parent(path, kind)
        return list(found.values())
