"""SQL that casts a text to a scalar type, or gives NULL where the cast would change it. Pure text.

Called by `types`.
"""

from __future__ import annotations

import re

_DECIMAL = re.compile(r"Decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_TIME = re.compile(r"DateTime(?:64)?(?:\(\s*(?P<scale>[0-9])?\s*,?\s*(?:'(?P<zone>[^']+)')?\s*\))?")
_NAME = re.compile(r"'(?:[^'\\]|\\.)+'")
MOST_DECIMAL_DIGITS = 76


def literal(text: str) -> str:
    """An SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


def decimal_digits(kind: str) -> tuple[int, int] | None:
    """Precision and scale of a Decimal type; None: it is another type."""
    found = _DECIMAL.fullmatch(kind)
    return (int(found[1]), int(found[2])) if found else None


def cast(text: str, kind: str) -> str:
    """SQL: the Nullable(String) expression `text` as Nullable(`kind`)."""
    accurate = f"accurateCastOrNull({text}, {literal(kind)})"
    if kind == "String":
        return text
    if kind == "Bool":
        return f"multiIf({text} = 'true', true, {text} = 'false', false, NULL)"
    if kind.startswith("Float"):
        return f"if(isFinite({accurate}), {accurate}, NULL)"
    if kind.endswith(("Int128", "Int256")):
        return f"if(toString({accurate}) = if({text} = '-0', '0', {text}), {accurate}, NULL)"
    if kind in {"Date", "Date32"}:
        return f"if(toString({accurate}) = {text}, {accurate}, NULL)"
    if kind.startswith("Enum"):
        names = _NAME.findall(kind)
        known = f"{text} IN ({', '.join(names)})"
        return f"if({known}, CAST(if({known}, {text}, {names[0]}), {literal(kind)}), NULL)"
    if kind.startswith("Decimal"):
        return f"if(match({text}, {literal(_decimal_pattern(kind))}), {accurate}, NULL)"
    if kind.startswith("DateTime"):
        return _time(text, kind)
    return accurate


def _decimal_pattern(kind: str) -> str:
    precision, scale = decimal_digits(kind) or (0, 0)
    whole = f"0*[0-9]{{1,{precision - scale}}}" if precision > scale else "0+"
    fraction = f"[0-9]{{1,{scale}}}0*" if scale else "0+"
    return f"^-?{whole}(?:[.]{fraction})?$"


def _time(text: str, kind: str) -> str:
    """ISO 8601 with seconds, at most as many decimals as are stored, any offset or none."""
    found = _TIME.fullmatch(kind)
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
    exact = f"accurateCastOrNull({wide}, {literal(kind)})"
    if kind.startswith("DateTime64"):
        return f"if(toYear({wide}) BETWEEN 1900 AND 2261, {exact}, NULL)"
    return f"if(toUnixTimestamp64Second({wide}) = toUnixTimestamp({exact}), {exact}, NULL)"
