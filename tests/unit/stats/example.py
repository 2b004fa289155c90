"""A snapshot with something in every field."""

from __future__ import annotations

from nrtctl.stats.snapshot import (
    SCHEMA_VERSION,
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

SNAPSHOT = Snapshot(
    version=SCHEMA_VERSION,
    time=1_790_000_000.5,
    topic="user_events",
    table="events",
    group="nrtctl",
    window_seconds=60.0,
    verdict=Verdict("ok", "12 records wait"),
    errors=[Problem("metrics", "metrics.json: metric 'x': no", None, False)],
    produced_per_second=100.0,
    consumed_per_second=90.0,
    stored_per_second=89.0,
    dead_letters_per_second=1.0,
    lag_records=12,
    lag_seconds=2.5,
    tolerable_lag_seconds=5.0,
    drained_in_seconds=None,
    lag=[
        PartitionLag(0, 0, 100, 90, 10, 2.5, None, 50.0, 40.0),
        PartitionLag(1, 5, 100, None, 2, 0.5, 1.0, None, None),
    ],
    freshness_seconds=0.25,
    end_to_end_latency_seconds=Percentiles(0.1, 0.2, 1.5),
    window_rows=6000,
    stored=10_000,
    dead_letters=30,
    dead_letters_by_reason={"field missing": 20, "not JSON": 10},
    dead_letters_by_reason_per_second={"field missing": 1.0},
    batches=Batches(100, 1.7, 60.0, 90, 0.02),
    active_parts=7,
    parts=Parts(7, 5, 1000, 3000),
    consumers=Group("nrtctl", "stable", [Member("m-1", "nrtctl", "127.0.0.1", [0, 1])]),
    metrics=[
        Metric(
            "error_rate", "Share of errors", "ratio", "gauge", "bar", ["event_type"],
            [MetricValue({"event_type": "SEARCH"}, 0.1, "ok"),
             MetricValue({"event_type": "PAYMENT"}, 0.3, "warn")],
            "warn", None,
        )
    ],
    by=Breakdown("country", [Slice("DE", 6000, 100.0, Percentiles(0.1, 0.2, 1.5))], 0),
    cost=Cost(0.02, 0.01, 0.008, 9, 6000),
)  # fmt: skip
