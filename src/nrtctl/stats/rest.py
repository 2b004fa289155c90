"""How long whoever looks again and again rests between two looks. Used by all that do."""

from __future__ import annotations

from collections.abc import Mapping

from nrtctl.stats.snapshot import Snapshot

SHARE = 1 / 5
"""Of the time that looks may keep ClickHouse and this process busy, where the interval is short."""

LONGEST = 5.0
"""Seconds that a dear look puts off the next one at most."""


def seconds_until_next(shots: Mapping[str, Snapshot], took: float, interval: float) -> float:
    """Seconds from the end of a look to the beginning of the next.

    What a look waits for, such as a server that is gone, is no work and puts nothing off.

    Args:
        shots: what the look found, by pipeline.
        took: seconds that the look took.
        interval: seconds between the beginnings of two looks, as asked for.
    """
    busy = sum(each.cost.clickhouse_seconds + each.cost.cpu_seconds for each in shots.values())
    rest = min(LONGEST, busy / SHARE - busy)
    return max(0.0, interval - took, rest)
