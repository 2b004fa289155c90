"""How many bytes a column of a Native block takes, by its type. Pure. Used by `native`.

Each column begins with what is the same for all its rows (the prefix: of LowCardinality, Variant,
Dynamic and JSON, at any depth), then come the values, one level of nesting after the other.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

_WIDTHS = {
    "Int8": 1, "UInt8": 1, "Bool": 1, "Enum8": 1, "Nothing": 1, "Tuple": 1,
    "Int16": 2, "UInt16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
    "Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4, "Time": 4,
    "Decimal32": 4, "Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Time64": 8,
    "Decimal64": 8, "Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16, "Decimal128": 16,
    "Int256": 32, "UInt256": 32, "Decimal256": 32,
}  # fmt: skip
_OTHER_NAMES = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
    "Geometry": "Variant(LineString, MultiLineString, MultiPolygon, Point, Polygon, Ring)",
}
_DECIMALS = ((9, 4), (18, 8), (38, 16), (76, 32))
"""The most digits of each width."""
_SHARED = "SharedVariant"
_KEYS_FOLLOW = 1 << 9
_U64 = struct.Struct("<Q")


class NotSkipped(Exception):
    """Where this type's column ends cannot be told."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: its name, and those within its parentheses."""

    text: str
    name: str
    within: tuple[Kind, ...] = ()
    arguments: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def kind_of(text: str) -> Kind:
    """Read a type's text. Raises NotSkipped."""
    text = _OTHER_NAMES.get(text, text)
    name, bracket, rest = text.partition("(")
    if not bracket:
        return Kind(text, name)
    arguments = tuple(_split(rest[:-1]))
    inner: tuple[str, ...] = ()
    if name in {"Array", "Nullable", "LowCardinality", "Map", "Variant"}:
        inner = arguments
    elif name in {"Tuple", "Nested"}:
        inner = tuple(_unnamed(each) for each in arguments)
    elif name == "SimpleAggregateFunction":
        return kind_of(arguments[-1])
    elif name in {"JSON", "Object"}:
        inner = tuple(_typed_paths(arguments).values())
    return Kind(text, name, tuple(map(kind_of, inner)), arguments)


def _split(text: str) -> Iterator[str]:
    """At the commas that stand in no parentheses and no quotes."""
    depth, start, quote = 0, 0, ""
    at = 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "'`":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "," and not depth:
            yield text[start:at].strip()
            start = at + 1
        at += 1
    if text[start:].strip():
        yield text[start:].strip()


_NAMED = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_][A-Za-z0-9_.]*)\s+(?=\S)")


def _unnamed(element: str) -> str:
    """The type of an element of a tuple, which may have a name before it."""
    found = _NAMED.match(element)
    return element[found.end() :] if found else element


def _typed_paths(arguments: tuple[str, ...]) -> dict[str, str]:
    """Path to type, in the order in which their columns are written."""
    found = {}
    for each in arguments:
        named = _NAMED.match(each)
        if named and not each.startswith("SKIP "):
            found[named[0].strip().strip("`")] = each[named.end() :]
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Column:
    """Where the parts of a column stand: its name from `start`, its type from `kind_at`."""

    kind: str
    start: int
    kind_at: int
    data_at: int
    end: int


