"""What a pipeline did within the last minutes or hours, from the rows themselves. Pure but for the
questions it asks; read by the dashboard.

    found = look_back(client, config.pipeline, "nrt", RANGES["1h"])

Rows and dead letters say when they came into Kafka (`_timestamp`) and when they were stored
(`_inserted_at`), so rates, lag, latency and inserts of any time can be had from them, whoever
watched then. What has been deleted or purged since is not counted, and what waits in Kafka is not
known here. Nothing is read but the rows of the range: docs/decisions/0009.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from nrtctl.clickhouse.error_codes import Cause, meaning_of
from nrtctl.clickhouse.queries import Queries
from nrtctl.errors import QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.stats.snapshot import Percentiles
from nrtctl.stats.table_side import QUANTILES, READ_ONLY, milliseconds, percentiles
from nrtctl.store.target import letters_of, rows_of

Series = list[float | None]


@dataclass(frozen=True, slots=True)
class Range:
    """How far back, in how many seconds each; `text` says it to people."""

    seconds: int
    step: int
    text: str

    @property
    def steps(self) -> int:
        return self.seconds // self.step


RANGES = {
    "5m": Range(300, 5, "5 minutes"),
    "15m": Range(900, 10, "15 minutes"),
    "1h": Range(3600, 30, "hour"),
    "6h": Range(21_600, 180, "6 hours"),
    "24h": Range(86_400, 600, "24 hours"),
}

MOST_REASONS = 7
"""Reasons that have a series of their own; the others are one together."""

OTHERS = "other reasons"
LIMITS = {**READ_ONLY, "max_execution_time": 8, "timeout_overflow_mode": "throw"}
_DIGITS = 3
"""Of latencies: as many as a chart can show."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What was stored within one step. `newest`: ms since the epoch."""

    rows: int
    latency: Percentiles
    inserts: int
    newest: int


@dataclass(frozen=True, slots=True)
class Counts:
    """By the number of the step since the epoch.

    Attributes:
        produced: rows and dead letters by the time that they came into Kafka.
        rejected: dead letters by reason.
    """

    stored: Mapping[int, Stored]
    produced: Mapping[int, int]
    rejected: Mapping[str, Mapping[int, int]]


