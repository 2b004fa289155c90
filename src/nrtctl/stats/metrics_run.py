"""Runs the SQL of metrics.json: read-only, with a limit on time and rows. Used by `watcher`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.metrics_file import FILE_NAME, MetricDefinition
from nrtctl.stats.snapshot import Level, Metric, MetricValue
from nrtctl.stats.table_side import TableSide

LIMITS = {
    "readonly": 1,
    "max_execution_time": 2,
    "max_result_rows": 1000,
    "result_overflow_mode": "throw",
}
"""readonly 1: the SQL cannot lift the other limits (SETTINGS in a query is refused)."""

_RANK: tuple[Level, ...] = ("ok", "warn", "crit")


def run_metrics(
    definitions: Iterable[MetricDefinition],
    side: TableSide,
    pipeline: Pipeline,
    database: str,
    window: float,
) -> list[Metric]:
    """One `Metric` for each definition that has SQL; a failure is its `error`.

    Raises:
        ConnectError: ClickHouse has gone.
    """
    found = []
    for each in definitions:
        values: list[MetricValue] = []
        error = None
        try:
            values = _values(each, side, pipeline, database, window)
        except ConnectError:
            raise
        except NrtctlError as failure:
            error = f"{FILE_NAME}: metric {each.name!r}: {failure.message}"
        found.append(
            Metric(
                name=each.name,
                help=each.help,
                unit=each.unit,
                kind=each.kind,
                display=each.display,
                dimensions=list(each.dimensions),
                values=values,
                level=max((value.level for value in values), key=_RANK.index, default="ok"),
                error=error,
            )
        )
    return found


def _values(
    metric: MetricDefinition, side: TableSide, pipeline: Pipeline, database: str, window: float
) -> list[MetricValue]:
    sql = metric.statement(
        database=database,
        table=pipeline.table,
        dead_letters=pipeline.dead_letters,
        window=window,
    )
    answer = side.answer(sql, LIMITS)
    wanted = len(metric.dimensions) + 1
    if answer.rows and len(answer.columns) != wanted:
        raise NrtctlError(
            f"its SQL answers {len(answer.columns)} columns ({', '.join(answer.columns)}); wanted "
            f"are {wanted}: {', '.join([*metric.dimensions, 'the value'])}"
        )
    values = []
    for *dimensions, raw in answer.rows:
        if raw is not None and not isinstance(raw, int | float | Decimal):
            raise NrtctlError(f"its value is {raw!r}, which is no number")
        value = None if raw is None or not math.isfinite(raw) else float(raw)
        names = {n: str(d) for n, d in zip(metric.dimensions, dimensions, strict=True)}
        values.append(MetricValue(names, value, metric.thresholds.level(value)))
    return values
