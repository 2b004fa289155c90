"""SQL that casts a text, or a number of units since 1970, to a day or a point in time. Pure text.

Called by `casts`. Each gives NULL where the cast would change something.
"""

from __future__ import annotations

import re
import zlib
from datetime import datetime, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nrtctl.pipeline.options import Options
from nrtctl.pipeline.texts import bound, literal, replaced
from nrtctl.pipeline.time_formats import iso_of

_TIME = re.compile(
    r"(?:Date)?Time(?:64)?(?:\(\s*(?P<scale>[0-9])?\s*,?\s*(?:'(?P<zone>[^']+)')?\s*\))?"
)
_ZONE = re.compile(r"DateTime(?:64)?\([^()']*'([^']+)'")
_LOCAL = re.compile(
    r'"?([0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt]((?:[0-9]{2}:){2}[0-9]{2})(?:[.][0-9]+)?"?'
)
_OF_A_SELECT = re.compile(r"_(?:fields|alone[0-9]+|t[0-9]+|h[0-9]+)(?:[.][0-9]+)*")
"""Texts of fields as `schema` names them, which a SELECT has."""

_UTC = re.compile(r"(?:Etc/)?(?:UTC|UCT|GMT|Zulu|Universal|Greenwich|GMT[+-]?[0-9]{1,2})")
"""Zones whose clocks are never changed."""

_OFFSET = "[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
_CLOCK = "(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}"
_POWERS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_DAY_SECONDS = 86_400
_MOST_HOURS = 1000
"""That a Time has no more, in either direction."""

_FIRST, _END = -2_208_988_800, 9_214_646_400
"""Seconds of 1900 and of 2262, between which DateTime64 has all of its digits."""

_MOST_SECONDS = {"DateTime": 2**32, "Date": 2**16 * _DAY_SECONDS}


def zone_of(kind: str) -> str:
    """The zone that a type of times names; empty: none."""
    found = _ZONE.search(kind)
    return found[1] if found else ""


def skipped_by(kind: str, text: str) -> str:
    """The zone of the type whose clocks skip a local time; empty: they do not, or it is none.

    Args:
        text: of the time, as it is or as JSON.
    """
    zone, found = zone_of(kind), _LOCAL.fullmatch(text)
    if not zone or found is None:
        return ""
    try:
        local = datetime.fromisoformat(f"{found[1]}T{found[2]}")
        shown = local.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)  # noqa: UP017
        return "" if shown.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local else zone
    except (ValueError, OverflowError, ZoneInfoNotFoundError):
        return ""


def scale_of(kind: str) -> int:
    """Digits of a second that a DateTime, DateTime64, Time or Time64 keeps."""
    found = _TIME.fullmatch(kind)
    return int(found["scale"] or 0) if found else 0


def time(text: str, kind: str, options: Options) -> str:
    """SQL: the Nullable(String) `text` as a Nullable DateTime or DateTime64.

    ISO 8601 with seconds, at most as many decimals as are stored, any offset or none. A local time
    that the zone's clocks skip is NULL; of one that they show twice it is the first.
    """
    return bound(_written(text, options), lambda t: _time(t, kind, options))


def _time(text: str, kind: str, options: Options) -> str:
    found = _TIME.fullmatch(kind)
    scale, zone = (int(found["scale"] or 0), found["zone"]) if found else (0, None)
    decimals = "[0-9]+" if options.cut else f"[0-9]{{1,{scale}}}0*" if scale else "0+"
    years = "(?:1[0-9]|2[0-2])[0-9]{2}"
    shape = f"^{years}-[0-9]{{2}}-[0-9]{{2}}[ Tt]{_CLOCK}(?:[.]{decimals})?(?:[Zz]|{_OFFSET})?$"
    local = zone is None or not _UTC.fullmatch(zone)
    spelt = f"{'translate' if local else 'upper'}({_cut(text, scale, options)}"
    spelt += ", 'Ttz', '  Z')" if local else ")"
    arguments = f", {literal(zone)}" if zone else ""
    fine, fine_again = _named(f"if(match({text}, {literal(shape)}), {spelt}, NULL)", text, local)
    parsed = f"parseDateTime64BestEffortOrNull({fine}, {scale}{arguments})"
    wide, wide_again = _named(parsed, text, local)
    exact, exact_again = _named(f"accurateCastOrNull({wide_again}, {literal(kind)})", text, local)
    if kind.startswith("DateTime64"):
        right = f"toYear({wide}) BETWEEN 1900 AND 2261"
    else:
        right = f"toUnixTimestamp64Second({wide}) = toUnixTimestamp({exact})"
        exact = exact_again
    if local:
        right = f"{right} AND {_is_there(fine_again, exact, zone, scale)}"
        exact = exact_again
    return f"if({right}, {exact}, NULL)"


def _named(sql: str, text: str, wanted: bool) -> tuple[str, str]:
    """The expression where it is first, and where it comes again: by a name, since each time that
    it is written costs every insert; but not within a lambda, whose argument `text` may be."""
    if not wanted or not _OF_A_SELECT.fullmatch(text):
        return sql, sql
    name = f"_at{zlib.crc32(sql.encode()):08x}"
    return f"({sql} AS {name})", name


def _is_there(fine: str, exact: str, zone: str | None, scale: int) -> str:
    """SQL: no clock change skips the time: the zone shows it as it was written."""
    shown = f"startsWith({fine}, toString({exact}))"
    if scale:
        shown = f"startsWith(toString({exact}), substring({fine}, 1, 19))"
    same = f"({shown} OR match({fine}, '(?:Z|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$'))"
    return f"(timezone() IN ('UTC', 'Etc/UTC') OR {same})" if zone is None else same


