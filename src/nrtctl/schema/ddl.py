"""The tables, projections and views of a pipeline. Pure text; `apply` runs it.

landing (Null) ─ <landing>_view ─▶ parsed (Null) ─┬─ <table>_view ──────▶ table
                                                  └─ <table>_dead_view ─▶ dead letters
"""

from __future__ import annotations

from nrtctl.pipeline import Pipeline, Rollup
from nrtctl.schema.parsing import COORDINATES, field_types, parse_query
from nrtctl.schema.types import literal

DEDUPLICATION_WINDOW = 10_000
"""Tokens a table remembers: at 10 inserts a second, a quarter of an hour of stalled inserts."""

OFFSETS = "nrtctl_offsets"
BY_OFFSET = "nrtctl_by_offset"

_COORDINATES = (
    "_topic LowCardinality(String), _partition Int32, _offset Int64, "
    "_timestamp DateTime64(3, 'UTC')"
)
_STORED = f"{_COORDINATES}, _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"
_SETTINGS = (
    f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, "
    "deduplicate_merge_projection_mode = 'rebuild'"
)


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def landing(pipeline: Pipeline, database: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.landing} "
        f"({_COORDINATES}, _key Nullable(String), _value Nullable(String)) ENGINE = Null"
    )


def parsed_columns(pipeline: Pipeline) -> dict[str, str]:
    """Field columns of the parsed table: name to type."""
    return {name: kind.parsed for name, kind in field_types(pipeline).items()}


def parsed(pipeline: Pipeline, database: str) -> str:
    columns = ", ".join(f"`{name}` {kind}" for name, kind in parsed_columns(pipeline).items())
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.parsed} "
        f"({_COORDINATES}, _key Nullable(String), _value Nullable(String), {columns}, "
        "_reason LowCardinality(String), _field LowCardinality(String)) ENGINE = Null"
    )


def typed_fields(pipeline: Pipeline) -> str:
    """Select list: the fields of an accepted row, as stored."""
    parts = []
    for name, kind in field_types(pipeline).items():
        parts.append(f"`{name}`" if kind.nullable else f"assumeNotNull(`{name}`) AS `{name}`")
    return ", ".join(parts)


def _typed(pipeline: Pipeline, source: str, extra: str = "") -> str:
    """Rows of the parsed table with fields as stored and the pipeline's columns beside them."""
    columns = "".join(f", ({sql}) AS `{name}`" for name, sql in pipeline.columns.items())
    return (
        f"SELECT *{columns} FROM (SELECT {COORDINATES}{extra}, {typed_fields(pipeline)} {source})"
    )


def columns_query(pipeline: Pipeline, database: str) -> str:
    """A query whose types are those of the pipeline's columns."""
    names = _names(list(pipeline.columns))
    source = f"FROM {database}.{pipeline.parsed}"
    return f"SELECT {names} FROM ({_typed(pipeline, source)})"


def _rejected(pipeline: Pipeline) -> str:
    conditions = [f"ifNull(({sql}), 0)" for sql in pipeline.rejects.values()]
    return " OR ".join(conditions) or "0"


def accepted_query(pipeline: Pipeline, database: str) -> str:
    source = f"FROM {database}.{pipeline.parsed} WHERE _reason = ''"
    names = _names([*pipeline.fields, *pipeline.columns])
    return (
        f"SELECT {COORDINATES}, {names} FROM ({_typed(pipeline, source)}) "
        f"WHERE NOT ({_rejected(pipeline)})"
    )


def rejected_query(pipeline: Pipeline, database: str) -> str:
    source = f"FROM {database}.{pipeline.parsed}"
    extra = ", _key, _value, _reason, _field"
    cases = "".join(
        f", ifNull(({sql}), 0), {literal(reason)}" for reason, sql in pipeline.rejects.items()
    )
    return (
        f"SELECT {literal(pipeline.table)} AS _table, {COORDINATES}, _key AS key, _value AS value, "
        f"multiIf(_reason != '', toString(_reason){cases}, '') AS reason, "
        f"toString(_field) AS field FROM ({_typed(pipeline, source, extra)}) "
        f"WHERE _reason != '' OR {_rejected(pipeline)}"
    )


def table(pipeline: Pipeline, database: str, column_types: dict[str, str]) -> str:
    """Args: column_types: of the pipeline's columns, as the engine derives them."""
    fields = [f"`{name}` {kind.text}" for name, kind in field_types(pipeline).items()]
    columns = [f"`{name}` {kind}" for name, kind in column_types.items()]
    order = _names(list(pipeline.order_by)) or "_partition, _offset"
    by = f" PARTITION BY ({pipeline.partition_by})" if pipeline.partition_by else ""
    body = ", ".join([*fields, *columns, _STORED, *projections(pipeline).values()])
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.table} ({body}) "
        f"ENGINE = MergeTree{by} ORDER BY ({order}) "
        f"SETTINGS {_SETTINGS}, allow_nullable_key = 1"
    )


def dead_letters(pipeline: Pipeline, database: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.dead_letters} "
        f"(_table LowCardinality(String), {_STORED}, key Nullable(String), value Nullable(String), "
        "reason LowCardinality(String), field LowCardinality(String), error String DEFAULT '') "
        "ENGINE = MergeTree ORDER BY (_table, _topic, _partition, _offset) "
        f"SETTINGS {_SETTINGS}"
    )


def projections(pipeline: Pipeline) -> dict[str, str]:
    """Name to definition: one for each rollup, and two for the offsets."""
    found = {
        OFFSETS: f"PROJECTION {OFFSETS} (SELECT _topic, _partition, count(), min(_offset), "
        "max(_offset), max(_inserted_at) GROUP BY _topic, _partition)",
        BY_OFFSET: f"PROJECTION {BY_OFFSET} (SELECT _topic, _partition, _offset "
        "ORDER BY _topic, _partition, _offset)",
    }
    for name, rollup in pipeline.rollups.items():
        found[name] = f"PROJECTION {name} ({_aggregation(rollup)} GROUP BY {_keys(rollup)})"
    return found


def _aggregation(rollup: Rollup) -> str:
    parts = [f"({sql}) AS `{name}`" for name, sql in {**rollup.by, **rollup.values}.items()]
    return f"SELECT {', '.join(parts)}"


def _keys(rollup: Rollup) -> str:
    return ", ".join(f"({sql})" for sql in rollup.by.values())


def reading_views(pipeline: Pipeline, database: str) -> dict[str, str]:
    """Name to query of the views that read the rollups."""
    return {
        name: f"{_aggregation(rollup)} FROM {database}.{pipeline.table} GROUP BY {_keys(rollup)}"
        for name, rollup in pipeline.rollups.items()
    }


def feeding_views(pipeline: Pipeline, database: str) -> dict[str, tuple[str, str]]:
    """Name to (target, query) of the materialized views, in the order they must be made."""
    return {
        f"{pipeline.table}_dead_view": (
            f"{database}.{pipeline.dead_letters}",
            rejected_query(pipeline, database),
        ),
        f"{pipeline.table}_view": (
            f"{database}.{pipeline.table}",
            accepted_query(pipeline, database),
        ),
        f"{pipeline.landing}_view": (
            f"{database}.{pipeline.parsed}",
            parse_query(pipeline, f"{database}.{pipeline.landing}"),
        ),
    }
