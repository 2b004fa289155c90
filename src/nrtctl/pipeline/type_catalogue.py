"""The types of one value, one row for those that are read alike. Pure.

`field_types` accepts what a row's pattern matches, `keeping` knows types by it, and the table of
docs/messages.md is made of it. What a new type may need beside its row: a cast of its own
(`casts`); a line of what it may become (`keeping`); other words that mean it (`suggest`); what a
field of it may be given (`options`); that a sample has it (`infer.looks`, `infer.guess`); a setting
of older servers (`schema.allowing`); its width for clients of the local stack
(`local.front.native_types`); that cells of CSV are numbers (`producer.sources.files.cells`); its
type in a schema that `produce` registers (`kafka.formats.encoder`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ITEM = r"\s*'(?:[^'\\]|\\.)+'(?:\s*=\s*-?[0-9]+)?\s*"
_ZONE = r"'[A-Za-z0-9_/+-]+'"


class Row(NamedTuple):
    """Attributes:
    names: as a person writes them.
    pattern: of the type's text.
    read: from which JSON values.
    refused: which values have the wrong type.
    repeats: whether the engine has it as LowCardinality(…).
    """

    names: tuple[str, ...]
    pattern: str
    read: str
    refused: str
    repeats: bool = False


ROWS = (
    Row(
        ("Int8…Int256", "UInt8…UInt256"), r"U?Int(?:8|16|32|64|128|256)",
        "a number without a fraction (`7`, `1.0`, `1e1`, `-0`), digits in a string (`\"7\"`)",
        "`1.5`, `\"1.0\"`, `\" 7\"`, `true`, anything out of range", repeats=True,
    ),
    Row(
        ("Float32", "Float64", "BFloat16"), r"Float(?:32|64)|BFloat16",
        "a number, a number in a string", "NaN, infinity, beyond the range", repeats=True,
    ),
    Row(
        ("Decimal(P, S)",), r"Decimal\(\s*\d+\s*,\s*\d+\s*\)",
        "a number or digits in a string, at most S decimals but for zeros",
        "more digits than P or S; a JSON number with a fraction and more than 15 digits: write it "
        "as a string",
    ),
    Row(
        ("String",), r"String",
        "a string, escaped NUL (`\\u0000`) included; of numbers only whole ones beyond 64 bits, as "
        "their digits, since the engine takes them for text",
        "another number, `true`, an array, an object", repeats=True,
    ),
    Row(
        ("FixedString(n)",), r"FixedString\(\s*[1-9]\d{0,5}\s*\)",
        "a string of exactly n bytes of UTF-8", "a shorter one, which would be filled with NULs",
        repeats=True,
    ),
    Row(
        ("Bool",), r"Bool", "`true`, `false`, also as strings", '`1`, `"yes"`', repeats=True,
    ),
    Row(
        ("UUID",), r"UUID",
        "32 hexadecimal digits with or without the four hyphens, in either case",
        "braces, `urn:uuid:`", repeats=True,
    ),
    Row(
        ("Date", "Date32"), r"Date|Date32", '`"2024-02-29"`',
        "another form, a day that is none, a number, a time", repeats=True,
    ),
    Row(
        ("DateTime",), rf"DateTime(?:\(\s*{_ZONE}\s*\))?",
        "RFC 3339: with seconds, `T` or a space, `Z` or an offset (`+02:00`, `+0200`, `+02`) or "
        "none (then the type's time zone)",
        "a number of seconds, decimals, years that do not fit, a local time that does not exist",
        repeats=True,
    ),
    Row(
        ("DateTime64(n)",), rf"DateTime64\(\s*[0-9](?:\s*,\s*{_ZONE}\s*)?\)",
        "the same, with at most n decimals but for zeros",
        "a number of seconds, more decimals than are stored, years that do not fit, a local time "
        "that does not exist",
    ),
    Row(
        ("Time", "Time64(n)"), r"Time|Time64\(\s*[0-9]\s*\)",
        'hours, minutes, seconds: `"07:08:09"`, `"-100:00:00.5"`, at most n decimals but for zeros',
        "a number, no seconds, more than 999 hours",
    ),
    Row(("IPv4", "IPv6"), r"IPv4|IPv6", "its text", "a number", repeats=True),
    Row(
        ("Enum8('a' = 1, …)", "Enum16(…)"), rf"Enum(?:8|16)\({_ITEM}(?:,{_ITEM})*\)",
        "one of its names, a string", "its number, another case",
    ),
    Row(
        ("JSON",), r"JSON", "an object of any shape; a key that is null is as one that is missing",
        "what ClickHouse would change: an equal key, an empty object inside, a key with a dot",
    ),
)  # fmt: skip

_SIZES = (8, 16, 32, 64, 128, 256)


def _words(name: str) -> tuple[str, ...]:
    """`Int8…Int256` are six."""
    first, more, _ = name.partition("…")
    return tuple(f"{first[:-1]}{bits}" for bits in _SIZES) if more else (name,)


_ONE = re.compile("|".join(row.pattern for row in ROWS))
_REPEATS = re.compile("|".join(row.pattern for row in ROWS if row.repeats))

NAMES = ", ".join(name for row in ROWS for name in row.names)
WORDS = tuple(word for row in ROWS for name in row.names for word in _words(name.partition("(")[0]))
"""What the text of a type begins with."""


def known(kind: str) -> bool:
    """Whether it is the text of a type of one value."""
    return _ONE.fullmatch(kind) is not None


def repeats(kind: str) -> bool:
    """Whether there is a LowCardinality of it."""
    return _REPEATS.fullmatch(kind) is not None


def table() -> list[str]:
    """The rows of the page's table, as Markdown."""
    return [
        f"| {', '.join(f'`{name}`' for name in row.names)} | {row.read} | {row.refused} |"
        for row in ROWS
    ]
