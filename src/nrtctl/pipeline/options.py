"""What a field may say of how its values are written, beside their type. Pure.

Parsed from `[pipeline.fields]` (`fields`), asked by `casts` and `field_types`. A leniency is never
on by itself; `LENIENCIES` is the whole list, of which docs/messages.md is the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

BYTES = ("base64", "hex")
"""Formats of bytes: those of a text, or of a number, two's complement, the highest byte first."""

_ENUM_NAME = re.compile(r"'((?:[^'\\]|\\.)+)'")
_ENUM_ITEM = re.compile(rf"{_ENUM_NAME.pattern}\s*(?:=\s*(-?[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Options:
    """How the values of a field are written.

    Attributes:
        optional: a default stands in where there is no value.
        bare: the text is that of a record's key or header, not a value in JSON.
        changed: the text is changed before it is cast: some texts count as no value.
        epoch: the unit of numbers that are times: d, s, ms, us or ns; empty: none.
        formats: of texts that are times, in the order in which they are tried; empty: ISO 8601.
        cut: whether decimals beyond those that are stored are left out.
        accept: leniencies by name.
        json_text: an array or object is kept as its JSON text.
        values_as_text: the values of a map are of any kind, and kept as text.
        empty_inside: arrays and maps inside that are missing or null are empty.
        every_digit: the text of a number has all digits that the message has.
    """

    optional: bool = False
    bare: bool = False
    changed: bool = False
    epoch: str = ""
    formats: tuple[str, ...] = ()
    cut: bool = False
    accept: frozenset[str] = frozenset()
    json_text: bool = False
    values_as_text: bool = False
    empty_inside: bool = False
    every_digit: bool = False

    @property
    def binary(self) -> str:
        """How bytes are written, if `time_formats` says that the text is bytes."""
        return self.formats[0] if self.formats and self.formats[0] in BYTES else ""


PLAIN = Options()

Applies = Callable[[str], bool]


class Leniency(NamedTuple):
    """`types`: those that it may be chosen for, as a person reads them."""

    applies: Applies
    types: str
    meaning: str


def is_integer(kind: str) -> bool:
    return bool(re.match(r"U?Int[0-9]", kind))


def is_decimal(kind: str) -> bool:
    return kind.startswith("Decimal")


def is_time(kind: str) -> bool:
    """A point in time, not a day."""
    return kind.startswith("DateTime")


def is_day(kind: str) -> bool:
    return kind in {"Date", "Date32"}


def is_clock(kind: str) -> bool:
    """Hours, minutes and seconds, of no day."""
    return kind.startswith("Time")


def is_of_bytes(kind: str) -> bool:
    """Whether text may be the bytes of such a value."""
    return is_decimal(kind) or kind.startswith(("String", "FixedString"))


def is_address(kind: str) -> bool:
    return kind in {"IPv4", "IPv6"}


def is_enum(kind: str) -> bool:
    return kind.startswith("Enum")


def _is_float(kind: str) -> bool:
    return kind.startswith(("Float", "BFloat"))


def _is_number(kind: str) -> bool:
    return is_integer(kind) or is_decimal(kind) or _is_float(kind)


LENIENCIES = {
    "0/1": Leniency(lambda kind: kind == "Bool", "Bool", "0 and 1, also in a string"),
    "yes/no": Leniency(
        lambda kind: kind == "Bool", "Bool",
        "the strings `yes` and `no`, `y` and `n`, `on` and `off`, `t` and `f`",
    ),
    "any case": Leniency(
        lambda kind: kind == "Bool" or is_enum(kind), "Bool, Enum",
        "`True`, `YES`; a name of an Enum in capital or small letters",
    ),
    "numbers": Leniency(
        lambda kind: kind in {"String", "IPv4"} or is_enum(kind), "String, Enum, IPv4",
        "a number as its text, as the number of an Enum's name, as an address",
    ),
    "booleans": Leniency(
        lambda kind: kind == "String" or _is_number(kind), "String, integers, Float, Decimal",
        "`true` and `false` as their text, or as 1 and 0",
    ),
    "nan": Leniency(
        _is_float, "Float, and what `json` or `values` keep as text",
        "the strings `NaN`, `Infinity`, `-Infinity`, `inf`, `-inf` in any case; in text the words",
    ),
    "spellings": Leniency(
        _is_number, "integers, Float, Decimal",
        "`+5`, `.5`, `5.`, `1E+3` and, for integers, `5.0` in a string; a JSON number with more "
        "digits than a double keeps, as it is written, but not inside an array or object",
    ),
    "decimal comma": Leniency(
        lambda kind: is_decimal(kind) or _is_float(kind), "Float, Decimal",
        "`0,99` in a string; one with a point is refused then",
    ),
    "thousands": Leniency(
        _is_number, "integers, Float, Decimal",
        "groups of three digits in a string: `1,234.56`, `1 234`, `1'234`; after `decimal comma` "
        "`1.234,56`",
    ),
    "broken text": Leniency(
        lambda kind: kind == "String", "String",
        "half of a surrogate pair and bytes that are no UTF-8, each stored as U+FFFD; control "
        "characters without an escape",
    ),
    "spaces": Leniency(lambda kind: kind != "String", "all but String", "white space around it"),
    "not JSON": Leniency(
        lambda kind: True, "all, of a path into a key or header",
        "a key or header that is no JSON object: the value is missing",
    ),
    "wrapped": Leniency(
        lambda kind: kind == "UUID", "UUID", "in braces, or after `urn:uuid:`",
    ),
    "port": Leniency(is_address, "IPv4, IPv6", "`192.0.2.1:8080`, `[2001:db8::1]:80`: without it"),
    "zone": Leniency(lambda kind: kind == "IPv6", "IPv6", "`fe80::1%eth0`: without it"),
    "mapped": Leniency(lambda kind: kind == "IPv4", "IPv4", "`::ffff:192.0.2.1`"),
    "iso 8601": Leniency(
        is_time, "DateTime, DateTime64",
        "no seconds (`2024-05-06T07:08Z`), no hyphens and colons (`20240506T070809Z`), a decimal "
        "comma, a space before the offset, `UTC` or `GMT`, and a zone's name behind an offset "
        "(`+02:00[Europe/Berlin]`)",
    ),
    "date only": Leniency(is_time, "DateTime, DateTime64", "a day without a time: its midnight"),
}  # fmt: skip
"""By name, in the order of the page."""


def fitting(kind: str, options: Options) -> Options:
    """What of the options means something for the scalar type `kind`."""
    dated = is_time(kind) or is_day(kind)
    accept = {
        name for name in options.accept if name not in LENIENCIES or _applies(name, kind, options)
    }
    return replace(
        options,
        epoch=options.epoch if dated or is_clock(kind) else "",
        formats=options.formats if dated or (options.binary and is_of_bytes(kind)) else (),
        cut=options.cut and dated,
        accept=frozenset(accept),
    )


def _applies(name: str, kind: str, options: Options) -> bool:
    kept = kind == "String" and (options.json_text or options.values_as_text)
    return LENIENCIES[name].applies(kind) or (name == "nan" and kept)


def check(kind: str, options: Options) -> None:
    """Refuse what means nothing for the scalar type `kind`.

    Raises:
        ValueError: what is wrong, and what to write instead.
    """
    _check_times(kind, options)
    readable = options.accept & {"broken text", "nan"}
    only = Options(options.optional, json_text=True, accept=readable)
    if options.json_text and (kind != "String" or options != only):
        raise ValueError(
            'json: "text" is for String, and cannot be combined with options about how the '
            "value is written"
        )
    for name in sorted(options.accept):
        known = LENIENCIES.get(name)
        if known is None:
            listed = _listed(n for n in LENIENCIES if _applies(n, kind, options))
            raise ValueError(f"accept: {name!r} does not exist; for {kind} there are {listed}")
        if not _applies(name, kind, options):
            listed = _listed(n for n in LENIENCIES if _applies(n, kind, options))
            raise ValueError(
                f"accept: {name!r} is for {known.types}, not for {kind}, for which there are "
                f"{listed}"
            )
    if is_enum(kind):
        _check_enum(kind, options)


def _check_times(kind: str, options: Options) -> None:
    dated = is_time(kind) or is_day(kind)
    if options.epoch and not (dated or is_clock(kind)):
        raise ValueError(
            f"epoch: {kind} is not a time; leave out epoch, or make it DateTime64(3, 'UTC')"
        )
    if options.epoch == "d" and not is_day(kind):
        raise ValueError(f'epoch: "d" counts days, for Date or Date32, not for {kind}')
    if options.binary:
        if not is_of_bytes(kind) or len(options.formats) > 1:
            raise ValueError(
                f'format: "{options.binary}" cannot be combined with others, and is for '
                f"String, FixedString and Decimal, not for {kind}"
            )
    elif options.formats and not dated:
        raise ValueError(
            f"format: {kind} is not a time; leave out format, or make it DateTime('UTC')"
        )
    of_iso = sorted(options.accept & {"iso 8601", "date only"})
    if of_iso and options.formats and "iso" not in options.formats:
        raise ValueError(f'accept: {of_iso[0]!r} is about the format "iso", so add that to format')
    if options.epoch and options.formats:
        raise ValueError("epoch is for numbers and format for text: keep one of them")
    if options.cut and not dated:
        raise ValueError(
            f'precision: "cut" is for Date, DateTime and DateTime64, not for {kind}; leave it out'
        )


def _check_enum(kind: str, options: Options) -> None:
    names = enum_names(kind)
    if "any case" in options.accept and len({each.lower() for each in names}) < len(names):
        raise ValueError(f'accept: "any case" cannot tell the names of {kind} from each other')
    if "numbers" in options.accept and any(re.fullmatch("-?[0-9]+", name) for name in names):
        raise ValueError(f'accept: "numbers" cannot tell numbers from the names of {kind}')


def enum_names(kind: str) -> dict[str, int]:
    """Name, as it is stored, to its number. Numbers that are not written go on from the last."""
    found: dict[str, int] = {}
    number = 0
    for name, written in _ENUM_ITEM.findall(kind):
        number = int(written) if written else number + 1
        found[re.sub(r"\\(.)", r"\1", name)] = number
    return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
