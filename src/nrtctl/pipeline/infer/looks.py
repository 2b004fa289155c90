"""What texts look like: times, days, UUIDs, addresses, numbers. Called by `guess`.

A look counts only where every text has it, as strictly as the pipeline will ask for it.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nrtctl.pipeline.commas import number
from nrtctl.pipeline.time_formats import moment

INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE][+-]?[0-9]+)?")
PLAIN_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.([0-9]+)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_WRAPPED = re.compile(rf"{_UUID.pattern}|\{{{_UUID.pattern}\}}|urn:uuid:{_UUID.pattern}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[ T]"
    r"(?P<clock>(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2})"
    r"(?:[.](?P<decimals>[0-9]{1,9}))?(?P<zone>Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])?"
)
_LENIENT_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]"
    r"(?::[0-5][0-9](?:[.,](?P<decimals>[0-9]{1,9}))?)?"
    r" ?(?P<zone>[Zz]|UTC|GMT|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?"
    r"(?P<name>\[[A-Za-z0-9_+/-]+\])?)?"
)
_COMPACT_TIME = re.compile(
    r"(?P<day>[0-9]{8})[Tt](?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9](?:[.,](?P<decimals>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?"
)
CODE = re.compile(r"[0-9]+E[0-9]+")
"""What could be a number, but is rather the code of something: programs write 1.2E+06 or 12e5."""

_WITH_THOUSANDS = re.compile(
    r"-?(?:0|[1-9][0-9]*|(?P<grouped>[1-9][0-9]{0,2}"
    r"(?:(?P<commas>(?:,[0-9]{3})+)|(?:[ \u00a0\u202f'’][0-9]{3})+)))(?P<decimals>\.[0-9]+)?"
)
FIRST_YEAR, LAST_YEAR = 1900, 2261
"""Of the times that every DateTime64 keeps."""

FORMATS = (
    "%d/%b/%Y:%H:%M:%S %z", "[%d/%b/%Y:%H:%M:%S %z]", "%d/%b/%Y:%H:%M:%S",
    "%a, %d %b %Y %H:%M:%S %z", "%d %b %Y %H:%M:%S %z", "%a, %d %b %y %H:%M:%S %z",
    "%A, %d-%b-%y %H:%M:%S %z", "%a, %d-%b-%Y %H:%M:%S %z",
    "%a %b %e %H:%M:%S %Y", "%a %b %e %H:%M:%S %z %Y", "%a %d %b %Y %I:%M:%S %p %Z",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y, %H:%M:%S", "%d.%m.%Y, %H:%M", "%d.%m.%Y",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M:%S %z", "%Y/%m/%dT%H:%M:%S", "%Y/%m/%dT%H:%M:%S%z",
    "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y.%m.%d",
    "%Y年%m月%d日 %H:%M:%S", "%Y年%m月%d日 %H:%M", "%Y年%m月%d日",
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m/%d/%Y, %I:%M:%S %p",
    "%d %b %Y %H:%M:%S", "%d %b %Y %H:%M", "%d %B %Y %H:%M:%S", "%d %B %Y %H:%M",
    "%d-%b-%Y %H:%M:%S", "%d-%b-%Y %H:%M", "%d-%b-%y %I.%M.%S %p", "%Y-%b-%d %H:%M:%S",
    "%b %d, %Y %I:%M:%S %p", "%b %d, %Y, %I:%M:%S %p", "%b %d, %Y %H:%M:%S", "%b %d %Y %H:%M:%S",
    "%b %d, %Y @ %H:%M:%S", "%B %d, %Y %I:%M:%S %p", "%B %d, %Y %H:%M:%S",
    "%b %d, %Y %I:%M %p", "%B %d, %Y %I:%M %p", "%b %d, %Y %H:%M", "%B %d, %Y %H:%M",
    "%Y-%m-%d %H:%M:%S %z UTC", "%Y-%m-%d-%H.%M.%S", "%Y-%m-%d %I:%M:%S %p",
    "%Y%m%d-%H:%M:%S", "%Y%m%d %H:%M:%S",
    "%d-%b-%Y", "%d-%b-%y", "%Y-%b-%d", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y",
    "%B %d, %Y", "%B %d %Y", "%d. %B %Y", "%a, %d %b %Y", "%A, %B %d, %Y", "%A, %d %B %Y",
    "%m/%d/%Y", "%d/%m/%Y",
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d",
)  # fmt: skip
"""Other ways to write times and days. The last ones are of numbers without leading zeros."""

SURE_FORMATS = (
    ("%d-%m-%Y %H:%M:%S", "%m-%d-%Y %H:%M:%S"), ("%d-%m-%Y %H:%M", "%m-%d-%Y %H:%M"),
    ("%d-%m-%Y", "%m-%d-%Y"),
)  # fmt: skip
"""Ways of which one counts only where the other is refuted."""

MOST_WHOLE_DIGITS = 14
"""Of the Decimal that numbers with a decimal comma become."""

STANDS_FOR_NOTHING = frozenset(
    {"", "-", "--", "NULL", "null", "None", "NA", "N/A", "n/a", "NaN", "\\N", "#N/A"}
)
NO_TIME = frozenset({
    "0000-00-00", "0000-00-00 00:00:00",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00",
})  # fmt: skip
"""Times of MySQL, and of Go and .NET, that are none."""


@dataclass(frozen=True, slots=True)
class Look:
    """A type that every text fits, with the options that it needs."""

    type: str
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_packed(text: str) -> bool:
    """Whether it is the JSON text of an object or array."""
    try:
        return text[:1] in {"{", "["} and isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def look(texts: Sequence[str]) -> Look | None:
    """What all of the texts look like, other than numbers; None: nothing in particular."""
    if not texts:
        return None
    for of in (_as_uuid, _as_time, _as_day, _as_address, _as_format):
        if found := of(texts):
            return found
    return None


def _all(matches: Callable[[str], object], texts: Iterable[str]) -> bool:
    return all(matches(text) for text in texts)


def _as_uuid(texts: Sequence[str]) -> Look | None:
    if _all(_UUID.fullmatch, texts):
        return Look("UUID")
    return Look("UUID", {"accept": ["wrapped"]}) if _all(_WRAPPED.fullmatch, texts) else None


def _as_time(texts: Sequence[str]) -> Look | None:
    lenient = {"accept": ["iso 8601"]}
    return (
        _times(texts, _TIME, {})
        or _times(texts, _LENIENT_TIME, lenient)
        or _times(texts, _COMPACT_TIME, lenient)
    )


def _times(texts: Sequence[str], form: re.Pattern[str], options: dict[str, Any]) -> Look | None:
    found = [form.fullmatch(text) for text in texts]
    matches = [each for each in found if each is not None]
    if len(matches) < len(found) or not all(_is_day(each["day"]) for each in matches):
        return None
    decimals = max(len((each["decimals"] or "").rstrip("0")) for each in matches)
    scale = _scale(decimals)
    years = [int(each["day"][:4]) for each in matches]
    if min(years) < FIRST_YEAR or max(years) > LAST_YEAR:
        return None
    bare = sum(each["zone"] is None for each in matches)
    notes: tuple[str, ...] = ()
    if bare:
        notes = (
            "no zone is written, so UTC is assumed: "
            f"DateTime64({scale}, 'Europe/Berlin') reads local times of Berlin",
        )
    return Look(f"DateTime64({scale}, 'UTC')", options, notes)


def _is_day(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _as_day(texts: Sequence[str]) -> Look | None:
    if not _all(_DAY.fullmatch, texts) or not _all(_is_day, texts):
        return None
    years = [int(text[:4]) for text in texts]
    return Look("Date32") if min(years) >= FIRST_YEAR and max(years) < LAST_YEAR else None


def compact_days(texts: Iterable[str]) -> bool:
    """Whether all are days without signs between, as in 20240131."""
    return all(re.fullmatch("[0-9]{8}", text) and _reads(text, "%Y%m%d") for text in texts)


def compact_times(texts: Iterable[str]) -> bool:
    """Whether all are times without signs between, as in 20240131235959."""
    form = "%Y%m%d%H%M%S"
    return all(re.fullmatch("[0-9]{14}", text) and _reads(text, form) for text in texts)


def _reads(text: str, form: str) -> bool:
    found = moment(text, form)
    return found is not None and FIRST_YEAR <= found[0].year < 2106


def _as_address(texts: Sequence[str]) -> Look | None:
    versions = set()
    for text in texts:
        try:
            versions.add(ipaddress.ip_address(text).version)
        except ValueError:
            return None
        if "%" in text:
            return None
    if versions == {4}:
        return Look("IPv4")
    notes = ("IPv4 addresses are kept as ::ffff:…",) if 4 in versions else ()
    return Look("IPv6", {}, notes)


def _as_format(texts: Sequence[str]) -> Look | None:
    fitting = [each for form in FORMATS if (each := _read_as(texts, form)) is not None]
    if not fitting:
        for pair in SURE_FORMATS:
            both = [each for form in pair if (each := _read_as(texts, form)) is not None]
            if len(both) == 1:
                return both[0]
        return None
    found, *others = fitting
    notes = [f"{each.options['format']!r} would fit as well" for each in others]
    return replace(found, notes=(*notes, *found.notes))


def _read_as(texts: Sequence[str], form: str) -> Look | None:
    """Texts that all have a form, some of them perhaps with decimals."""
    variants = [form, *(form.replace("%S", f"%S{mark}%f") for mark in ".," if "%S" in form)]
    used: set[str] = set()
    moments = []
    for text in texts:
        found = next(((v, at) for v in variants if (at := moment(text, v)) is not None), None)
        if found is None:
            return None
        used.add(found[0])
        moments.append(found[1])
    years = [at.year for at, _ in moments]
    if min(years) < FIRST_YEAR or max(years) > LAST_YEAR:
        return None
    formats = [each for each in variants if each in used]
    options = {"format": formats[0] if len(formats) == 1 else formats}
    if "%M" not in form:
        return Look("Date32", options)
    decimals = max(digits for _, digits in moments)
    kind = "DateTime('UTC')"
    if decimals or any("%f" in each for each in formats) or not _of_seconds(years):
        kind = f"DateTime64({_scale(decimals)}, 'UTC')"
    notes = (
        ()
        if {"%z", "%Z"} & {*re.findall("%.", form)}
        else ("no zone is written, so UTC is assumed",)
    )
    return Look(kind, options, notes)


def _of_seconds(years: Sequence[int]) -> bool:
    """Whether a DateTime has times of these years, whatever their offset."""
    return min(years) > 1970 and max(years) < 2106


def _scale(decimals: int) -> int:
    return next(each for each in (3, 6, 9) if decimals <= each)


def decimal_comma(texts: Sequence[str]) -> list[str] | None:
    """The leniencies that read all of the texts as numbers with a decimal comma; None: they are
    none, or could as well have a comma between thousands."""
    found = [number(text) for text in texts]
    numbers = [each for each in found if each is not None]
    if len(numbers) < len(found) or not any(len(each.decimals) not in (0, 3) for each in numbers):
        return None
    if any(len(each.decimals) > 4 or len(each.whole) > MOST_WHOLE_DIGITS for each in numbers):
        return None
    if any(each.grouped and not each.decimals and len(each.whole) < 7 for each in numbers):
        return None
    grouped = any(each.grouped for each in numbers)
    return ["decimal comma", "thousands"] if grouped else ["decimal comma"]


def thousands(texts: Sequence[str]) -> list[str] | None:
    """The texts as numbers without marks between thousands; None: one is none, or the commas
    could as well be decimal ones."""
    found = [_WITH_THOUSANDS.fullmatch(text) for text in texts]
    matches = [each for each in found if each is not None]
    sure = any(
        each["grouped"] and (each["decimals"] or (each["commas"] or "").count(",") > 1)
        for each in matches
    )
    if len(matches) < len(found) or not sure:
        return None
    return [re.sub("[^0-9.-]", "", text) for text in texts]


def integers(texts: Iterable[str]) -> list[int] | None:
    """The texts as integers without leading zeros; None: one is none."""
    found = []
    for text in texts:
        if not INTEGER.fullmatch(text) or len(text) > 78:
            return None
        found.append(int(text))
    return found


def decimals(texts: Iterable[str]) -> int | None:
    """Most decimals of texts that are plain decimal numbers; None: one is none."""
    most = 0
    for text in texts:
        if not INTEGER.fullmatch(text):
            found = PLAIN_DECIMAL.fullmatch(text)
            if found is None:
                return None
            most = max(most, len(found[1]))
    return most
