"""The ClickHouse types a field may have, and how a JSON value becomes one. Pure text.

A value is taken as text and cast. A cast that would change it gives NULL, which `parsing` turns
into a dead letter. docs/messages.md says which conversions are kept.
"""

from __future__ import annotations

import re

_SCALARS = re.compile(
    r"String|UUID|Bool|U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|Date|Date32|IPv4|IPv6"
    r"|Decimal\(\s*\d+\s*,\s*\d+\s*\)|DateTime(?:\(\s*'[A-Za-z0-9_/+-]+'\s*\))?"
    r"|DateTime64\(\s*[0-9](?:\s*,\s*'[A-Za-z0-9_/+-]+'\s*)?\)"
)
_DECIMAL = re.compile(r"Decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_TIME = re.compile(r"DateTime(?:64)?(?:\(\s*(?P<scale>[0-9])?\s*,?\s*(?:'(?P<zone>[^']+)')?\s*\))?")
MOST_DECIMAL_DIGITS = 76
EXACT_DIGITS = 15
"""A JSON number with a fraction is read as a double, which keeps these digits."""

SUPPORTED = (
    "String, UUID, Bool, Int8…Int256, UInt8…UInt256, Float32, Float64, Decimal(P, S), Date, "
    "Date32, DateTime, DateTime64(n), IPv4, IPv6, each also as Nullable(…), and "
    "LowCardinality(String)"
)
_NO_STRING = r"^(?:-?[0-9][-+.0-9eE]*|true|false|(?s:[\[{].*[\]}]))$"
"""What a JSON value that is no string looks like as text."""


def literal(text: str) -> str:
    """An SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
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
        decimal = _DECIMAL.fullmatch(inner)
        if decimal and not int(decimal[2]) <= int(decimal[1]) <= MOST_DECIMAL_DIGITS:
            raise ValueError(f"{text!r}: Decimal(P, S) needs S <= P <= {MOST_DECIMAL_DIGITS}")

    @property
    def parsed(self) -> str:
        """The type between parsing and storing: as stored, but it may be NULL."""
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
        kind = self.scalar
        if self.extracted == self.parsed:
            return text
        cast = f"accurateCastOrNull({text}, {literal(kind)})"
        if kind == "Bool":
            return f"multiIf({text} = 'true', true, {text} = 'false', false, NULL)"
        if kind.startswith("Float"):
            return f"if(isFinite({cast}), {cast}, NULL)"
        if kind in {"Date", "Date32"} or kind.endswith(("Int128", "Int256")):
            return f"if(toString({cast}) = {text}, {cast}, NULL)"
        if kind.startswith("Decimal"):
            return f"if(match({text}, {literal(self._decimal_pattern())}), {cast}, NULL)"
        if kind.startswith("DateTime"):
            return self._time(text)
        return cast

    def _decimal_pattern(self) -> str:
        found = _DECIMAL.fullmatch(self.scalar)
        precision, scale = (int(found[1]), int(found[2])) if found else (0, 0)
        whole = f"0*[0-9]{{1,{precision - scale}}}" if precision > scale else "0+"
        fraction = f"[0-9]{{1,{scale}}}0*" if scale else "0+"
        return f"^-?{whole}(?:[.]{fraction})?$"

    def _time(self, text: str) -> str:
        """ISO 8601 with seconds, at most as many decimals as are stored, any offset or none."""
        found = _TIME.fullmatch(self.scalar)
        scale, zone = (int(found["scale"] or 0), found["zone"]) if found else (0, None)
        decimals = f"[0-9]{{1,{scale}}}0*" if scale else "0+"
        years = "(?:1[0-9]|2[0-2])[0-9]{2}"
        shape = (
            f"^{years}-[0-9]{{2}}-[0-9]{{2}}[ T](?:[01][0-9]|2[0-3])(?::[0-5][0-9]){{2}}"
            f"(?:[.]{decimals})?(?:Z|[+-][0-9]{{2}}:?[0-9]{{2}})?$"
        )
        arguments = f", {literal(zone)}" if zone else ""
        fine = f"if(match({text}, {literal(shape)}), {text}, NULL)"
        wide = f"parseDateTime64BestEffortOrNull({fine}, {scale}{arguments})"
        cast = f"accurateCastOrNull({wide}, {literal(self.scalar)})"
        if self.scalar.startswith("DateTime64"):
            return f"if(toYear({wide}) BETWEEN 1900 AND 2261, {cast}, NULL)"
        return f"if(toUnixTimestamp64Second({wide}) = toUnixTimestamp({cast}), {cast}, NULL)"

    def wrong(self, text: str, name: str, message: str) -> str:
        """SQL: 1 where the field cannot be stored.

        The value's type in the message is asked (another parse) only where its text leaves it open.

        Args:
            text: the extracted expression.
            name: the field; the parsed column has the same name.
            message: the expression of the whole message.
        """
        column = f"`{name}`"
        kind = f"JSONType({message}, {literal(name)})"
        if not self.nullable:
            missing = f"isNull({column})"
        elif self.extracted == self.parsed:
            missing = ""
        else:
            missing = f"isNull({column}) != isNull({text})"
        if self.scalar == "String":
            doubt = f"(match({text}, {literal(_NO_STRING)}) AND {kind} != 'String')"
            return f"{missing} OR {doubt}" if missing else doubt
        if self.scalar.startswith("Decimal") or re.search("Int(64|128|256)", self.scalar):
            return f"{missing} OR (length({text}) > {EXACT_DIGITS + 1} AND {kind} = 'Double')"
        return missing
