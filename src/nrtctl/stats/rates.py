"""How fast numbers grow, and when a lag will be gone. Pure; used by `watcher`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping


class Growth:
    """What counters read at the last looks.

    Args:
        seconds: how far back it remembers; it always keeps the last two looks.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._looks: deque[tuple[float, dict[Hashable, int]]] = deque()

    def add(self, now: float, counts: Mapping[Hashable, int]) -> None:
        """Args: now: on a clock that never goes back, later than the look before."""
        self._looks.append((now, dict(counts)))
        while len(self._looks) > 2 and self._looks[1][0] <= now - self._seconds:
            self._looks.popleft()

    def rate(self, key: Hashable, *, smooth: bool = False) -> float | None:
        """Per second, never negative; None: it was not read twice.

        Args:
            smooth: over all that is remembered, else since the look before.
        """
        with_key = [(at, counts[key]) for at, counts in self._looks if key in counts]
        if len(with_key) < 2 or self._looks[-1][0] != with_key[-1][0]:
            return None
        (began, first), (ended, last) = with_key[0 if smooth else -2], with_key[-1]
        return max(0.0, (last - first) / (ended - began)) if ended > began else None

    def quiet_for(self, key: Hashable) -> float:
        """Seconds for which the counter has not moved, as far as is remembered."""
        with_key = [(at, counts[key]) for at, counts in self._looks if key in counts]
        if not with_key:
            return 0.0
        ended, last = with_key[-1]
        since = ended
        for at, count in reversed(with_key):
            if count != last:
                break
            since = at
        return ended - since


def drained_in(lag: int, produced: float | None, consumed: float | None) -> float | None:
    """Seconds until `lag` records are gone; None: not known, or the lag does not shrink, or by so
    little that no number of seconds tells."""
    if lag == 0:
        return 0.0
    if produced is None or consumed is None or consumed <= produced:
        return None
    left = lag / (consumed - produced)
    return left if math.isfinite(left) else None