def _written(text: str, options: Options) -> str:
    """SQL: the text as it would be in the form that `time` reads, of all forms that are chosen."""
    if options.formats:
        any_iso = "iso 8601" in options.accept
        lenient = _lenient(text, options)
        return iso_of(text, options.formats, iso=lenient, any_iso=any_iso)
    return _lenient(text, options)


def _lenient(text: str, options: Options) -> str:
    if "date only" in options.accept:
        day = literal("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
        text = bound(text, lambda t: f"if(match({t}, {day}), concat({t}, ' 00:00:00'), {t})")
    if "iso 8601" in options.accept:
        text = _of_any_iso(text)
    return text


def _of_any_iso(text: str) -> str:
    form = (
        r"^([0-9]{4})-?([0-9]{2})-?([0-9]{2})[ Tt]([0-9]{2}):?([0-9]{2})"
        rf"(?::?([0-9]{{2}})(?:[.,]([0-9]+))?)?(?: ?([Zz]|UTC|GMT|{_OFFSET})"
        r"(?:\[[A-Za-z0-9_/+-]+\])?)?$"
    )
    whole = replaced(text, form, r"\1-\2-\3T\4:\5:\6.\7\8")
    seconds = f"replaceOne({whole}, ':.', ':00.')"
    return replaced(replaced(seconds, "[.]([A-Za-z+-]|$)", r"\1"), "(?:UTC|GMT)$", "Z")


def _cut(text: str, scale: int, options: Options) -> str:
    if not options.cut:
        return text
    kept = f"([.][0-9]{{{scale}}})[0-9]+" if scale else "()[.][0-9]+"
    return replaced(text, kept, r"\1")


def day(text: str, kind: str, options: Options) -> str:
    """SQL: the Nullable(String) `text` as a Nullable Date or Date32. Where it is cut, the day of a
    time is the one that is written."""
    if options.formats:
        text = iso_of(text, options.formats, day=True)
    elif options.cut:
        of_time = rf"^(.{{10}})[ Tt]{_CLOCK}(?:[.][0-9]+)?(?:[Zz]|{_OFFSET})?$"
        text = replaced(text, of_time, r"\1")
    return bound(text, lambda t: _day(t, kind))


def _day(text: str, kind: str) -> str:
    accurate = f"accurateCastOrNull({text}, {literal(kind)})"
    return f"if(toString({accurate}) = {text}, {accurate}, NULL)"


def since_1970(text: str, kind: str, options: Options) -> str:
    """SQL: the Nullable(String) `text`, a number of `options.epoch`, as the Nullable `kind`."""
    number = f"match({text}, {literal(_number(kind, options))})"
    digits = replaced(text, "([.][0-9]{9})[0-9]+", r"\1")
    seconds = f"toDecimal128OrNull(if({number}, {digits}, NULL), 9)"
    if options.epoch == "d":
        seconds = f"{seconds} * {_DAY_SECONDS}"
    elif power := _POWERS[options.epoch]:
        seconds = f"{seconds} / {10**power}"
    if options.cut and kind.startswith("DateTime"):
        seconds = f"floor({seconds}, {scale_of(kind)})"
    return bound(seconds, lambda s: _of_seconds(s, kind, options))


def since_midnight(text: str, kind: str, options: Options) -> str:
    """SQL: the Nullable(String) `text`, a number of `options.epoch`, as the Nullable `kind`, which
    is a Time or Time64."""
    number = f"match({text}, {literal(_number(kind, options))})"
    seconds = f"toDecimal128OrNull(if({number}, {text}, NULL), 9)"
    if power := _POWERS[options.epoch]:
        seconds = f"{seconds} / {10**power}"

    def value(s: str) -> str:
        given = f"toInt64({s})" if kind == "Time" else s
        return f"if(abs({s}) < {_MOST_HOURS * 3600}, CAST({given}, 'Nullable({kind})'), NULL)"

    return bound(seconds, value)


def _of_seconds(seconds: str, kind: str, options: Options) -> str:
    name = kind.partition("(")[0]
    if name in {"Date", "Date32"}:
        days = f"floor({seconds} / {_DAY_SECONDS})"
        whole = "" if options.cut else f" AND {days} * {_DAY_SECONDS} = {seconds}"
        value = f"accurateCastOrNull(toDate32('1970-01-01') + toInt32({days}), {literal(kind)})"
    else:
        whole = ""
        into = f"Nullable({kind})"
        number = f"toInt64({seconds})" if name == "DateTime" else seconds
        value = f"CAST({number}, {literal(into)})"
    first, end = (0, _MOST_SECONDS[name]) if name in _MOST_SECONDS else (_FIRST, _END)
    return f"if({seconds} >= {first} AND {seconds} < {end}{whole}, {value}, NULL)"


def _number(kind: str, options: Options) -> str:
    """What a number of units is, so that nothing of it is lost."""
    more = 0 if options.epoch == "d" else scale_of(kind) - _POWERS[options.epoch]
    if options.cut:
        return "^-?[0-9]{1,19}(?:[.][0-9]+)?$"
    if more > 0 and "Time" in kind:
        return f"^-?[0-9]{{1,19}}(?:[.][0-9]{{1,{more}}}0*)?$"
    if more < 0 and "Time" in kind:
        return f"^(?:-?[0-9]{{1,{19 + more}}}0{{{-more}}}|-?0)(?:[.]0+)?$"
    return "^-?[0-9]{1,19}(?:[.]0+)?$"
