"""Numbers and times as few characters as they can be read in. Pure; used by the blocks."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

NONE = "-"


def count(value: float | None) -> str:
    """A whole number with separators, from ten million on in millions."""
    if value is None:
        return NONE
    for least, unit, name in ((1e13, 1e12, "T"), (1e10, 1e9, "G"), (1e7, 1e6, "M")):
        if value >= least:
            return f"{value / unit:,.1f}{name}"
    return f"{value:,.0f}"


def number(value: float | None) -> str:
    """A value of a metric: three significant digits below 1000."""
    if value is None:
        return NONE
    if abs(value) >= 1000 or value == int(value):
        return f"-{count(-value)}" if value < 0 else count(value)
    return f"{value:.3g}"


def rate(value: float | None) -> str:
    """Per second."""
    if value is None:
        return NONE
    if 0 < value < 0.005:
        return "<0.01/s"
    if 0 < value < 10:
        return f"{value:.{1 if value >= 0.095 else 2}f}/s"
    return f"{count(value)}/s"


def seconds(value: float | None) -> str:
    """`850 ms`, `3.2 s`, `4m12s`, `2h05m`, `3d04h`."""
    if value is None:
        return NONE
    if value < 0.9995:
        return f"{value * 1000:.0f} ms" if value else "0 s"
    if value < 99.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def span(value: float) -> str:
    """A time that somebody has chosen, as exact as it is: `60 s`, `0.5 s`, from two minutes on as
    `seconds`."""
    return f"{value:g} s" if value < 120 else seconds(value)


def looks(window: float, interval: float) -> str:
    """Which rows a look takes, and how often there is one."""
    return f"{span(window)} window, every {span(interval)} "


def moment(value: datetime.datetime) -> str:
    """`2026-01-31 14:05:09`, in UTC."""
    return value.strftime("%Y-%m-%d %H:%M:%S")


def moment_of(text: str | None) -> str:
    """The same of ISO 8601."""
    return NONE if text is None else moment(datetime.datetime.fromisoformat(text))


def size(value: float | None) -> str:
    """Bytes: `812 B`, `1.4 MiB`."""
    if value is None:
        return NONE
    for least, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= least:
            return f"{value / least:,.1f} {name}"
    return f"{value:.0f} B"


def ranges(numbers: Iterable[int]) -> str:
    """`0-3,7`."""
    runs: list[list[int]] = []
    for each in sorted(numbers):
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or NONE
