"""A histogram that takes a whole batch at once. Used by `consumer`."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BatchHistogram(Collector):
    """Seconds since each of many moments.

    Args:
        edges: upper bounds in seconds, ascending; +Inf is added.
    """

    def __init__(self, name: str, help: str, edges: Sequence[float]) -> None:
        self._name = name
        self._help = help
        self._edges = edges
        self._state: tuple[list[int], float] = ([0] * (len(edges) + 1), 0.0)

    def add(self, moments: array[int], now: int) -> None:
        """Count all of `moments`, in ms since the epoch. From one thread only.

        One that lies after `now` (another clock) counts as no time; 0 is no time stamp, left out.
        """
        known = sorted(moments)
        del known[: bisect_right(known, 0)]
        past = bisect_right(known, now)
        before = [len(known) - bisect_left(known, now - edge * 1000) for edge in self._edges]
        before.append(len(known))
        counts, total = self._state
        seconds = (past * now - sum(known[:past])) / 1000
        self._state = ([a + b for a, b in zip(counts, before, strict=True)], total + seconds)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        counts, total = self._state
        names = [*(repr(float(edge)) for edge in self._edges), "+Inf"]
        buckets = list(zip(names, map(float, counts), strict=True))
        yield HistogramMetricFamily(self._name, self._help, buckets=buckets, sum_value=total)
