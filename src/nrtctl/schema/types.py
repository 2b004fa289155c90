"""The ClickHouse types a field may have, and how a JSON value becomes one. Pure text.

A value is taken as text and cast. A cast that would change it gives NULL, which `parsing` turns
into a dead letter. docs/messages.md says which conversions are kept. Arrays and maps do the same
with each of their values (`Container`).
"""

from __future__ import annotations

import re

from nrtctl.schema.casts import MOST_DECIMAL_DIGITS, cast, decimal_digits, literal

_ITEM = r"\s*'(?:[^'\\]|\\.)+'(?:\s*=\s*-?[0-9]+)?\s*"
_SCALARS = re.compile(
    r"String|UUID|Bool|U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|Date|Date32|IPv4|IPv6"
    r"|Decimal\(\s*\d+\s*,\s*\d+\s*\)|DateTime(?:\(\s*'[A-Za-z0-9_/+-]+'\s*\))?"
    r"|DateTime64\(\s*[0-9](?:\s*,\s*'[A-Za-z0-9_/+-]+'\s*)?\)"
    rf"|Enum(?:8|16)\({_ITEM}(?:,{_ITEM})*\)"
)
_CONTAINER = re.compile(r"Array\((?P<element>.+)\)|Map\(\s*String\s*,(?P<value>.+)\)", re.DOTALL)
EXACT_DIGITS = 15
"""A JSON number with a fraction is read as a double, which keeps these digits."""

SUPPORTED = (
    "String, UUID, Bool, Int8…Int256, UInt8…UInt256, Float32, Float64, Decimal(P, S), Date, "
    "Date32, DateTime, DateTime64(n), IPv4, IPv6, Enum8('a' = 1, …), Enum16(…), each also as "
    "Nullable(…); LowCardinality(String); Array(T) and Map(String, T) of the former"
)
_NO_STRING = r"^(?:-?[0-9][-+.0-9eE]*|true|false|(?s:[\[{].*[\]}]))$"
"""What a JSON value that is no string looks like as text."""


class Scalar:
    """A field's type that is one value, taken apart.

    Raises:
        ValueError: the type is not supported; the text names those that are.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        inner = self.text
        self.low_cardinality = inner.startswith("LowCardinality(") and inner.endswith(")")
        if self.low_cardinality:
            inner = inner[15:-1].strip()
        self.nullable = inner.startswith("Nullable(") and inner.endswith(")")
        if self.nullable:
            inner = inner[9:-1].strip()
        self.scalar = inner
        if not _SCALARS.fullmatch(inner) or (self.low_cardinality and inner != "String"):
            raise ValueError(f"{text!r} is not a supported type: {SUPPORTED}")
        digits = decimal_digits(inner)
        if digits and not digits[1] <= digits[0] <= MOST_DECIMAL_DIGITS:
            raise ValueError(f"{text!r}: Decimal(P, S) needs S <= P <= {MOST_DECIMAL_DIGITS}")

    @property
    def parsed(self) -> str:
        """The type in the middle of parsing: as stored, but it may be NULL."""
        inner = f"Nullable({self.scalar})"
        return f"LowCardinality({inner})" if self.low_cardinality else inner

    @property
    def extracted(self) -> str:
        """The type that JSONExtract takes the value as: text, unless it is strict by itself."""
        if self.low_cardinality or (self.scalar == "UUID" and not self.nullable):
            return self.parsed
        return "Nullable(String)"

    def value(self, text: str) -> str:
        """SQL: the extracted expression `text` as the parsed type; NULL where it would change."""
        return text if self.extracted == self.parsed else cast(text, self.scalar)

    def stored(self, value: str) -> str:
        """SQL: the parsed expression `value` as the stored type; the default for a wrong NULL."""
        return value if self.nullable else f"assumeNotNull({value})"

    def absent(self, text: str) -> str:
        """SQL: the extracted expression `text` shows that nothing was there."""
        return f"isNull({text})"

    def wrong(self, text: str, value: str, path: str) -> str:
        """SQL: whether the value cannot be stored; empty where it always can.

        The value's type in the message is asked (another parse) only where its text leaves it open.

        Args:
            text: the extracted expression.
            value: the parsed expression.
            path: the arguments of JSONType for this value.
        """
        if not self.nullable:
            missing = f"isNull({value})"
        elif self.extracted == self.parsed:
            missing = ""
        else:
            missing = f"isNull({value}) != isNull({text})"
        kind = f"JSONType({path})"
        doubt = ""
        if self.scalar == "String" or self._has_name_like_no_string():
            doubt = f"(match({text}, {literal(_NO_STRING)}) AND {kind} != 'String')"
        elif self.scalar.startswith("Decimal") or re.search("Int(64|128|256)", self.scalar):
            signs = f"startsWith({text}, '-') + (position({text}, '.') > 0)"
            doubt = (
                f"(length({text}) > {EXACT_DIGITS} AND length({text}) > {EXACT_DIGITS} + {signs} "
                f"AND {kind} = 'Double')"
            )
        return " OR ".join(filter(None, (missing, doubt)))

    def _has_name_like_no_string(self) -> bool:
        if not self.scalar.startswith("Enum"):
            return False
        names = re.findall(r"'((?:[^'\\]|\\.)+)'", self.scalar)
        return any(re.fullmatch(_NO_STRING[1:-1], name) for name in names)


class Container:
    """`Array(T)` or `Map(String, T)`, T a `Scalar`: always there, each value as strict as a field.

    Raises:
        ValueError: the type is not supported.
    """

    low_cardinality = False
    nullable = False

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        found = _CONTAINER.fullmatch(self.text)
        if found is None:
            raise ValueError(f"{text!r} is not a supported type: {SUPPORTED}")
        self.map = found["value"] is not None
        inner = found["value"] if self.map else found["element"]
        try:
            self.element = Scalar(inner)
        except ValueError:
            raise ValueError(f"{text!r} is not a supported type: {SUPPORTED}") from None
        if self.element.low_cardinality:
            raise ValueError(f"{text!r}: write String instead of {self.element.text}")
        self._texts = "mapValues({0})" if self.map else "{0}"

    @property
    def parsed(self) -> str:
        return self.text

    @property
    def extracted(self) -> str:
        texts = "Nullable(String)"
        return f"Map(String, {texts})" if self.map else f"Array({texts})"

    def value(self, text: str) -> str:
        element = self.element.stored(cast("x", self.element.scalar))
        values = f"arrayMap(x -> {element}, {self._texts.format(text)})"
        return f"mapFromArrays(mapKeys({text}), {values})" if self.map else values

    def stored(self, value: str) -> str:
        return value

    def absent(self, text: str) -> str:
        return f"empty({text})"

    def wrong(self, text: str, value: str, path: str) -> str:
        kind = "Object" if self.map else "Array"
        keys = f"mapKeys({text})" if self.map else f"arrayEnumerate({text})"
        inner = self.element.wrong("x", f"({cast('x', self.element.scalar)})", f"{path}, i")
        texts = self._texts.format(text)
        listed = f"arrayExists((x, i) -> {inner}, {texts}, {keys})" if inner else ""
        twice = f"length({keys}) != arrayUniq({keys})" if self.map else ""
        other = f"(empty({text}) AND JSONType({path}) != '{kind}')"
        return " OR ".join(filter(None, (other, listed, twice)))


FieldType = Scalar | Container


def field_type(text: str) -> FieldType:
    """Raises ValueError: the type is not supported."""
    if text.strip().startswith(("Array(", "Map(")):
        return Container(text)
    return Scalar(text)
