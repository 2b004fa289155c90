"""The places of a sample as the fields of a pipeline: each with a name, a path and a type.

Called by `draft`. `looser` is what follows where the engine finds that a guess was too narrow.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.fields import Path, Step
from nrtctl.pipeline.infer import guess as guesses
from nrtctl.pipeline.infer import holding, looks, names
from nrtctl.pipeline.infer.connect import SCHEMA
from nrtctl.pipeline.infer.guess import ANY, RAW, TEXT, Guess
from nrtctl.pipeline.infer.seen import ARRAY, FLOAT, INTEGER, OBJECT, STRING, Sample, Seen
from nrtctl.pipeline.infer.several import Envelope, perhaps_rows, samples
from nrtctl.pipeline.infer.tuples import is_moment, of_positions
from nrtctl.pipeline.rows import EACH, ROOT

DEEPEST = 5
MOST_LEVELS = 4
"""Of arrays and objects in each other that become one type: each costs every insert."""

MOST_LEAVES = 60
"""Of one nested object; what has more is kept as its JSON text."""

TEXT_OF_SCALARS = ["numbers", "booleans"]
MENDS = ("nan", "broken text")
"""What a field accepts that makes a message readable, which it goes on to need."""

CONTAINERS = ("Array(", "Map(", "Tuple(", "Nested(")


@dataclass(frozen=True, slots=True)
class Column:
    """One field.

    Attributes:
        path: keys and indexes in the message; or what the record has: `record` is then its key or
            header.
        filled: in how many messages it is there and not null; `distinct` of its values, as far
            as they were counted.
        around: the steps before the path, of a value that is around the rows of a message.
        only_text: every value is a string, which a String holds.
    """

    name: str
    path: Path
    guess: Guess
    filled: int
    distinct: int
    record: Any = None
    around: tuple[str, ...] = ()
    only_text: bool = False

    @property
    def raw(self) -> bool:
        """Whether it is no field but a column of SQL."""
        return self.guess.type == RAW.type

    @property
    def sql(self) -> str:
        """The JSON text of what is at the path; empty where nothing is."""
        keys = ", ".join(
            literal(key) if isinstance(key, str) else str(key + 1) for key in self.path
        )
        return f"JSONExtractRaw(assumeNotNull(_value), {keys})"

    @property
    def options(self) -> dict[str, Any]:
        """As in the configuration, `type` first."""
        written: dict[str, Any] = {"type": self.guess.written}
        if self.record is not None:
            written["from"] = self.record
        elif self.around:
            written["from"] = [*self.around, *self.path]
        elif self.path != (self.name,):
            one = len(self.path) == 1 and self.path[0] not in {"key", "headers", "timestamp"}
            written["from"] = self.path[0] if one else list(self.path)
        return {**written, **self.guess.options}


def columns(sample: Sample) -> tuple[list[Column], list[str]]:
    """The fields, in the order of the messages, and what became none, as sentences."""
    found: list[Column] = []
    left: list[str] = []
    _descend(sample, sample.root, (), found, left)
    found = [_with_a_word_on_rows(sample, each) for each in found]
    _of_the_record(sample, found)
    return found, left


def _with_a_word_on_rows(sample: Sample, column: Column) -> Column:
    (key, *deeper) = column.path
    if deeper or not perhaps_rows(str(key), sample.root.keys[str(key)]):
        return column
    note = f"rows = {json.dumps(list(column.path), ensure_ascii=False)} makes a row of each element"
    return replace(column, guess=column.guess.noted(note))


def columns_of_rows(sample: Sample, envelope: Envelope) -> tuple[list[Column], list[str]]:
    """The same of messages that hold rows: those of a row, then those around it."""
    found: list[Column] = []
    left: list[str] = []
    for around, part in samples(sample, envelope):
        own: list[Column] = []
        _descend(part, part.root, (), own, left)
        for each in own:
            named = (*_last_key(around), *each.path) if isinstance(each.path[0], int) else each.path
            name = names.column(named, [one.name for one in found])
            if not (around and each.raw):  # `_value` is the element
                found.append(replace(each, name=name, around=around))
    _of_the_record(sample, found)
    return found, left


def _last_key(around: Path) -> Path:
    keys = [step for step in around if step not in (ROOT, EACH)]
    return tuple(keys[-1:])


def _descend(
    sample: Sample, parent: Seen, path: Path, found: list[Column], left: list[str]
) -> None:
    below: list[tuple[Step, Seen]] = [*parent.keys.items()]
    if not below:
        below = [*enumerate(parent.positions)]
    for key, seen in below:
        here = (*path, key)
        if sample.with_schema and here == (SCHEMA,):
            left.append("schema says what payload is, so no field was made of it.")
            continue
        guess = _whole(sample, here, seen)
        if guess is None and not seen.keys and not seen.positions:
            left.append(f"{shown(here)} is always an empty object, so no field was made of it.")
        elif guess is None:
            _descend(sample, seen, here, found, left)
        else:
            name = names.column(here, [each.name for each in found])
            filled = seen.count - seen.nulls
            if seen.not_finite_inside and not guess.options.keys().isdisjoint({"json", "values"}):
                guess = replace(guess, options={**guess.options, "accept": ["nan"]})
            if seen.broken_inside and "String" in guess.type:
                accept = [*guess.options.get("accept", []), "broken text"]
                guess = replace(guess, options={**guess.options, "accept": accept})
                guess = guess.noted(
                    "text that is not UTF-8, is cut off or lacks escapes is repaired"
                )
            text = set(seen.kinds) == {STRING}
            column = Column(name, here, guess, filled, len(seen.values), only_text=text)
            found.append(column)


def _whole(sample: Sample, path: Path, seen: Seen) -> Guess | None:
    """The guess for a place that becomes one field; None: an object, or an array of values by
    position, that is taken apart."""
    kinds = set(seen.kinds)
    optional = seen.count - seen.nulls < sample.root.count
    name = _name_of(path[-1], seen)
    if path[-2:] == ("$date", "$numberLong") and looks.integers(seen.strings):
        return Guess("DateTime64(3, 'UTC')", {"epoch": "ms"}, nullable=optional)
    keys = tuple(step for step in path if isinstance(step, str))
    if len(keys) == len(path) and (said := sample.types.get(keys)) is not None:
        known = holding.known(name, said, seen)
        if known is not None and known.type.startswith(CONTAINERS):
            empty: Any = {} if known.type.startswith("Map(") else []
            return _or_empty(known, empty, optional)
        if known is not None:
            return replace(known, nullable=optional)
    if not kinds & holding.NOT_TYPED:
        guess = guesses.scalar(name, seen, cells=sample.cells and len(path) == 1)
        return replace(guess, nullable=guess.nullable or optional)
    if kinds == {OBJECT}:
        whole = holding.mapping(name, seen)
        if whole is not None:
            return _or_empty(whole, {}, optional)
        if not seen.keys:
            return None
        if len(path) >= DEEPEST or seen.leaves() > MOST_LEAVES:
            text = TEXT.noted("a large object, kept as its JSON text")
            return replace(text, nullable=optional)
        return None
    if kinds == {ARRAY}:
        if len(path) < DEEPEST and of_positions(seen):
            return None
        listed = holding.array(name, seen)
        if listed is not None and _levels(listed.type) > MOST_LEVELS:
            text = TEXT.noted("nested arrays and objects, kept as their JSON text")
            return replace(text, nullable=optional)
        if listed is not None:
            return _or_empty(listed, [], optional)
        numbers = seen.element is not None and seen.element.kinds.keys() <= {INTEGER, FLOAT}
        what = "numbers of more digits than a Float64 keeps" if numbers else "mixed values"
        text = TEXT.noted(f"an array of {what}, kept as its JSON text")
        return replace(text, nullable=optional)
    whole = TEXT if kinds == {OBJECT, ARRAY} else ANY
    note = f"{guesses.listed(kinds)} in one place, so their JSON text is kept"
    if whole is ANY and STRING in kinds:
        note = f"{guesses.listed(kinds)} in one place, so their text is kept, or their JSON text"
    return replace(whole.noted(note), nullable=optional)


def _name_of(step: Step, seen: Seen) -> str:
    """What says by its name what the values are; of an index, only the time that is first."""
    if isinstance(step, str):
        return step
    return "time" if step == 0 and is_moment(seen) else ""


def _levels(kind: str) -> int:
    """Of arrays, maps and tuples in each other, in a type's text."""
    deepest = depth = 0
    for sign in re.findall(r"(?:Array|Map|Tuple)\(|[()]", kind):
        depth += -1 if sign == ")" else 1
        deepest = max(deepest, depth)
    return deepest


