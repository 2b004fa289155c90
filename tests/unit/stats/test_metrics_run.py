"""What is said of a metric whose SQL does not answer."""

from __future__ import annotations

from typing import Any

from nrtctl.errors import QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.metrics_file import parse_metrics
from nrtctl.stats.metrics_run import run_metrics
from nrtctl.stats.table_side import TableSide

TIMEOUT_EXCEEDED = 159


class Slow:
    """ClickHouse that ends every statement, after another time each time."""

    asked = 0

    def ask(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        raise QueryError(f"Timeout exceeded: elapsed 200{self.asked}.1 ms", TIMEOUT_EXCEEDED)


def test_a_metric_that_takes_too_long_has_the_same_error_at_each_look() -> None:
    slow = {"name": "slow", "help": "h", "unit": "rows", "kind": "gauge", "sql": "SELECT 1"}
    defined = parse_metrics({"version": 1, "metrics": [slow]}).defined
    pipeline = Pipeline(fields={"x": "String"})
    side = TableSide(Slow(), pipeline, "nrt")
    found = [each for _ in range(2) for each in run_metrics(defined, side, pipeline, "nrt", 60)]
    assert [each.error for each in found] == [
        "metrics.json: metric 'slow': its SQL takes longer than 2 s"
    ] * 2
