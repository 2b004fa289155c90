"""What `stats --serve` tells Prometheus: the last snapshot. A scrape asks no service anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from nrtctl.clock import Clock
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
            "nrtctl_up",
            "Whether the service answered the last look.",
            {("kafka",): "kafka" not in gone, ("clickhouse",): "clickhouse" not in gone},
            "service",
        )
        yield _gauge(
            "nrtctl_pipeline_state",
            "1 for the verdict of the last look, 0 for the others.",
            {(state,): state == shot.verdict.state for state in get_args(State)},
            "state",
        )
        yield _user_values(shot.metrics)


def _gauge(
    name: str, help: str, values: Mapping[tuple[str, ...], float | None], *labels: str
) -> GaugeMetricFamily:
    """Without the values that are not known."""
    family = GaugeMetricFamily(name, help, labels=labels)
    for named, value in values.items():
        if value is not None:
            family.add_metric(named, float(value))
    return family


def _kafka(shot: Snapshot) -> Iterator[GaugeMetricFamily]:
    where = {each.partition: (shot.topic, str(each.partition)) for each in shot.lag}
    grouped = {number: (shot.group, *labels) for number, labels in where.items()}
    yield _gauge(
        "nrtctl_consumer_lag_records",
        "Records of the partition that the group has not committed.",
        {grouped[each.partition]: each.lag_records for each in shot.lag},
        *("group", "topic", "partition"),
    )
    yield _gauge(
        "nrtctl_consumer_lag_seconds",
        "Age of the oldest record of the partition that the group has not committed.",
        {grouped[each.partition]: each.lag_seconds for each in shot.lag},
        *("group", "topic", "partition"),
    )
    yield _gauge(
        "nrtctl_log_end_offset",
        "Offset of the next record of the partition.",
        {where[each.partition]: each.log_end for each in shot.lag},
        *("topic", "partition"),
    )
    yield _gauge(
        "nrtctl_committed_offset",
        "The group's committed offset.",
        {grouped[each.partition]: each.committed for each in shot.lag},
        *("group", "topic", "partition"),
    )
    members = None if shot.consumers is None else len(shot.consumers.members)
    yield _gauge(
        "nrtctl_consumer_members", "Members of the group.", {(shot.group,): members}, "group"
    )


def _clickhouse(shot: Snapshot) -> Iterator[GaugeMetricFamily]:
    table = (shot.table,)
    yield _gauge("nrtctl_table_rows", "Rows stored, of the topic.", {table: shot.stored}, "table")
    yield _gauge(
        "nrtctl_dead_letter_rows",
        "Dead letters there are, of the topic.",
        {(reason,): number for reason, number in shot.dead_letters_by_reason.items()},
        "reason",
    )
    yield _gauge(
        "nrtctl_clickhouse_active_parts",
        "Active parts of the table.",
        {table: shot.active_parts},
        "table",
    )
    yield _gauge(
        "nrtctl_freshness_seconds",
        "Age of the newest row.",
        {table: shot.freshness_seconds},
        "table",
    )
    latency = shot.end_to_end_latency_seconds
    yield _gauge(
        "nrtctl_end_to_end_latency_window_seconds",
        "From a record's time stamp to its insert, over every row of the window.",
        {(name,): getattr(latency, name) for name in ("p50", "p95", "p99")},
        "percentile",
    )


def _user_values(metrics: list[Metric]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "nrtctl_user_value",
        "A value of metrics.json, in the unit that it says.",
        labels=["name", "dimensions", "unit"],
    )
    for each in metrics:
        for found in each.values:
            if found.value is not None:
                named = ",".join(f"{key}={value}" for key, value in found.dimensions.items())
                family.add_metric([each.name, named, each.unit], found.value)
    return family
