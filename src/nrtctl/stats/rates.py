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

    def rate(
        self, key: Hashable, *, smooth: bool = False, absent: int | None = None
    ) -> float | None:
        """Per second, never negative; None: it was not read twice.

        Args:
            smooth: over all that is remembered since it last went back, as a group's offsets do
                when it is to read again; else since the look before.
            absent: what a look that read others says of a counter that it did not find.
        """
        with_key = [
            (at, count)
            for at, counts in self._looks
            if (count := counts.get(key, absent if counts else None)) is not None
        ]
        if len(with_key) < 2 or self._looks[-1][0] != with_key[-1][0]:
            return None
        first = len(with_key) - 2
        if smooth:
            fell = [at for at in range(1, len(with_key)) if with_key[at][1] < with_key[at - 1][1]]
            first = fell[-1] if fell else 0
        (began, before), (ended, last) = with_key[first], with_key[-1]
        return max(0.0, (last - before) / (ended - began)) if ended > began else None


class Still:
    """For how long values have been the same, however long that is."""

    def __init__(self) -> None:
        self._now = 0.0
        self._since: dict[Hashable, tuple[object, float]] = {}

    def see(self, now: float, values: Mapping[Hashable, object]) -> None:
        """Args: values: all that there are; another one is forgotten."""
        self._now = now
        self._since = {
            key: found if (found := self._since.get(key)) and found[0] == value else (value, now)
            for key, value in values.items()
        }

    def seconds(self, key: Hashable) -> float:
        """0 where it was not seen last."""
        return self._now - self._since[key][1] if key in self._since else 0.0


def drained_in(lag: int, produced: float | None, consumed: float | None) -> float | None:
    """Seconds until `lag` records are gone; None: not known, or the lag does not shrink, or by so
    little that no number of seconds tells."""
    if lag == 0:
        return 0.0
    if produced is None or consumed is None or consumed <= produced:
        return None
    left = lag / (consumed - produced)
    return left if math.isfinite(left) else None
