"""Figures of several runs, as median, min and max. Pure; used by every part of `bench`."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any


def figure(runs: Sequence[float], digits: int = 1) -> dict[str, Any]:
    """`median`, `min`, `max` and the `runs` themselves, in order. Needs one run at least."""
    return {
        "median": round(statistics.median(runs), digits),
        "min": round(min(runs), digits),
        "max": round(max(runs), digits),
        "runs": [round(each, digits) for each in runs],
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the `ordered` values do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def seen_after(
    looks: Sequence[tuple[float, int]], rows: Sequence[tuple[int, int]]
) -> list[float | None]:
    """When a reader first saw each row of one partition, in ms after its event.

    Args:
        looks: (ms since the epoch when the answer was there, highest offset it told), in order.
        rows: (offset, event time in ms since the epoch).

    Returns:
        one value a row; None where no look told of it.
    """
    tops = [top for _, top in looks]
    found: list[float | None] = []
    for offset, event_ms in rows:
        at = bisect_left(tops, offset)
        found.append(looks[at][0] - event_ms if at < len(looks) else None)
    return found
