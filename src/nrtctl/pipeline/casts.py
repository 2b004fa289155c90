"""SQL that casts a text to a scalar type, or gives NULL where the cast would change it. Pure text.

Called by `field_types`.
"""

from __future__ import annotations

import re

from nrtctl.pipeline import times
from nrtctl.pipeline.objects import unchanged
from nrtctl.pipeline.options import PLAIN, Options, is_clock, is_day
from nrtctl.pipeline.spellings import rewritten
from nrtctl.pipeline.texts import bound
from nrtctl.pipeline.texts import literal as literal

_DECIMAL = re.compile(r"Decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_NAME = re.compile(r"'(?:[^'\\]|\\.)+'")
MOST_DECIMAL_DIGITS = 76


def decimal_digits(kind: str) -> tuple[int, int] | None:
    """Precision and scale of a Decimal type; None: it is another type."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else None


def cast(text: str, kind: str, options: Options = PLAIN) -> str:
    """SQL: the Nullable(String) expression `text` as Nullable(`kind`)."""
    return bound(rewritten(text, kind, options), lambda t: _cast(t, kind, options))


def _cast(text: str, kind: str, options: Options) -> str:
    accurate = f"accurateCastOrNull({text}, {literal(kind)})"
    if kind == "String":
        return text
    if kind == "Bool":
        return _bool(text, options)
    if kind.startswith("FixedString"):
        return f"if(length({text}) = {kind[12:-1].strip()}, {accurate}, NULL)"
    if kind == "JSON":
        return unchanged(text, accurate)
    if is_clock(kind) and options.epoch:
        return times.since_midnight(text, kind, options)
    if is_clock(kind):
        whole = accurate if kind != "Time" else accurate.replace(text, _whole_seconds(text), 1)
        return f"if(match({text}, {literal(_hours_pattern(kind))}), {whole}, NULL)"
    if kind == "BFloat16":
        return f"if(isFinite(toFloat32({accurate})), {accurate}, NULL)"
    if kind.startswith("Float"):
        finite = f"if(isFinite({accurate}), {accurate}, NULL)"
        return _or_not_finite(text, kind, finite) if "nan" in options.accept else finite
    if kind.endswith(("Int128", "Int256")):
        return f"if(toString({accurate}) = if({text} = '-0', '0', {text}), {accurate}, NULL)"
    if options.epoch:
        return times.since_1970(text, kind, options)
    if is_day(kind):
        return times.day(text, kind, options)
    if kind.startswith("Enum"):
        names = _NAME.findall(kind)
        known = f"{text} IN ({', '.join(names)})"
        return f"if({known}, CAST(if({known}, {text}, {names[0]}), {literal(kind)}), NULL)"
    if kind.startswith("Decimal"):
        return f"if(match({text}, {literal(_decimal_pattern(kind))}), {accurate}, NULL)"
    if kind.startswith("DateTime"):
        return times.time(text, kind, options)
    return accurate


def _whole_seconds(text: str) -> str:
    return f"substringIndex({text}, '.', 1)"


def _hours_pattern(kind: str) -> str:
    scale = int(kind[7:-1]) if kind.startswith("Time64") else 0
    decimals = f"[0-9]{{1,{scale}}}0*" if scale else "0+"
    return f"^-?[0-9]{{2,3}}(?::[0-5][0-9]){{2}}(?:[.]{decimals})?$"


def _bool(text: str, options: Options) -> str:
    true, false = ["true"], ["false"]
    if "0/1" in options.accept:
        true, false = [*true, "1"], [*false, "0"]
    if "yes/no" in options.accept:
        true, false = [*true, "yes", "y", "on", "t"], [*false, "no", "n", "off", "f"]
    if "any case" in options.accept:
        text = f"lower({text})"
    conditions = [
        f"{text} = {literal(each[0])}"
        if len(each) == 1
        else f"{text} IN ({', '.join(map(literal, each))})"
        for each in (true, false)
    ]
    return f"multiIf({conditions[0]}, true, {conditions[1]}, false, NULL)"


def _or_not_finite(text: str, kind: str, finite: str) -> str:
    word = f"lower({text})"
    words = {
        "nan": ("nan", "-nan", "+nan"),
        "inf": ("inf", "infinity", "+inf", "+infinity"),
        "-inf": ("-inf", "-infinity"),
    }
    cases = ", ".join(
        f"{word} IN ({', '.join(map(literal, each))}), CAST({value}, {literal(kind)})"
        for value, each in words.items()
    )
    return f"multiIf({cases}, {finite})"


def _decimal_pattern(kind: str) -> str:
    precision, scale = decimal_digits(kind) or (0, 0)
    whole = f"0*[0-9]{{1,{precision - scale}}}" if precision > scale else "0+"
    fraction = f"[0-9]{{1,{scale}}}0*" if scale else "0+"
    return f"^-?{whole}(?:[.]{fraction})?$"
