"""What `stats --serve` tells Prometheus: the last look. A scrape asks no service anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.metrics import names
from nrtctl.metrics.health import TurningHealth
from nrtctl.stats.snapshot import Metric, Shots, Snapshot, State

Values = Mapping[tuple[str, ...], float | None]
"""By the values of a metric's own labels; None: it is not known."""


class SnapshotMetrics(Collector):
    """Shown nothing yet, it has no numbers and is not ready.

    Args:
        stale: seconds without a look after which it counts as hung.
        schemas: the names of the pipelines that need a schema registry.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        clock: Clock,
        stale: float,
        schemas: Collection[str] = (),
    ) -> None:
        self._last: Shots = {}
        self._schemas = schemas
        self.health = TurningHealth(clock, stale, self._complaints)
        registry.register(self)

    def show(self, shots: Shots) -> None:
        self._last = shots
        self.health.turned()

    def _complaints(self) -> list[str]:
        if not self._last:
            return ["there is no snapshot yet"]
        several = len(self._last) > 1
        return [
            f"{name}: {each.source}: {each.message}"
            if several
            else f"{each.source}: {each.message}"
            for name, shot in self._last.items()
            for each in shot.errors
            if each.source != "metrics"
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        shots = self._last
        several = len(shots) > 1
        families: dict[names.Name, GaugeMetricFamily] = {}
        for name, shot in shots.items():
            for metric, values in _of(shot, name in self._schemas):
                if metric not in families:
                    labels = (*metric.labels, names.PIPELINE) if several else metric.labels
                    families[metric] = GaugeMetricFamily(metric.name, metric.meaning, labels=labels)
                for labelled, value in values.items():
                    if value is not None:
                        families[metric].add_metric(
                            (*labelled, name) if several else labelled, float(value)
                        )
        yield from families.values()


def _of(shot: Snapshot, needs_registry: bool) -> Iterator[tuple[names.Name, Values]]:
    yield from _kafka(shot)
    yield from _clickhouse(shot)
    gone = {each.source for each in shot.errors if each.gone}
    services = ("kafka", "clickhouse", "registry") if needs_registry else ("kafka", "clickhouse")
    yield names.UP, {(service,): service not in gone for service in services}
    yield (
        names.PIPELINE_STATE,
        {(state,): state == shot.verdict.state for state in get_args(State)},
    )
    yield names.USER_VALUE, _user_values(shot.metrics)


def _kafka(shot: Snapshot) -> Iterator[tuple[names.Name, Values]]:
    where = {each.partition: (shot.topic, str(each.partition)) for each in shot.lag}
    grouped = {number: (shot.group, *labels) for number, labels in where.items()}
    yield names.LAG_RECORDS, {grouped[each.partition]: each.lag_records for each in shot.lag}
    yield names.LAG_SECONDS, {grouped[each.partition]: each.lag_seconds for each in shot.lag}
    yield names.LOG_END, {where[each.partition]: each.log_end for each in shot.lag}
    yield names.COMMITTED, {grouped[each.partition]: each.committed for each in shot.lag}
    members = None if shot.consumers is None else len(shot.consumers.members)
    yield names.MEMBERS, {(shot.group,): members}


def _clickhouse(shot: Snapshot) -> Iterator[tuple[names.Name, Values]]:
    table = (shot.table,)
    yield names.TABLE_ROWS, {table: shot.stored}
    yield (
        names.DEAD_LETTER_ROWS,
        {(reason,): number for reason, number in shot.dead_letters_by_reason.items()},
    )
    yield names.ACTIVE_PARTS, {table: shot.active_parts}
    yield names.FRESHNESS, {table: shot.freshness_seconds}
    latency = shot.end_to_end_latency_seconds
    yield (
        names.LATENCY_WINDOW,
        {(name,): getattr(latency, name) for name in ("p50", "p95", "p99")},
    )


def _user_values(metrics: list[Metric]) -> Values:
    return {
        (
            each.name,
            ",".join(f"{key}={value}" for key, value in found.dimensions.items()),
            each.unit,
        ): found.value
        for each in metrics
        for found in each.values
    }