def _or_empty(guess: Guess, empty: Any, optional: bool) -> Guess:
    """Arrays and maps are never NULL: where one is missing or null, it is empty."""
    if not optional:
        return guess
    return replace(guess, options={**guess.options, "default": empty})


def _of_the_record(sample: Sample, found: list[Column]) -> None:
    """Keys and headers, of which only texts are known."""
    if sample.keys.count > sample.keys.nulls:
        name = names.column(("key",), [each.name for each in found])
        guess = Guess("String", nullable=True, notes=("the record's key",))
        filled = sample.keys.count - sample.keys.nulls
        found.append(Column(name, (), guess, filled, len(sample.keys.values), "key"))
    for header, seen in sample.headers.items():
        name = names.column((header,), [each.name for each in found])
        guess = Guess("String", nullable=True, notes=("a header of the record",))
        filled = seen.count - seen.nulls
        found.append(Column(name, (), guess, filled, len(seen.values), {"header": header}))


def shown(path: Path) -> str:
    """A path for people."""
    return ".".join(map(str, path))


def looser(column: Column, *, absent: bool) -> Column | None:
    """What holds more than this column; None: nothing does.

    Args:
        absent: the value was missing or null, not wrong.
    """
    guess = column.guess
    contains = guess.type.startswith(CONTAINERS)
    if guess.type == RAW.type:
        return None
    if absent and contains and "default" not in guess.options:
        empty: Any = {} if guess.type.startswith("Map(") else []
        return _with(column, replace(guess, options={**guess.options, "default": empty}))
    if absent and not contains and not guess.nullable:
        return _with(column, replace(guess, nullable=True))
    note = f"{guess.type} did not hold every value"
    mends = [each for each in guess.options.get("accept", []) if each in MENDS]
    if column.only_text:
        options: dict[str, Any] = {"accept": mends} if mends else {}
        if guess.type != "String" or guess.options != options:
            return _with(column, Guess("String", options, (note,), guess.nullable))
    if (
        not contains
        and "nan" not in mends
        and guess.options.keys().isdisjoint({"json", "values"})
        and guess.options.get("accept") != [*TEXT_OF_SCALARS, *mends]
    ):
        options = {"accept": [*TEXT_OF_SCALARS, *mends]}
        return _with(column, Guess("String", options, (note,), guess.nullable))
    if not column.record and "values" not in guess.options:
        options = {**ANY.options, **({"accept": mends} if mends else {})}
        return _with(column, Guess("String", options, (note,), guess.nullable))
    return _with(column, RAW.noted(*guess.notes)) if not column.record else None


def _with(column: Column, guess: Guess) -> Column:
    return replace(column, guess=guess)
