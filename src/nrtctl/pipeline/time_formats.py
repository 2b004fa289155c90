"""Forms of dates and times, as strptime writes them, as SQL that rewrites a text to ISO 8601. Pure.

Called by `times`, and by `fields` to check what was written. The same on every server: no function
of the engine reads the form.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Sequence

from nrtctl.pipeline.texts import literal

ISO = "iso"
"""Among the formats: the form that is read where none is given."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_LONG_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_LONG_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"

_PARTS = {
    "Y": "([0-9]{4})", "y": "([0-9]{2})",
    "m": "(1[0-2]|0?[1-9])", "d": "(3[01]|[12][0-9]|0?[1-9])", "e": " ?(3[01]|[12][0-9]|[1-9])",
    "b": f"((?i:{'|'.join(_MONTHS)}))", "B": f"((?i:{'|'.join(_LONG_MONTHS)}))",
    "H": "(2[0-3]|[01]?[0-9])", "I": "(1[0-2]|0?[1-9])", "p": "((?i:AM|PM))",
    "M": "([0-5]?[0-9])", "S": "([0-5]?[0-9])", "f": "([0-9]{1,9})",
    "z": "([Zz]|UTC|GMT|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)", "Z": "(UTC|GMT|Z)",
    "a": f"(?i:{_DAYS})", "A": f"(?i:{_LONG_DAYS})", "%": "%",
}  # fmt: skip
"""Directive to what it matches; those that are read have a group."""

_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "h": "%b"}
_SAME = {"y": "Y", "e": "d", "b": "m", "B": "m", "I": "H", "Z": "z"}
"""Directives that say the same thing."""


class _Form:
    """One format, taken apart. `groups`: directive to the number of its group."""

    def __init__(self, text: str) -> None:
        for short, long in _SHORT.items():
            text = re.sub(f"(?<!%)((?:%%)*)%{short}", lambda m, to=long: m[1] + to, text)  # type: ignore[misc]
        self.groups: dict[str, int] = {}
        pattern = []
        for directive, plain in re.findall(r"%(.?)|([^%]+)", text, re.DOTALL):
            if plain:
                pattern.append(_escaped(plain))
                continue
            if directive not in _PARTS:
                known = ", ".join(f"%{each}" for each in [*_PARTS, *_SHORT])
                raise ValueError(f"%{directive} is not known; there are {known}")
            pattern.append(_PARTS[directive])
            if directive not in "aA%":
                if _SAME.get(directive, directive) in (_SAME.get(d, d) for d in self.groups):
                    raise ValueError(f"%{directive} repeats what is there already")
                self.groups[directive] = len(self.groups) + 1
        self.pattern = f"^{''.join(pattern)}$"

    def of(self, *directives: str) -> str | None:
        """SQL of the group of the first of the directives that is there."""
        number = next((self.groups[each] for each in directives if each in self.groups), None)
        return None if number is None else f"_g[{number}]"


def check(formats: Sequence[str], *, day: bool, cut: bool) -> None:
    """Refuse what is no format, or none of what is stored.

    Args:
        day: whether it is a day that is stored, not a time.
        cut: whether the time may be left out.

    Raises:
        ValueError: what is wrong, and what to write instead.
    """
    for text in formats:
        if text == ISO:
            continue
        try:
            form = _Form(text)
        except ValueError as error:
            raise ValueError(f"format: {text!r}: {error}") from None
        lacking = [
            name
            for name, all_of in {
                "a year (%Y)": ("Y", "y"), "a month (%m or %b)": ("m", "b", "B"),
                "a day (%d)": ("d", "e"),
            }.items()
            if form.of(*all_of) is None
        ]  # fmt: skip
        if lacking:
            raise ValueError(f"format: {text!r} lacks {', '.join(lacking)}")
        if ("I" in form.groups) != ("p" in form.groups):
            raise ValueError(f"format: {text!r}: %I and %p need each other; 24 hours are %H")
        timed = form.groups.keys() & {"H", "I", "M", "S", "f", "z", "Z"}
        if day and timed and not cut:
            raise ValueError(
                f'format: {text!r} has a time, which a date does not keep; add precision = "cut", '
                "or make it DateTime('UTC')"
            )
        if not day and form.of("H", "I") is None:
            raise ValueError(f"format: {text!r} has no hour (%H); make the field a Date, or add it")


