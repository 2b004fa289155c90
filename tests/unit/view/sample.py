"""A snapshot to draw: a busy pipeline with everything in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nrtctl.stats.snapshot import (
    Batches,
    Breakdown,
    Cost,
    Group,
    Member,
    Metric,
    MetricValue,
    PartitionLag,
    Parts,
    Percentiles,
    Problem,
    Slice,
    Snapshot,
    Verdict,
)

TYPES = ("SEARCH", "VIEW_PRODUCT", "ADD_TO_CART")


def problem() -> Problem:
    return Problem("clickhouse", "http://127.0.0.1:8123 does not answer", "nrtctl up", True)


def snapshot(*, partitions: int = 4, reasons: int = 5, **changes: Any) -> Snapshot:
    shot = Snapshot(
        version=2,
        time=1_700_000_000.0,
        topic="user_events",
        table="nrt.events",
        group="nrtctl",
        window_seconds=60.0,
        verdict=Verdict("falling behind", "20,000/s come in, 12,000/s are stored"),
        errors=[],
        produced_per_second=20_000.4,
        consumed_per_second=12_000.0,
        stored_per_second=11_900.0,
        dead_letters_per_second=100.0,
        lag_records=480_123,
        lag_seconds=42.4,
        tolerable_lag_seconds=5.0,
        drained_in_seconds=None,
        lag=[
            PartitionLag(n, 0, 1_200_000 + n, 1_100_000, 100_000 + n, 42.4, None, 5000.0, 3000.0)
            for n in range(partitions)
        ],
        freshness_seconds=0.42,
        end_to_end_latency_seconds=Percentiles(0.23, 0.45, 12.5),
        window_rows=714_000,
        stored=4_400_000,
        dead_letters=1009,
        dead_letters_by_reason={f"reason {n}": 310 - n for n in range(reasons)},
        dead_letters_by_reason_per_second={"reason 0": 3.2},
        batches=Batches(72, 1.2, 10_000.0, 20_000, 0.12),
        active_parts=12,
        parts=Parts(12, 8, 1000, 3000),
        consumers=Group(
            "nrtctl",
            "stable",
            [
                Member("m-1", "nrtctl-1", "/127.0.0.1", [0, 1]),
                Member("m-2", "nrtctl-2", "/127.0.0.1", [2, 3]),
            ],
        ),
        metrics=[
            _metric("error_rate", "bar", "ratio", dict.fromkeys(TYPES, 0.1)),
            _metric("payments", "sparkline", "events", {"": 412.0}),
        ],
        by=None,
        cost=Cost(0.02, 0.01, 0.008, 5, 1000),
    )
    return replace(shot, **changes)


def breakdown() -> Breakdown:
    return Breakdown(
        "event_type", [Slice(kind, 1000, 16.7, Percentiles(0.1, 0.2, 0.3)) for kind in TYPES], 2
    )


def _metric(name: str, display: str, unit: str, values: dict[str, float]) -> Metric:
    return Metric(
        name=name,
        help="",
        unit=unit,
        kind="gauge",
        display=display,
        dimensions=["event_type"],
        values=[
            MetricValue({"event_type": kind} if kind else {}, value, "warn" if kind else "ok")
            for kind, value in values.items()
        ],
        level="warn",
        error=None,
    )
