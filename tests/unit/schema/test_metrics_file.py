"""metrics.json: one file, at the top level and in the package that `init` writes it from."""

from __future__ import annotations

import json
from pathlib import Path

from nrtctl.stats.snapshot import Snapshot

ROOT = Path(__file__).parents[3]


def test_the_file_at_the_top_is_the_one_that_init_writes() -> None:
    packaged = ROOT / "src/nrtctl/config/templates/metrics.json"
    assert (ROOT / "metrics.json").read_bytes() == packaged.read_bytes()


def test_every_metric_has_what_a_reader_needs_and_a_source_that_stats_has() -> None:
    metrics = json.loads((ROOT / "metrics.json").read_text())["metrics"]
    names = [metric["name"] for metric in metrics]
    assert len(set(names)) == len(names)
    sources = set()
    for metric in metrics:
        assert all(metric[key] for key in ("name", "help", "unit", "kind")), metric
        assert ("sql" in metric) != ("source" in metric), metric
        sources.add(metric.get("source"))
    not_metrics = {
        "version", "time", "topic", "table", "group", "window_seconds", "lag", "dead_letters",
        "verdict", "errors", "consumers", "batches", "parts", "metrics", "by", "cost",
        "window_rows", "consumed_per_second", "lag_seconds", "tolerable_lag_seconds",
        "drained_in_seconds", "dead_letters_by_reason_per_second",
    }  # fmt: skip
    assert sources - {None} == set(Snapshot.__dataclass_fields__) - not_metrics