def moment(text: str, form: str) -> tuple[datetime.datetime, int] | None:
    """The time that a text of this form is, without its offset, and how many of its decimals are
    not zeros at the end, as the SQL of `iso_of` reads it; None: it has another form, or there is no
    such time."""
    taken = _form(form)
    found = re.fullmatch(taken.pattern[1:-1], text)
    if found is None:
        return None

    def of(*directives: str) -> str:
        numbers = [taken.groups[each] for each in directives if each in taken.groups]
        return found[numbers[0]].strip() if numbers else ""

    year = int(of("Y") or (f"20{of('y')}" if of("y") < "69" else f"19{of('y')}"))
    month = int(of("m") or 0)
    if name := of("b", "B"):
        month = _MONTHS.index(name[:3].title()) + 1
    hour = int(of("H") or 0)
    if half := of("I"):
        hour = int(half) % 12 + (12 if of("p").lower() == "pm" else 0)
    try:
        at = datetime.datetime(
            year, month, int(of("d", "e")), hour, int(of("M") or 0), int(of("S") or 0)
        )
    except ValueError:
        return None
    return at, len(of("f").rstrip("0"))


@functools.cache
def _form(text: str) -> _Form:
    return _Form(text)


def iso_of(
    text: str, formats: Sequence[str], *, iso: str = "", any_iso: bool = False, day: bool = False
) -> str:
    """SQL: the text in ISO 8601; where it has none of the forms, what is no time at all.

    Args:
        iso: the text of one that is "iso"; empty: as it is.
        any_iso: it may have no hyphens.
    """
    cases = []
    hyphen, end = ("-?", "(?:[ Tt]|$)") if any_iso else ("-", "")
    for each in formats:
        if each == ISO:
            form = f"^[0-9]{{4}}{hyphen}[0-9]{{2}}{hyphen}[0-9]{{2}}{end}"
            cases.append(f"match({text}, '{form}'), {iso or text}")
        else:
            taken = _Form(each)
            pattern = literal(taken.pattern)
            groups = f"[extractGroups(assumeNotNull({text}), {pattern})]"
            rebuilt = f"arrayMap(_g -> {_rebuilt(taken, day=day)}, {groups})[1]"
            cases.append(f"match({text}, {pattern}), {rebuilt}")
    return f"multiIf({', '.join(cases)}, NULL)"


def _rebuilt(form: _Form, *, day: bool) -> str:
    """SQL of the ISO text over the groups `_g`."""
    year = form.of("Y") or ""
    if short := form.of("y"):
        year = f"concat(if({short} < '69', '20', '19'), {short})"
    month = _padded(form.of("m") or "")
    if name := form.of("b", "B"):
        listed = ", ".join(f"'{each.lower()}'" for each in _MONTHS)
        number = f"indexOf([{listed}], lower(substring({name}, 1, 3)))"
        month = _padded(f"toString({number})")
    date = f"{year}, '-', {month}, '-', {_padded(form.of('d', 'e') or '')}"
    if day:
        return f"concat({date})"
    hour = form.of("H") or ""
    if half := form.of("I"):
        later = f"if(lower({form.of('p')}) = 'pm', 12, 0)"
        hour = f"toString(toUInt8OrZero({half}) % 12 + {later})"
    parts = [date, "'T'", _padded(hour)]
    for directive in "MS":
        part = form.of(directive)
        parts += ["':'", _padded(part) if part else "'00'"]
    if fraction := form.of("f"):
        parts += ["'.'", fraction]
    if offset := form.of("z", "Z"):
        parts.append(f"if({offset} IN ('UTC', 'GMT'), 'Z', {offset})")
    return f"concat({', '.join(parts)})"


def _padded(digits: str) -> str:
    return f"leftPad({digits}, 2, '0')"


def _escaped(plain: str) -> str:
    """Text as a regular expression of RE2."""
    return re.sub(r"[][\\^$.|?*+(){}-]", r"\\\g<0>", plain)
