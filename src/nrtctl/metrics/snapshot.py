"""What `stats --serve` tells Prometheus: the last snapshot. A scrape asks no service anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
from nrtctl.metrics import names
from nrtctl.metrics.health import TurningHealth
from nrtctl.stats.snapshot import Metric, Snapshot, State


class SnapshotMetrics(Collector):
    """Shown nothing yet, it has no numbers and is not ready.

    Args:
        stale: seconds without a snapshot after which it counts as hung.
    """

    def __init__(self, registry: CollectorRegistry, *, clock: Clock, stale: float) -> None:
        self._last: Snapshot | None = None
        self.health = TurningHealth(clock, stale, self._complaints)
        registry.register(self)

    def show(self, shot: Snapshot) -> None:
        self._last = shot
        self.health.turned()

    def _complaints(self) -> list[str]:
        if self._last is None:
            return ["there is no snapshot yet"]
        return [f"{e.source}: {e.message}" for e in self._last.errors if e.source != "metrics"]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        shot = self._last
        if shot is None:
            return
        yield from _kafka(shot)
        yield from _clickhouse(shot)
        gone = {each.source for each in shot.errors}
        yield _gauge(
            names.UP, {("kafka",): "kafka" not in gone, ("clickhouse",): "clickhouse" not in gone}
        )
        yield _gauge(
            names.PIPELINE_STATE,
            {(state,): state == shot.verdict.state for state in get_args(State)},
        )
        yield _user_values(shot.metrics)


def _gauge(metric: names.Name, values: Mapping[tuple[str, ...], float | None]) -> GaugeMetricFamily:
    """Without the values that are not known."""
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for named, value in values.items():
        if value is not None:
            family.add_metric(named, float(value))
    return family


def _kafka(shot: Snapshot) -> Iterator[GaugeMetricFamily]:
    where = {each.partition: (shot.topic, str(each.partition)) for each in shot.lag}
    grouped = {number: (shot.group, *labels) for number, labels in where.items()}
    yield _gauge(
        names.LAG_RECORDS, {grouped[each.partition]: each.lag_records for each in shot.lag}
    )
    yield _gauge(
        names.LAG_SECONDS, {grouped[each.partition]: each.lag_seconds for each in shot.lag}
    )
    yield _gauge(names.LOG_END, {where[each.partition]: each.log_end for each in shot.lag})
    yield _gauge(names.COMMITTED, {grouped[each.partition]: each.committed for each in shot.lag})
    members = None if shot.consumers is None else len(shot.consumers.members)
    yield _gauge(names.MEMBERS, {(shot.group,): members})


def _clickhouse(shot: Snapshot) -> Iterator[GaugeMetricFamily]:
    table = (shot.table,)
    yield _gauge(names.TABLE_ROWS, {table: shot.stored})
    yield _gauge(
        names.DEAD_LETTER_ROWS,
        {(reason,): number for reason, number in shot.dead_letters_by_reason.items()},
    )
    yield _gauge(names.ACTIVE_PARTS, {table: shot.active_parts})
    yield _gauge(names.FRESHNESS, {table: shot.freshness_seconds})
    latency = shot.end_to_end_latency_seconds
    yield _gauge(
        names.LATENCY_WINDOW, {(name,): getattr(latency, name) for name in ("p50", "p95", "p99")}
    )


def _user_values(metrics: list[Metric]) -> GaugeMetricFamily:
    metric = names.USER_VALUE
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for each in metrics:
        for found in each.values:
            if found.value is not None:
                named = ",".join(f"{key}={value}" for key, value in found.dimensions.items())
                family.add_metric([each.name, named, each.unit], found.value)
    return family
