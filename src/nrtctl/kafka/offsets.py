"""Places in a log as people write them: rpk's grammar, times, durations. Pure.

    start | end | 47 | +3 (after the start) | -3 (before the end) | @TIME | @-1h (before now)

TIME is ISO 8601 (UTC where it names no zone), 13 digits (ms) or 10 (s) since the epoch.
Grammar: https://docs.redpanda.com/current/reference/rpk/rpk-topic/rpk-topic-consume/ (--offset).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from nrtctl.config.units import parse_duration

LARGEST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO_DURATION = re.compile(
    r"P(?:([0-9]+)D)?(?:T(?=[0-9])(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?"
)
_DIGITS = re.compile("[0-9]{10}|[0-9]{13}")


class Place(Enum):
    """What a point's value counts from."""

    START = "records after the log's start"
    END = "records before the log's end"
    OFFSET = "the offset itself"
    TIME = "milliseconds since the epoch"


@dataclass(frozen=True, slots=True)
class Point:
    place: Place
    value: int = 0

    def __str__(self) -> str:
        """The text that `parse_point` reads back as this point."""
        match self.place:
            case Place.START:
                return f"+{self.value}" if self.value else "start"
            case Place.END:
                return f"-{self.value}" if self.value else "end"
            case Place.OFFSET:
                return str(self.value)
            case Place.TIME:
                return f"@{format_time(self.value)}"


def in_log(point: Point, log_start: int, log_end: int, at_time: int | None = None) -> int:
    """The offset that a point means in one partition; outside the log, its nearer end.

    Args:
        at_time: the first offset at or after the point's time; None: no message is that new.
    """
    match point.place:
        case Place.START:
            found = log_start + point.value
        case Place.END:
            found = log_end - point.value
        case Place.OFFSET:
            found = point.value
        case Place.TIME:
            found = log_end if at_time is None else at_time
    return min(max(found, log_start), log_end)


def parse_point(text: str, now: float) -> Point:
    """Args: now: seconds since the epoch, which `@-1h` counts back from.

    Raises:
        ValueError: it is no place in a log.
    """
    if text in {"start", "end"}:
        return Point(Place.START if text == "start" else Place.END)
    if text.startswith("@-"):
        return Point(Place.TIME, before(now, parse_span(text[2:])))
    if text.startswith("@"):
        return Point(Place.TIME, parse_time(text[1:]))
    match = re.fullmatch(r"([+-]?)([0-9]{1,19})", text)
    if match is None or int(match[2]) > LARGEST:
        raise ValueError(
            f"{text!r} is not a place in the log: write start, end, 47, +3, -3, @-1h or "
            "@2026-01-01T00:00Z"
        )
    place = {"+": Place.START, "-": Place.END, "": Place.OFFSET}[match[1]]
    return Point(place, int(match[2]))


def parse_range(text: str, now: float) -> tuple[Point, Point]:
    """`FROM:TO`; either side may be empty, and FROM alone goes on to the end.

    A colon may belong to a time: the longest FROM that makes sense is taken.

    Raises:
        ValueError: it is no range.
    """
    for at in (len(text), *(n for n in range(len(text) - 1, -1, -1) if text[n] == ":")):
        first, last = text[:at] or "start", text[at + 1 :] or "end"
        try:
            return parse_point(first, now), parse_point(last, now)
        except ValueError:
            continue
    parse_point(text.partition(":")[0] or "start", now)
    parse_point(text.partition(":")[2] or "end", now)
    raise ValueError(f"{text!r} is not a range: write FROM:TO, as in @-1h:end or 100:200")


def is_empty(first: Point, last: Point) -> bool:
    """Whether nothing lies from the first to before the last in any log."""
    if first.place is not last.place:
        return False
    if first.place is Place.END:
        return first.value <= last.value
    return first.value >= last.value


def parse_time(text: str) -> int:
    """Milliseconds since the epoch. Raises ValueError: it is no time."""
    if _DIGITS.fullmatch(text):
        return int(text) * (1 if len(text) == 13 else 1000)
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
        found = (time - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a time: write it as 2026-01-01T00:00Z") from error
    if found < 0:
        raise ValueError(f"{text!r} is before 1970")
    return found


def format_time(milliseconds: int) -> str:
    time = _EPOCH + timedelta(milliseconds=milliseconds)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_span(text: str) -> float:
    """Seconds in `1h30m`, or in ISO 8601's `PT1H30M`. Raises ValueError: it is no duration."""
    match = _ISO_DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return parse_duration(text)
    days, hours, minutes, seconds = (float(each or 0) for each in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > 36525 * 86400:
        raise ValueError("is longer than a century")
    return total


def before(now: float, seconds: float) -> int:
    """Milliseconds since the epoch, not before it."""
    return max(0, round((now - seconds) * 1000))