class Block:
    """One block of `data`, from `at` on.

    `head` is where its columns begin; `end` is known when they have been gone through.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._count = self._varint()
        self._rows = self._varint()
        self.head = self._at

    @property
    def end(self) -> int:
        return self._at

    def columns(self) -> Iterator[Column]:
        """Raises NotSkipped."""
        for number in range(self._count):
            start = self._at
            self._text()
            kind_at = self._at
            text = self._text().decode(errors="replace")
            data_at = self._at
            if self._rows:
                try:
                    self._values(self._prefix(kind_of(text)), self._rows)
                except NotSkipped as error:
                    if number + 1 < self._count:
                        raise NotSkipped(text) from error
                    self._at = len(self._data)
                if self._at > len(self._data):
                    raise NotSkipped(text)
            yield Column(text, start, kind_at, data_at, self._at)

    def _prefix(self, kind: Kind) -> Kind:
        """Go through the prefix; what the values will be, in types that say it themselves."""
        if kind.name == "LowCardinality":
            self._at += _U64.size
            return kind
        if kind.name == "Variant":
            self._at += _U64.size
        elif kind.name == "Dynamic":
            return self._dynamic()
        elif kind.name in {"JSON", "Object"}:
            return self._json(kind)
        if not kind.within:
            return kind
        return replace(kind, within=tuple(map(self._prefix, kind.within)))

    def _dynamic(self) -> Kind:
        version = self._number()
        if version not in {1, 2}:
            raise NotSkipped("Dynamic")
        if version == 1:
            self._varint()
        names = [self._text().decode(errors="replace") for _ in range(self._bounded())]
        kinds = [kind_of("String" if n == _SHARED else n) for n in sorted([*names, _SHARED])]
        self._at += _U64.size
        return Kind("Dynamic", "Variant", tuple(map(self._prefix, kinds)))

    def _json(self, kind: Kind) -> Kind:
        """Its typed paths, the other paths, and pairs of texts."""
        version = self._number()
        if version == 1:
            return kind_of("String")
        if version not in {0, 2}:
            raise NotSkipped("JSON")
        if version == 0:
            self._varint()
        others = [self._text() for _ in range(self._bounded())]
        typed = [self._prefix(each) for each in kind.within]
        dynamic = [self._dynamic() for _ in others]
        shared = kind_of("Array(Tuple(String, String))")
        return Kind("JSON", "Tuple", (*typed, *dynamic, shared))

    def _values(self, kind: Kind, rows: int) -> None:
        match kind.name:
            case "String":
                self._texts(rows)
            case "Nullable":
                self._at += rows
                self._values(kind.within[0], rows)
            case "Array" | "Nested" | "Map":
                self._array(kind, rows)
            case "Tuple" if kind.within:
                for each in kind.within:
                    self._values(each, rows)
            case "LowCardinality":
                self._dictionary(kind.within[0], rows)
            case "Variant":
                self._variants(kind, rows)
            case _:
                self._at += rows * _width(kind)

    def _array(self, kind: Kind, rows: int) -> None:
        if not rows:
            return
        self._at += rows * _U64.size
        (total,) = _U64.unpack_from(self._data, self._checked(self._at) - _U64.size)
        for each in kind.within:
            self._values(each, total)

    def _dictionary(self, kind: Kind, rows: int) -> None:
        if not rows:
            return
        mode = self._number()
        if mode & _KEYS_FOLLOW:
            keys = self._number()
            self._values(kind.within[0] if kind.name == "Nullable" else kind, keys)
        count = self._number()
        self._at += count << (mode & 0xFF)

    def _variants(self, kind: Kind, rows: int) -> None:
        start, self._at = self._at, self._at + rows
        which = self._data[start : self._checked(self._at)]
        for number, each in enumerate(kind.within):
            self._values(each, which.count(number))

    def _texts(self, rows: int) -> None:
        data, at = self._data, self._at
        try:
            for _ in range(rows):
                size = data[at]
                if size < 128:
                    at += size + 1
                else:
                    self._at = at
                    size = self._varint()
                    at = self._at + size
        except IndexError:
            raise NotSkipped("String") from None
        self._at = at

    def _text(self) -> bytes:
        size = self._varint()
        start, self._at = self._at, self._at + size
        return self._data[start : self._checked(self._at)]

    def _number(self) -> int:
        at, self._at = self._at, self._at + _U64.size
        self._checked(self._at)
        return int(_U64.unpack_from(self._data, at)[0])

    def _bounded(self) -> int:
        """A number of names, each of which takes a byte at least."""
        count = self._varint()
        self._checked(self._at + count)
        return count

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data[self._checked(self._at + 1) - 1]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _checked(self, end: int) -> int:
        """Raises NotSkipped: the data ends before."""
        if end > len(self._data):
            raise NotSkipped("a block that is cut off")
        return end


def _width(kind: Kind) -> int:
    """Bytes of a value. Raises NotSkipped: they differ, or are not known."""
    if kind.name == "FixedString":
        return int(kind.arguments[0])
    if kind.name == "Decimal":
        digits = int(kind.arguments[0])
        return next(
            width for most, width in ((9, 4), (18, 8), (38, 16), (76, 32)) if digits <= most
        )
    if kind.name.startswith("Interval"):
        return 8
    width = _WIDTHS.get(kind.name)
    if width is None:
        raise NotSkipped(kind.text)
    return width
