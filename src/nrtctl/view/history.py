"""The course of a snapshot's numbers, for sparklines and charts: the newest values of each series.

Fed by the terminal view and by the dashboard, once a look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from nrtctl.stats.snapshot import Metric, MetricValue, Snapshot

Values = Sequence[float | None]


class History:
    """Bounded: `capacity` looks, and the series of the newest one."""

    def __init__(self, capacity: int = 600) -> None:
        self._capacity = capacity
        self._series: dict[str, deque[float | None]] = {}
        self._looks = 0

    def add(self, shot: Snapshot) -> None:
        """A series that is new begins with blanks; one that is not in `shot` is dropped."""
        values = point(shot)
        blanks = min(self._looks, self._capacity)
        kept = {
            name: self._series.get(name) or deque([None] * blanks, maxlen=self._capacity)
            for name in values
        }
        for name, value in values.items():
            kept[name].append(value)
        self._series = kept
        self._looks += 1

    def of(self, name: str) -> Values:
        """Oldest first; None where it was not known."""
        return list(self._series.get(name, ()))

    def all(self) -> dict[str, list[float | None]]:
        return {name: list(values) for name, values in self._series.items()}


def point(shot: Snapshot) -> dict[str, float | None]:
    """What is remembered of a look; names as in the snapshot."""
    latency = shot.end_to_end_latency_seconds
    return {
        "time": shot.time,
        "produced_per_second": shot.produced_per_second,
        "consumed_per_second": shot.consumed_per_second,
        "stored_per_second": shot.stored_per_second,
        "dead_letters_per_second": shot.dead_letters_per_second,
        "lag_records": shot.lag_records,
        "lag_seconds": shot.lag_seconds,
        "freshness_seconds": shot.freshness_seconds,
        "p50": latency.p50,
        "p95": latency.p95,
        "p99": latency.p99,
        "batches_per_second": shot.batches.per_second if shot.batches else None,
        "parts": shot.parts.active if shot.parts else None,
        "consumers": len(shot.consumers.members) if shot.consumers else None,
        **{
            f"reason {reason}": each
            for reason, each in shot.dead_letters_by_reason_per_second.items()
        },
        **{
            metric_series(metric, each): each.value
            for metric in shot.metrics
            for each in metric.values
        },
    }


def metric_series(metric: Metric, value: MetricValue) -> str:
    where = ",".join(f"{key}={each}" for key, each in value.dimensions.items())
    return f"metric {metric.name} {where}"
