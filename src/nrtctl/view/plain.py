"""A snapshot, or the overview of several, as plain tables, for `stats --once`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nrtctl.stats.snapshot import Percentiles, Shots, Snapshot
from nrtctl.stats.verdict import WELL
from nrtctl.view.blocks import repeats
from nrtctl.view.words import NONE, ranges, rate, seconds, span

Table = tuple[Sequence[str], list[Sequence[Any]]]


def tables(shot: Snapshot) -> list[Table]:
    """(column names, rows), in the order they are shown."""
    found = [_in_short(shot), _partitions(shot)]
    if shot.consumers and shot.consumers.members:
        found.append(
            (
                ("consumer", "host", "partitions"),
                [
                    (each.client_id, each.host, ranges(each.partitions))
                    for each in shot.consumers.members
                ],
            )
        )
    if shot.by is not None:
        found.append(
            (
                (shot.by.column, "rows", "per second", "p50", "p95", "p99"),
                [
                    (
                        each.value,
                        each.rows,
                        rate(each.per_second),
                        *_times(each.end_to_end_latency_seconds),
                    )
                    for each in shot.by.slices
                ],
            )
        )
    if rows := _metrics(shot):
        found.append((("metric", "of", "value", "unit", "level"), rows))
    return found


def overview(shots: Shots) -> list[Table]:
    """A row for each pipeline, and what is to be said of those that are not well."""
    columns = (
        "pipeline", "state", "in", "out", "lag", "oldest", "newest row", "p99", "stored",
        "dead letters",
    )  # fmt: skip
    rows: list[Sequence[Any]] = [
        (
            name,
            shot.verdict.state,
            rate(shot.produced_per_second),
            rate(shot.consumed_per_second),
            shot.lag_records,
            seconds(shot.lag_seconds),
            seconds(shot.freshness_seconds),
            seconds(shot.end_to_end_latency_seconds.p99),
            shot.stored,
            shot.dead_letters,
        )
        for name, shot in shots.items()
    ]
    why: list[Sequence[Any]] = [
        (name, text)
        for name, shot in shots.items()
        for text in dict.fromkeys(
            [
                *([] if shot.verdict.state in WELL else [shot.verdict.cause]),
                *(each.message for each in shot.errors),
            ]
        )
    ]
    return [(columns, rows), *([(("pipeline", "why"), why)] if why else [])]


def _in_short(shot: Snapshot) -> Table:
    latency = shot.end_to_end_latency_seconds
    batches, parts, group = shot.batches, shot.parts, shot.consumers
    rows: list[Sequence[Any]] = [
        ("verdict", f"{shot.verdict.state}: {shot.verdict.cause}"),
        *(("error", each.message) for each in shot.errors),
        ("lag", f"{count(shot.lag_records)} records, {seconds(shot.lag_seconds)}"),
        ("drained in", seconds(shot.drained_in_seconds)),
        ("produced", rate(shot.produced_per_second)),
        ("consumed", rate(shot.consumed_per_second)),
        ("stored", rate(shot.stored_per_second)),
        ("dead letters", rate(shot.dead_letters_per_second)),
        ("freshness", seconds(shot.freshness_seconds)),
        (
            "end-to-end latency",
            "  ".join(
                f"{n} {t}" for n, t in zip(("p50", "p95", "p99"), _times(latency), strict=True)
            ),
        ),
        ("rows stored", count(shot.stored)),
        ("rows rejected", count(shot.dead_letters)),
        *((f"  {reason}", count(n)) for reason, n in shot.dead_letters_by_reason.items()),
    ]
    if batches is not None:
        text = f"{count(batches.count)}, {count(batches.rows_mean)} rows each"
        if batches.insert_seconds is not None:
            text += f", inserted in {seconds(batches.insert_seconds)}"
        rows.append(("batches", text))
    if parts is not None:
        limits = f"{parts.delayed_from:,} and {parts.refused_from:,}"
        rows.append(
            ("active parts", f"{parts.active:,}; {parts.most_in_a_partition:,} of {limits}")
        )
    if group is not None:
        rows.append(("consumers", f"{len(group.members)}, group {group.name} is {group.state}"))
    return (f"{shot.topic} → {shot.table}", f"window {span(shot.window_seconds)}"), rows


def _partitions(shot: Snapshot) -> Table:
    return (
        ("partition", "log end", "committed", "lag", "lag time", "drained in"),
        [
            (
                each.partition,
                each.log_end,
                each.committed,
                each.lag_records,
                seconds(each.lag_seconds),
                seconds(each.drained_in_seconds),
            )
            for each in shot.lag
        ],
    )


def _metrics(shot: Snapshot) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = []
    for metric in shot.metrics:
        if repeats(metric):
            continue
        if metric.error is not None:
            rows.append((metric.name, "-", "failed", metric.unit, "-"))
        for each in metric.values:
            of = ", ".join(each.dimensions.values()) or "-"
            value = "-" if each.value is None else f"{each.value:,.6g}"
            rows.append((metric.name, of, value, metric.unit, each.level))
    return rows


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _times(latency: Percentiles) -> tuple[str, str, str]:
    return seconds(latency.p50), seconds(latency.p95), seconds(latency.p99)
