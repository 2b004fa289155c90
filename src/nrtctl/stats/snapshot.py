"""What one look at a pipeline found: frozen values with their units, and their JSON form.

Made by `watcher.Watcher`; read by `stats`, its view, the dashboard, Prometheus, `--fail-if` and
`demo`. `docs/stats.md` and `snapshot.schema.json` describe the same fields, from these texts.

None (JSON null) says that a number is not known: its source does not answer (`errors` says which),
there is nothing to measure, or it takes two looks and this was the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

SCHEMA_VERSION = 2
"""Grows when a field goes, is renamed or changes its meaning; new fields do not change it."""

State = Literal[
    "ok",
    "falling behind",
    "stalled",
    "stopped",
    "idle",
    "paused",
    "Kafka gone",
    "ClickHouse gone",
    "unknown",
]
Source = Literal["kafka", "clickhouse", "registry", "metrics"]
Level = Literal["ok", "warn", "crit"]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Seconds."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class PartitionLag:
    partition: int
    log_start: Annotated[int, Field(description="first offset that Kafka holds")]
    log_end: Annotated[int, Field(description="offset of the next record")]
    committed: Annotated[int | None, Field(description="the group's offset; null: none")]
    lag_records: Annotated[int, Field(description="records in the log that are not committed")]
    lag_seconds: Annotated[
        float | None,
        Field(description="age of the oldest record that is not committed; 0 without lag"),
    ]
    drained_in_seconds: Annotated[
        float | None,
        Field(description="until the lag is gone at the present rates; null: it does not shrink"),
    ]
    produced_per_second: Annotated[float | None, Field(description="growth of the log end")]
    consumed_per_second: Annotated[
        float | None, Field(description="growth of the committed offset")
    ]


@dataclass(frozen=True, slots=True)
class Member:
    member_id: str
    client_id: str
    host: str
    partitions: Annotated[list[int], Field(description="of this topic, assigned to it")]


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    state: Annotated[
        str, Field(description="stable, empty, dead, preparing_rebalance or completing_rebalance")
    ]
    members: list[Member]
    paused_since: Annotated[
        str | None, Field(description="when `nrtctl pause` paused the pipeline, in UTC")
    ] = None


@dataclass(frozen=True, slots=True)
class Batches:
    """The inserts whose rows lie in the window."""

    count: int
    per_second: float
    rows_mean: Annotated[float | None, Field(description="rows of the table in an insert")]
    rows_max: int | None
    insert_seconds: Annotated[
        float | None,
        Field(
            description="mean time of an insert query between the last two looks, of the whole "
            "server; null: none ended"
        ),
    ]


@dataclass(frozen=True, slots=True)
class Parts:
    active: int
    most_in_a_partition: int
    delayed_from: Annotated[
        int, Field(description="parts in a partition at which inserts slow down")
    ]
    refused_from: Annotated[int, Field(description="parts in a partition at which they fail")]


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of the window that share one value of the `--by` column."""

    value: str
    rows: int
    per_second: float
    end_to_end_latency_seconds: Percentiles


@dataclass(frozen=True, slots=True)
class Breakdown:
    column: str
    slices: Annotated[list[Slice], Field(description="most rows first, 50 at most")]
    more: Annotated[int, Field(description="values beyond those")]
    error: Annotated[str | None, Field(description="why it has none")] = None


@dataclass(frozen=True, slots=True)
class MetricValue:
    dimensions: Annotated[dict[str, str], Field(description="name to value")]
    value: float | None
    level: Level


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of metrics.json: what its query answered, or the field that it names."""

    name: str
    help: str
    unit: str
    kind: str
    display: str
    dimensions: list[str]
    values: list[MetricValue]
    level: Annotated[Level, Field(description="the worst of its values")]
    error: Annotated[str | None, Field(description="why it has no values")]
    source: Annotated[
        str | None, Field(description="the field of this document that it repeats")
    ] = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A source that did not answer, or a metric or breakdown that does not work."""

    source: Source
    message: str
    hint: str | None
    gone: Annotated[bool, Field(description="it cannot be reached; else it refuses a question")]


@dataclass(frozen=True, slots=True)
class Verdict:
    state: State
    cause: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What this look itself took."""

    seconds: float
    cpu_seconds: Annotated[float, Field(description="of the process that looks")]
    clickhouse_seconds: float
    clickhouse_queries: int
    clickhouse_read_rows: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look. Seconds and records a second, unless a name says otherwise."""

    version: Annotated[int, Field(description="of this form")]
    time: Annotated[float, Field(description="seconds since the epoch")]
    topic: str
    table: str
    group: str
    window_seconds: Annotated[
        float, Field(description="rows that latency, batches and breakdown are taken over")
    ]
    verdict: Verdict
    errors: Annotated[list[Problem], Field(description="what did not answer; empty: all did")]
    produced_per_second: Annotated[float | None, Field(description="records into the log")]
    consumed_per_second: Annotated[float | None, Field(description="growth of the group's offsets")]
    stored_per_second: Annotated[float | None, Field(description="rows stored")]
    dead_letters_per_second: float | None
    lag_records: Annotated[int | None, Field(description="in all partitions")]
    lag_seconds: Annotated[float | None, Field(description="the largest of the partitions'")]
    tolerable_lag_seconds: Annotated[
        float, Field(description="a lag that is no older is there while all is well")
    ]
    drained_in_seconds: Annotated[float | None, Field(description="the largest; null: never")]
    lag: list[PartitionLag]
    freshness_seconds: Annotated[
        float | None, Field(description="age of the newest row, by ClickHouse's clock")
    ]
    end_to_end_latency_seconds: Annotated[
        Percentiles,
        Field(description="from the record's timestamp to its insert, every row of the window"),
    ]
    window_rows: Annotated[int | None, Field(description="rows stored within the window")]
    stored: Annotated[int | None, Field(description="rows of the topic in the table")]
    dead_letters: Annotated[int | None, Field(description="of the topic, in all")]
    dead_letters_by_reason: Annotated[dict[str, int], Field(description="most first")]
    dead_letters_by_reason_per_second: dict[str, float]
    batches: Batches | None
    active_parts: Annotated[int | None, Field(description="of the table; also in `parts`")]
    parts: Parts | None
    consumers: Annotated[Group | None, Field(description="the consumer group")]
    metrics: Annotated[list[Metric], Field(description="of metrics.json")]
    by: Annotated[Breakdown | None, Field(description="of `--by`")]
    cost: Cost

    def as_dict(self) -> dict[str, Any]:
        """Plain values, in the form of `snapshot.schema.json`."""
        return asdict(self)


Shots = Mapping[str, Snapshot]
"""Of each pipeline by its name, in the file's order; "" is the name of one without a name."""


def the_only(shots: Shots) -> Snapshot | None:
    """The snapshot of a single pipeline, which is shown in depth; None: there are several."""
    return next(iter(shots.values())) if len(shots) == 1 else None


def as_dict(shots: Shots) -> dict[str, Any]:
    """Plain values: those of a single pipeline, or of each under its name."""
    one = the_only(shots)
    if one is not None:
        return one.as_dict()
    return {"pipelines": {name: shot.as_dict() for name, shot in shots.items()}}