def look_back(queries: Queries, pipeline: Pipeline, database: str, range_: Range) -> dict[str, Any]:
    """Plain values: `step_seconds`, `series` (as the snapshots have them, one value for each step
    that has ended, oldest first; `time` is its end, by ClickHouse's clock) and `reasons`, the dead
    letters a second of each.

    Raises:
        QueryError: also where the range holds more than can be read in time.
    """
    try:
        now = int(_ask(queries, "SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
        last = now // (range_.step * 1000)
        found = _counts(queries, pipeline, database, range_, last - range_.steps)
    except QueryError as error:
        if meaning_of(error).cause is not Cause.BUSY:
            raise
        limit = LIMITS["max_execution_time"]
        raise QueryError(
            f"the last {range_.text} contain more than can be read within {limit} s",
            error.code,
            hint="choose a shorter time range",
        ) from error
    return in_steps(found, range_, last)


def _counts(
    queries: Queries, pipeline: Pipeline, database: str, range_: Range, first: int
) -> Counts:
    step = range_.step * 1000
    since = f"_inserted_at >= fromUnixTimestamp64Milli({first * step}, 'UTC')"
    rows = f"{database}.{pipeline.table} WHERE {rows_of(pipeline)} AND {since}"
    letters = f"{database}.{pipeline.dead_letters} WHERE {letters_of(pipeline)} AND {since}"
    inserted = f"intDiv(toUnixTimestamp64Milli(_inserted_at), {step})"
    came = (
        f"greatest({first - 1}, intDiv(toUnixTimestamp64Milli(least(_timestamp, _inserted_at)), "
        f"{step}))"
    )
    stored = {
        int(at): Stored(int(n), percentiles(ms), int(inserts), int(newest))
        for at, n, ms, inserts, newest in _ask(
            queries,
            f"SELECT {inserted} AS at, count(), {QUANTILES}(ms, 1), "
            "uniqExact(_inserted_at), toUnixTimestamp64Milli(max(_inserted_at)) "
            f"FROM (SELECT _inserted_at, {milliseconds(_DIGITS)} AS ms FROM {rows}) GROUP BY at",
        )
    }
    produced: Counter[int] = Counter()
    rejected: dict[str, dict[int, int]] = {}
    for kind, reason, at, n in _ask(
        queries,
        f"SELECT 'came', '', {came} AS at, count() FROM {rows} GROUP BY at UNION ALL "
        f"SELECT 'came', '', {came} AS at, count() FROM {letters} GROUP BY at UNION ALL "
        f"SELECT 'rejected', reason, {inserted} AS at, count() FROM {letters} GROUP BY reason, at",
    ):
        if kind == "came":
            produced[int(at)] += int(n)
        else:
            rejected.setdefault(str(reason), {})[int(at)] = int(n)
    return Counts(stored, produced, rejected)


def in_steps(found: Counts, range_: Range, last: int) -> dict[str, Any]:
    """Args: last: the number of the step that has not ended yet."""
    steps = range(last - range_.steps, last)
    seconds = range_.step
    letters = Counter[int]()
    for by_step in found.rejected.values():
        letters.update(by_step)
    stored = [found.stored.get(at) for at in steps]
    arrived = [found.produced.get(at, 0) for at in steps]
    left = [
        (each.rows if each else 0) + letters[at] for at, each in zip(steps, stored, strict=True)
    ]
    before = found.produced.get(steps.start - 1, 0)
    lag = [
        before + came - gone
        for came, gone in zip(accumulate(arrived), accumulate(left), strict=True)
    ]
    series: dict[str, Series] = {
        "time": [(at + 1) * seconds for at in steps],
        "produced_per_second": [each / seconds for each in arrived],
        "consumed_per_second": [each / seconds for each in left],
        "dead_letters_per_second": [letters[at] / seconds for at in steps],
        "lag_records": [max(0, each) for each in lag],
        "freshness_seconds": _ages(stored, steps, seconds),
        "batches_per_second": [each.inserts / seconds if each else 0 for each in stored],
        "p50": [each.latency.p50 if each else None for each in stored],
        "p95": [each.latency.p95 if each else None for each in stored],
        "p99": [each.latency.p99 if each else None for each in stored],
    }
    return {
        "step_seconds": seconds,
        "series": series,
        "reasons": {
            reason: [by_step.get(at, 0) / seconds for at in steps]
            for reason, by_step in _most_frequent(found.rejected, steps).items()
        },
    }


def _ages(stored: Sequence[Stored | None], steps: Iterable[int], seconds: int) -> Series:
    """Of the newest row at the end of each step; None: none was stored within the range yet."""
    ages: Series = []
    newest: int | None = None
    for at, each in zip(steps, stored, strict=True):
        newest = each.newest if each else newest
        ages.append(None if newest is None else (at + 1) * seconds - newest / 1000)
    return ages


def _most_frequent(
    rejected: Mapping[str, Mapping[int, int]], steps: range
) -> dict[str, Mapping[int, int]]:
    """Most frequent first; those beyond MOST_REASONS are OTHERS together."""
    of = {
        reason: sum(n for at, n in by_step.items() if at in steps)
        for reason, by_step in rejected.items()
    }
    names = sorted((name for name in of if of[name]), key=lambda name: (-of[name], name))
    found = {name: rejected[name] for name in names[:MOST_REASONS]}
    others: Counter[int] = Counter()
    for name in names[MOST_REASONS:]:
        others.update(rejected[name])
    return {**found, OTHERS: others} if others else found


HELD = 30.0
"""Seconds that what a look saw is taken to hold."""


def watched_at(times: Sequence[float], step: int, seen: Mapping[str, Series]) -> dict[str, Series]:
    """What looks saw, at the end of each step: the newest look within it, or within HELD seconds;
    None: nobody looked.

    Args:
        seen: series of looks; `time` is when.
    """
    looked = sorted((each, at) for at, each in enumerate(seen.get("time", [])) if each is not None)
    looks: list[int | None] = []
    for end in times:
        newest = bisect_right(looked, (end, math.inf)) - 1
        held = newest >= 0 and looked[newest][0] > end - max(step, HELD)
        looks.append(looked[newest][1] if held else None)
    return {
        name: [None if look is None else values[look] for look in looks]
        for name, values in seen.items()
        if name != "time"
    }


def _ask(queries: Queries, sql: str) -> list[tuple[Any, ...]]:
    return queries.query(sql, settings=LIMITS)
