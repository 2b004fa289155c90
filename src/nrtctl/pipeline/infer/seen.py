"""What a sample of messages holds, place by place. Called by `guess` and `columns`."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nrtctl.pipeline.infer import connect
from nrtctl.pipeline.rows import EACH

_HALF = re.compile("[\ud800-\udfff]")
_NO_TEXT = re.compile("[\ud800-\udfff\x00-\x1f]")
_MOST_DIGITS = 4000
_CELL = re.compile(r"\s*[-+]?[0-9][0-9.,:/-]*\s*")
"""A number, a day or a time."""

_NO_NAMES = (
    re.compile(r"-?[0-9]+[.,][0-9]+"),
    re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9:.,]+(?:Z|[+-][0-9:]+)?)?"),
    re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"),
    re.compile(r"[^@\s]+@[^@\s]+\.[a-z]+"),
)
"""What cells look like, and names of columns do not: decimals, days, times, UUIDs, addresses."""

MOST_POSITIONS = 16
"""Of arrays whose values are looked at by their position."""

MOST_DISTINCT = 20_000
"""Distinct values that are kept of one place. More of them are looked at and forgotten."""

STRING, INTEGER, FLOAT, BOOL, OBJECT, ARRAY = (
    "string",
    "integer",
    "float",
    "bool",
    "object",
    "array",
)


AN_ARRAY, NO_VALUE = "an array", "no value"
WITH_SCHEMA, LINES = "a value that begins with the id of a schema", "several lines of JSON"
NOT_JSON = "a value that is not JSON"
"""What messages are that are no objects."""


class Broken(str):
    """A string with what is no text in JSON: each as U+FFFD, or a control character."""

    __slots__ = ()


class Real(str):
    """A JSON number with a fraction or an exponent, as it is written."""

    __slots__ = ()


def _only_small_numbers(values: list[Any]) -> bool:
    """Whether they are no record, but numbers that begin with no time: most of them coordinates."""
    numbers = all(isinstance(each, int | Real) for each in values)
    first = [float(each) if isinstance(each, Real) else each for each in values[:1]]
    return numbers and all(abs(each) < 10**9 for each in first)


@dataclass(slots=True)
class Seen:
    """The values of one place.

    Attributes:
        count: how often the place was there, nulls included.
        kinds: how often with a value of which kind.
        values: distinct strings, integers and reals, each with how often it came; the first
            `MOST_DISTINCT` of them.
        low, high: of the integers.
        keys: of the objects, in the order in which they first came.
        element: of the arrays' elements, all in one.
        lengths: of the arrays.
        positions: what stands at each index of the arrays, where all have one length, which is
            small, and the first of them may be a record; else empty.
        broken: a string is `Broken`.
        is_map: the objects are maps, as the file or the schema in a message says.
        digits_are_numbers: the strings are integers, which the messages have in strings.
    """

    count: int = 0
    nulls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    values: Counter[Any] = field(default_factory=Counter)
    low: int | None = None
    high: int | None = None
    keys: dict[str, Seen] = field(default_factory=dict)
    element: Seen | None = None
    lengths: Counter[int] = field(default_factory=Counter)
    positions: list[Seen] = field(default_factory=list)
    broken: bool = False
    is_map: bool = False
    digits_are_numbers: bool = False

    def add(self, value: Any) -> None:
        """Take in a value, as `parse` gives it."""
        self.count += 1
        if value is None:
            self.nulls += 1
        elif isinstance(value, bool):
            self.kinds[BOOL] += 1
        elif isinstance(value, dict):
            self.kinds[OBJECT] += 1
            for key, each in value.items():
                if key not in self.keys:
                    self.keys[key] = Seen()
                self.keys[key].add(each)
        elif isinstance(value, list):
            self.kinds[ARRAY] += 1
            self.lengths[len(value)] += 1
            self._by_position(value)
            if self.element is None:
                self.element = Seen()
            for each in value:
                self.element.add(each)
        else:
            self._scalar(value)

    def _by_position(self, values: list[Any]) -> None:
        if len(self.lengths) > 1 or len(values) > MOST_POSITIONS:
            self.positions = []
            return
        if self.kinds[ARRAY] == 1 and not _only_small_numbers(values):
            self.positions = [Seen() for _ in values]
        elif not self.positions:
            return
        for place, each in zip(self.positions, values, strict=True):
            place.add(each)

    def _scalar(self, value: Any) -> None:
        if isinstance(value, Broken):
            self.broken, value = True, str(value)
        if isinstance(value, int):
            self.kinds[INTEGER] += 1
            self.low = value if self.low is None else min(self.low, value)
            self.high = value if self.high is None else max(self.high, value)
        else:
            self.kinds[FLOAT if isinstance(value, Real) else STRING] += 1
        if value in self.values or len(self.values) < MOST_DISTINCT:
            self.values[value] += 1

    @classmethod
    def together(cls, places: Iterable[Seen]) -> Seen:
        """The values of several places as those of one."""
        found = cls()
        for each in places:
            found._join(each)
        return found

    def _join(self, other: Seen) -> None:
        first = not self.kinds[ARRAY]
        self.is_map = self.is_map or other.is_map
        self.digits_are_numbers = self.digits_are_numbers or other.digits_are_numbers
        self.count += other.count
        self.nulls += other.nulls
        self.broken = self.broken or other.broken
        self.kinds.update(other.kinds)
        self.values.update(other.values)
        self.lengths.update(other.lengths)
        if (
            len(self.lengths) > 1
            or not (self.positions or first)
            or (not other.positions and other.kinds[ARRAY])
        ):
            self.positions = []
        elif other.positions:
            self.positions = self.positions or [Seen() for _ in other.positions]
            for place, each in zip(self.positions, other.positions, strict=True):
                place._join(each)
        for bound in (other.low, other.high):
            if bound is not None:
                self.low = bound if self.low is None else min(self.low, bound)
                self.high = bound if self.high is None else max(self.high, bound)
        for key, each in other.keys.items():
            self.keys.setdefault(key, Seen())._join(each)
        if other.element is not None:
            self.element = Seen() if self.element is None else self.element
            self.element._join(other.element)

    @property
    def strings(self) -> list[str]:
        return [each for each in self.values if type(each) is str]

    @property
    def reals(self) -> list[Real]:
        return [each for each in self.values if isinstance(each, Real)]

    @property
    def integers(self) -> list[int]:
        return [each for each in self.values if isinstance(each, int)]

    @property
    def broken_inside(self) -> bool:
        """Whether this or a place below has a string that is `Broken`."""
        below = [*self.keys.values(), *([self.element] if self.element else [])]
        return self.broken or any(each.broken_inside for each in below)

    @property
    def not_finite(self) -> bool:
        """Whether there are NaN, infinities or numbers beyond any double."""
        return any(not math.isfinite(float(each)) for each in self.reals)

    @property
    def not_finite_inside(self) -> bool:
        """Whether this or a place below has such numbers."""
        below = [*self.keys.values(), *([self.element] if self.element else [])]
        return self.not_finite or any(each.not_finite_inside for each in below)

    def leaves(self) -> int:
        """How many places without places below them."""
        return sum(each.leaves() for each in self.keys.values()) or 1


@dataclass(slots=True)
class Sample:
    """Messages, taken in.

    Attributes:
        root: the objects.
        others: what the other messages were (no JSON, an array, a null …), each with how many.
        lists: the arrays that were messages.
        lines: the objects of messages that have one in each line.
        keys, headers: of the records, where they have any.
        cells: the messages are rows of a text file: every value is text, an empty one is null.
        types: places whose values do not show what they are, to what the file, or the schema in a
            message, says of them: options of a field; the type `Map` is one of whatever values.
        unpack: the keys whose strings were read as the JSON that they contain.
        with_schema: messages are a schema of Kafka Connect and a payload.
    """

    cells: bool = False
    types: dict[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)
    unpack: tuple[str, ...] = ()
    with_schema: bool = False
    root: Seen = field(default_factory=Seen)
    others: Counter[str] = field(default_factory=Counter)
    lists: Seen = field(default_factory=Seen)
    lines: Seen = field(default_factory=Seen)
    keys: Seen = field(default_factory=Seen)
    headers: dict[str, Seen] = field(default_factory=dict)
    _schemas: set[str | None] = field(default_factory=set)

    @property
    def messages(self) -> int:
        return self.root.count + self.others.total()

    @property
    def lacks_names(self) -> bool:
        """Whether the first row of a text file, which names the columns, looks like a row: it has
        nothing but numbers, or what a column has below, too."""
        keys = self.root.keys
        if not self.cells or not keys:
            return False
        again = [name for name, seen in keys.items() if name in seen.values]
        alike = [
            name
            for name, seen in keys.items()
            if any(form.fullmatch(name) for form in _NO_NAMES)
            and all(any(form.fullmatch(text) for form in _NO_NAMES) for text in seen.strings)
        ]
        return all(map(_CELL.fullmatch, keys)) or bool(alike) or 0 < len(again) < len(keys)

    def mark_maps(self) -> None:
        """Mark the places that are maps by `types`, of which "*" is each element of an array, and
        each value of a map."""
        for path, said in self.types.items():
            if said["type"].startswith("Map"):
                for place in _at(self.root, path):
                    place.is_map = True

    def add(self, value: bytes | None) -> dict[str, Any] | None:
        """Take in the value of a record; the object that it is, if it is one."""
        if value is None:
            self.others[NO_VALUE] += 1
            return None
        try:
            message = parse(value)
        except ValueError:
            what = _no_json(value)
            self.others[what] += 1
            if what == LINES:
                for line in value.splitlines():
                    if line.strip():
                        self.lines.add(parse(line))
            return None
        if isinstance(message, dict):
            self.root.add(message)
            self._learn(message)
            return message
        listed = isinstance(message, list)
        if listed:
            self.lists.add(message)
        self.others[AN_ARRAY if listed else "a value that is not an object"] += 1
        return None

    def _learn(self, message: dict[str, Any]) -> None:
        """Take in the schema that a message brings along."""
        schema = connect.schema_of(message)
        name = None if schema is None else str(schema.get("name"))
        if schema is None or name in self._schemas:
            return
        self._schemas.add(name)
        self.with_schema = True
        self.types.update(connect.types_of(schema))


def _at(place: Seen, path: Sequence[str]) -> list[Seen]:
    if not path:
        return [place]
    key, *rest = path
    inner = [place.keys[key]] if key in place.keys else []
    if key == EACH:
        inner = [*place.keys.values(), *([place.element] if place.element else [])]
    return [each for one in inner for each in _at(one, rest)]


def _no_json(value: bytes) -> str:
    """What a value is that `parse` refuses."""
    if not value.strip():
        return "an empty value"
    if value[:1] == b"\0" and len(value) > 5:
        return WITH_SCHEMA
    lines = [line for line in value.splitlines() if line.strip()]
    try:
        if len(lines) > 1 and all(isinstance(parse(line), dict) for line in lines):
            return LINES
    except ValueError:
        pass
    return NOT_JSON


def parse(value: bytes) -> Any:
    """JSON as Python's values; numbers that are no integers as `Real`, so are NaN and infinities,
    and text that is none as `Broken`: what a field may accept.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return _text_or_mended(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _text_or_mended(value: bytes) -> Any:
    try:
        found = _parsed(value.decode("utf-8-sig"), strict=True)
        if b"\\u" in value:
            json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair
    except ValueError:
        return _mended(_parsed(value.decode("utf-8-sig", "surrogateescape"), strict=False))
    return found


def _parsed(text: str, *, strict: bool) -> Any:
    return json.loads(text, parse_int=_whole, parse_float=Real, parse_constant=Real, strict=strict)


def _whole(text: str) -> int:
    """Of one that no type holds, the first digits: Python makes no int of a longer text."""
    return int(text[:_MOST_DIGITS])


def _mended(value: Any) -> Any:
    """Raises ValueError: a key is broken."""
    if isinstance(value, dict):
        if any(map(_HALF.search, value)):
            raise ValueError("a key that is not text")
        return {key: _mended(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_mended(each) for each in value]
    if type(value) is str and _NO_TEXT.search(value):
        return Broken(re.sub("[\ud800-\udfff]", "\ufffd", value))
    return value


def places(seen: Seen, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Seen]]:
    """Every place and what is below it, in the order of the messages."""
    for key, each in seen.keys.items():
        yield (*path, key), each
        yield from places(each, (*path, key))
