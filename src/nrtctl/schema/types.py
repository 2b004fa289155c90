"""The ClickHouse types a field may have, and how a JSON value becomes one. Pure text.

A value is first taken as text, then cast. A cast that would change the value gives NULL, which
`parsing` turns into a dead letter.
"""

from __future__ import annotations

import re

_SCALARS = re.compile(
    r"String|UUID|Bool|U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|Date|Date32|IPv4|IPv6"
    r"|Decimal\(\s*\d+\s*,\s*\d+\s*\)|DateTime(?:\('[A-Za-z0-9_/+-]+'\))?"
    r"|DateTime64\(\s*[0-9](?:\s*,\s*'[A-Za-z0-9_/+-]+')?\s*\)"
)
SUPPORTED = (
    "String, UUID, Bool, Int8…Int256, UInt8…UInt256, Float32, Float64, Decimal(P, S), Date, "
    "Date32, DateTime, DateTime64(n), IPv4, IPv6, each also as Nullable(…), and "
    "LowCardinality(String)"
)


def literal(text: str) -> str:
    """An SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


class FieldType:
    """A field's type, taken apart.

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

    @property
    def parsed(self) -> str:
        """The type between parsing and storing: as stored, but it may be NULL."""
        inner = f"Nullable({self.scalar})"
        return f"LowCardinality({inner})" if self.low_cardinality else inner

    def cast(self, text: str) -> str:
        """SQL: the expression `text`, a Nullable(String), as this type, or NULL."""
        kind = self.scalar
        value = f"accurateCastOrNull({text}, {literal(kind)})"
        if kind == "String":
            return f"toLowCardinality({text})" if self.low_cardinality else text
        if kind == "Bool":
            return f"multiIf({text} = 'true', true, {text} = 'false', false, NULL)"
        if kind.startswith("Float"):
            return f"if(isFinite({value}), {value}, NULL)"
        if kind.startswith("Decimal"):
            return f"if(toFloat64({value}) = toFloat64OrNull({text}), {value}, NULL)"
        if kind == "Date":
            return f"if({value} = accurateCastOrNull({text}, 'Date32'), {value}, NULL)"
        if kind.startswith("DateTime64"):
            digits = int(re.findall(r"\d", kind[10:])[0])
            return f"if(match({text}, '[.][0-9]{{{digits + 1},}}'), NULL, {value})"
        if kind.startswith("DateTime"):
            zone = kind.removeprefix("DateTime").strip("()")
            wide = literal(f"DateTime64(0, {zone})" if zone else "DateTime64(0)")
            return f"if({value} = accurateCastOrNull({text}, {wide}), {value}, NULL)"
        return value

    def doubt(self, text: str, message: str, name: str) -> str | None:
        """SQL: 1 where the value is not of this type although its text is; None: never.

        The type in the message is asked (another parse) only where the text leaves it open.
        """
        kind = f"JSONType({message}, {literal(name)})"
        if self.scalar == "String":
            opening = f"position('-0123456789tf[{{', substring({text}, 1, 1)) > 0"
            return f"({opening} AND {kind} != 'String')"
        if self.scalar.startswith("Decimal"):
            return f"(length({text}) > 16 AND {kind} = 'Double')"
        return None
