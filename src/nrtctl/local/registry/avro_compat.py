"""Whether data of one Avro schema can be read with another. Pure. Used by `compatibility`.

Avro's rules of resolution, as Confluent's registry asks them of Avro's SchemaCompatibility: names
of records, enums and fixed types count without their namespaces, or by the reader's aliases.

A pair of types holds if all that it needs holds; types that contain themselves hold unless
something speaks against it. So every pair that can be reached is looked at once, and what does not
hold spreads back from where it was found: no recursion, and no verdict that rests on a guess.
Why not the library's: docs/decisions/0056.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nrtctl.local.registry.avro_schema import Type

MOST_FAULTS = 20
"""That are told."""

_PROMOTED = {
    "long": {"int"},
    "float": {"int", "long"},
    "double": {"int", "long", "float"},
    "bytes": {"string"},
    "string": {"bytes"},
}

Key = tuple[int, int]
_Ask = Callable[[Type, Type], Key]


class TooMuch(Exception):
    """The budget is spent."""


class Budget:
    """How many steps comparisons may still take."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TooMuch


@dataclass(slots=True)
class _Pair:
    """A reader's type and a writer's.

    `needs`: the pairs that must hold, and where they are. `choices`: groups of which one must.
    """

    reader: Type
    writer: Type
    faults: list[tuple[str, str]] = field(default_factory=list)
    needs: list[tuple[str, Key]] = field(default_factory=list)
    choices: list[list[Key]] = field(default_factory=list)
    needed_by: list[Key] = field(default_factory=list)


def faults(reader: Type, writer: Type, budget: Budget) -> list[str]:
    """Why the reader cannot read what the writer writes, with the path of each; empty: it can.

    Raises TooMuch: the schemas are too large to be compared.
    """
    pairs = _reachable(reader, writer, budget)
    bad = _spread(pairs, budget)
    root = (id(reader), id(writer))
    return _told(pairs, bad, root) if root in bad else []


def _reachable(reader: Type, writer: Type, budget: Budget) -> dict[Key, _Pair]:
    root = (id(reader), id(writer))
    pairs = {root: _Pair(reader, writer)}
    todo = [root]
    while todo:
        key = todo.pop()
        pair = pairs[key]

        def ask(other: Type, written: Type, key: Key = key) -> Key:
            budget.spend(1)
            asked = (id(other), id(written))
            if asked not in pairs:
                pairs[asked] = _Pair(other, written)
                todo.append(asked)
            pairs[asked].needed_by.append(key)
            return asked

        _look(pair, ask, budget)
    return pairs


def _look(pair: _Pair, ask: _Ask, budget: Budget) -> None:
    """Say what speaks against the pair itself, and which others it needs."""
    reader, writer = pair.reader, pair.writer
    if writer.kind == "union":
        pair.needs += [("", ask(reader, each)) for each in writer.parts]
    elif reader.kind == "union":
        pair.choices.append([ask(each, writer) for each in reader.parts])
    elif reader.kind != writer.kind:
        if writer.kind not in _PROMOTED.get(reader.kind, ()):
            pair.faults.append(("", f"{reader.words} cannot be read from {writer.words}"))
    elif reader.kind in {"array", "map"}:
        step = "/items" if reader.kind == "array" else "/values"
        pair.needs.append((step, ask(reader.parts[0], writer.parts[0])))
    elif reader.name:
        _named(pair, ask, budget)


def _named(pair: _Pair, ask: _Ask, budget: Budget) -> None:
    reader, writer = pair.reader, pair.writer
    if _bare(reader.name) != _bare(writer.name) and writer.name not in reader.aliases:
        pair.faults.append(("", f"{reader.words} cannot be read from {writer.words}: another name"))
    elif reader.kind == "fixed" and reader.size != writer.size:
        why = f"{reader.words} has {reader.size} bytes, and {writer.size} are written"
        pair.faults.append(("", why))
    elif reader.kind == "enum" and reader.default is None:
        budget.spend(len(writer.symbols))
        known = frozenset(reader.symbols)
        if lacks := [each for each in writer.symbols if each not in known]:
            why = f"{reader.words} lacks {', '.join(lacks[:5])}, and has no default"
            pair.faults.append(("", why))
    for name, each in reader.fields.items():
        budget.spend(1 + len(each.aliases))
        found = next((writer.fields[n] for n in (name, *each.aliases) if n in writer.fields), None)
        if found is not None:
            pair.needs.append((f"/{name}", ask(each.type, found.type)))
        elif not each.has_default:
            why = "the field is not written, and has no default"
            pair.faults.append((f"/{name}", why))


def _spread(pairs: dict[Key, _Pair], budget: Budget) -> set[Key]:
    """The pairs that do not hold."""
    bad = {key for key, pair in pairs.items() if pair.faults or _unmet(pair, frozenset())}
    todo = list(bad)
    while todo:
        for key in pairs[todo.pop()].needed_by:
            if key not in bad:
                pair = pairs[key]
                budget.spend(1 + len(pair.needs) + sum(map(len, pair.choices)))
                if _unmet(pair, bad):
                    bad.add(key)
                    todo.append(key)
    return bad


def _unmet(pair: _Pair, bad: frozenset[Key] | set[Key]) -> bool:
    return any(key in bad for _, key in pair.needs) or any(
        all(key in bad for key in group) for group in pair.choices
    )


def _told(pairs: dict[Key, _Pair], bad: set[Key], root: Key) -> list[str]:
    told: list[str] = []
    todo, seen = deque([(root, "")]), {root}
    while todo and len(told) < MOST_FAULTS:
        key, path = todo.popleft()
        pair = pairs[key]
        told += [f"{path + step or '/'}: {why}" for step, why in pair.faults]
        if pair.choices:
            why = f"no branch of the union can be read from {pair.writer.words}"
            told.append(f"{path or '/'}: {why}")
        for step, other in pair.needs:
            if other in bad and other not in seen and len(path) < 1000:
                seen.add(other)
                todo.append((other, path + step))
    return told[:MOST_FAULTS]


def _bare(name: str) -> str:
    return name.rpartition(".")[2]
