"""The values of the metrics of metrics.json: their SQL is run read-only, with a limit on time and
rows; those that name a field of the snapshot have its value. Used by `watcher`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, replace
from decimal import Decimal

from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.config.counted import counted
from nrtctl.errors import ConnectError, NrtctlError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.metrics_file import FILE_NAME, MetricDefinition
from nrtctl.stats.snapshot import Level, Metric, MetricValue, Percentiles, Snapshot
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
    """One `Metric` for each definition; a failure is its `error`.

    One without SQL has no values yet: `with_sources`.

    Raises:
        ConnectError: ClickHouse has gone.
    """
    found = []
    for each in definitions:
        values: list[MetricValue] = []
        error = None
        try:
            if each.sql is not None:
                values = _values(each, side, pipeline, database, window)
        except ConnectError:
            raise
        except NrtctlError as failure:
            error = f"{named(each.name)}{_said(failure)}"
        found.append(_metric(each, values, error))
    return found


def named(metric: str) -> str:
    """How what is wrong with a metric begins."""
    return f"{FILE_NAME}: metric {metric!r}: "


def _said(failure: NrtctlError) -> str:
    """The same at each look, so that it is said once."""
    if isinstance(failure, QueryError) and meaning_of(failure).cause is Cause.BUSY:
        return f"its SQL takes longer than {LIMITS['max_execution_time']} s"
    return failure.message


def with_sources(definitions: Iterable[MetricDefinition], shot: Snapshot) -> Snapshot:
    """The snapshot with the values of the metrics that name a field of it.

    Args:
        shot: with what `run_metrics` found for the others; without ClickHouse that is nothing.
    """
    ran = {each.name: each for each in shot.metrics}
    metrics = []
    for each in definitions:
        if each.source is not None:
            metrics.append(_metric(each, _source_values(each, getattr(shot, each.source)), None))
        elif each.name in ran:
            metrics.append(ran[each.name])
    return replace(shot, metrics=metrics)


def _source_values(metric: MetricDefinition, found: object) -> list[MetricValue]:
    if isinstance(found, Percentiles):
        found = asdict(found)
    if isinstance(found, dict):
        dimension = metric.dimensions[0] if metric.dimensions else "name"
        values = [({dimension: str(name)}, value) for name, value in found.items()]
    else:
        values = [({}, found)]
    return [
        MetricValue(names, value, metric.thresholds.level(value))
        for names, value in values
        if value is None or isinstance(value, int | float)
    ]


def _metric(metric: MetricDefinition, values: list[MetricValue], error: str | None) -> Metric:
    return Metric(
        name=metric.name,
        help=metric.help,
        unit=metric.unit,
        kind=metric.kind,
        display=metric.display,
        dimensions=list(metric.dimensions),
        values=values,
        level=max((value.level for value in values), key=_RANK.index, default="ok"),
        error=error,
        source=metric.source,
    )


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
            f"its SQL returns {counted(len(answer.columns), 'column')} "
            f"({', '.join(answer.columns)}); it must return {wanted}: "
            f"{', '.join([*metric.dimensions, 'the value'])}"
        )
    found: dict[tuple[str, ...], list[MetricValue]] = {}
    for *dimensions, raw in answer.rows:
        if raw is not None and not isinstance(raw, int | float | Decimal):
            what = repr(raw) if isinstance(raw, str) else f"a {type(raw).__name__}"
            raise NrtctlError(f"its value is {what}, which is not a number")
        value = None if raw is None or not math.isfinite(raw) else float(raw)
        names = {
            name: "null" if each is None else str(each)
            for name, each in zip(metric.dimensions, dimensions, strict=True)
        }
        found.setdefault(tuple(names.values()), []).append(
            MetricValue(names, value, metric.thresholds.level(value))
        )
    for of, same in found.items():
        if len(same) > 1:
            what = f"for {', '.join(of)}" if of else "and has no dimensions"
            raise NrtctlError(
                f"its SQL returns {counted(len(same), 'row')} {what}; it must return one for each "
                "value of its dimensions (GROUP BY)"
            )
    return [each for (each,) in found.values()]
