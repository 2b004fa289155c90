"""The tables, projections and views of a pipeline. Pure text; `apply` runs it.

landing (Null) ─ <landing>_view ─▶ parsed (Null) ─┬─ <table>_accepted_<version> ─▶ table
                                                  └─ <table>_rejected_<version> ─▶ dead letters

The version is a hash of the three queries. The first view stamps it on every row, and the other two
take the rows of their own version only, so an insert is handled by one version of the pipeline
wholly, even while `apply` changes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from nrtctl.pipeline import Pipeline, Rollup
from nrtctl.schema.parsing import (
    COORDINATES,
    ENVELOPE,
    FIELD_MISSING,
    FIELD_NULL,
    WRONG_TYPE,
    field_types,
    names,
    parse_query,
    reason,
)
from nrtctl.schema.types import literal

DEDUPLICATION_WINDOW = 10_000
"""Inserts a table remembers the token of: at 10 a second, a quarter of an hour of stalled ones."""

OFFSETS = "nrtctl_offsets"
BY_OFFSET = "nrtctl_by_offset"

_HEADERS = "Array(Tuple(name String, value Nullable(String)))"
_COORDINATES = {
    "_topic": "LowCardinality(String)",
    "_partition": "Int32",
    "_offset": "Int64",
    "_timestamp": "DateTime64(3, 'UTC')",
}
_STORED = {**_COORDINATES, "_inserted_at": "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"}
_SETTINGS = (
    f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, "
    "deduplicate_merge_projection_mode = 'rebuild'"
)


def landing_columns() -> dict[str, str]:
    """Column to type."""
    texts = {"_key": "Nullable(String)", "_value": "Nullable(String)"}
    return {**_COORDINATES, "_headers": _HEADERS, **texts}


def parsed_columns(pipeline: Pipeline) -> dict[str, str]:
    """Column to type."""
    fields = {name: kind.parsed for name, kind in field_types(pipeline).items()}
    return {**landing_columns(), **fields, "_wrong": "UInt16", "_version": "UInt64"}


def table_columns(pipeline: Pipeline, column_types: Mapping[str, str]) -> dict[str, str]:
    """Column to type and default. Args: column_types: of the pipeline's own columns."""
    fields = {name: kind.text for name, kind in field_types(pipeline).items()}
    return {**fields, **column_types, **_STORED}


def dead_letter_columns() -> dict[str, str]:
    """Column to type and default. `error` is the server's, for rows that no view could take."""
    return {
        "_table": "LowCardinality(String)",
        **_STORED,
        "headers": _HEADERS,
        "key": "Nullable(String)",
        "value": "Nullable(String)",
        "reason": "LowCardinality(String)",
        "field": "LowCardinality(String)",
        "error": "String DEFAULT ''",
    }


def structure(columns: Mapping[str, str]) -> str:
    """The columns as the text between the parentheses of CREATE TABLE."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def landing(pipeline: Pipeline, database: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.landing} "
        f"({structure(landing_columns())}) ENGINE = Null"
    )


def parsed(pipeline: Pipeline, database: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.parsed} "
        f"({structure(parsed_columns(pipeline))}) ENGINE = Null"
    )


def table(pipeline: Pipeline, database: str, column_types: Mapping[str, str]) -> str:
    """Args: column_types: of the pipeline's columns, as the engine derives them."""
    columns = structure(table_columns(pipeline, column_types))
    by = f" PARTITION BY ({pipeline.partition_by})" if pipeline.partition_by else ""
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.table} "
        f"({', '.join([columns, *projections(pipeline).values()])}) "
        f"ENGINE = MergeTree{by} ORDER BY ({sorting_key(pipeline)}) "
        f"SETTINGS {_SETTINGS}, allow_nullable_key = 1"
    )


def sorting_key(pipeline: Pipeline) -> str:
    return _names(pipeline.order_by) or "_partition, _offset"


def dead_letters(pipeline: Pipeline, database: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.dead_letters} "
        f"({structure(dead_letter_columns())}, {_offsets('_table, ')}) "
        "ENGINE = MergeTree ORDER BY (_table, _topic, _partition, _offset) "
        f"SETTINGS {_SETTINGS}"
    )


def projections(pipeline: Pipeline) -> dict[str, str]:
    """Name to definition: two for the offsets (docs/decisions/0003), and one for each rollup."""
    found = {
        OFFSETS: _offsets(""),
        BY_OFFSET: f"PROJECTION {BY_OFFSET} (SELECT _topic, _partition, _offset "
        "ORDER BY _topic, _partition, _offset)",
    }
    for name, rollup in pipeline.rollups.items():
        found[name] = f"PROJECTION {name} ({_aggregation(rollup)} GROUP BY {_keys(rollup)})"
    return found


def _offsets(also: str) -> str:
    by = f"{also}_topic, _partition"
    values = "count(), min(_offset), max(_offset), max(_inserted_at)"
    return f"PROJECTION {OFFSETS} (SELECT {by}, {values} GROUP BY {by})"


def _aggregation(rollup: Rollup) -> str:
    parts = [f"({sql}) AS `{name}`" for name, sql in {**rollup.by, **rollup.values}.items()]
    return f"SELECT {', '.join(parts)}"


def _keys(rollup: Rollup) -> str:
    return ", ".join(f"({sql})" for sql in rollup.by.values())


def rollup_query(rollup: Rollup, source: str) -> str:
    """The rollup as a query over `source`, which has the table's columns."""
    return f"{_aggregation(rollup)} FROM {source} GROUP BY {_keys(rollup)}"


def reading_views(pipeline: Pipeline, database: str) -> dict[str, str]:
    """Name to query of the views that read the rollups."""
    source = f"{database}.{pipeline.table}"
    return {name: rollup_query(rollup, source) for name, rollup in pipeline.rollups.items()}


def feeding_views(pipeline: Pipeline, database: str) -> dict[str, tuple[str, str]]:
    """Name to (target, query) of the materialized views, in the order they must be made."""
    source = f"{database}.{pipeline.parsed}"

    def queries(version: int) -> tuple[str, str, str]:
        return (
            rejected_query(pipeline, source, version),
            accepted_query(pipeline, source, version),
            parse_query(pipeline, f"{database}.{pipeline.landing}", version),
        )

    digest = hashlib.sha256("\n".join(queries(0)).encode()).digest()
    version = int.from_bytes(digest[:4], "big")
    rejected, accepted, parse = queries(version)
    return {
        f"{pipeline.table}_rejected_{version:08x}": (
            f"{database}.{pipeline.dead_letters}",
            rejected,
        ),
        f"{pipeline.table}_accepted_{version:08x}": (f"{database}.{pipeline.table}", accepted),
        f"{pipeline.landing}_view": (source, parse),
    }


def is_old_view(pipeline: Pipeline, name: str, comment: str) -> bool:
    """Whether it is a view behind the parsed table, of this or an earlier version."""
    pattern = rf"{pipeline.table}_(?:accepted|rejected)_[0-9a-f]{{8}}"
    return comment.startswith("nrtctl ") and re.fullmatch(pattern, name) is not None


def needed(pipeline: Pipeline, database: str) -> list[str]:
    """Every table and view that must be there for an insert to be stored."""
    tables = [pipeline.landing, pipeline.parsed, pipeline.table, pipeline.dead_letters]
    return [*tables, *feeding_views(pipeline, database)]


def accepted_query(pipeline: Pipeline, source: str, version: int) -> str:
    """Rows of the parsed table `source` that are stored, as they are stored."""
    listed = _names([*pipeline.fields, *pipeline.columns])
    rejected = f" WHERE NOT ({_rejected(pipeline)})" if pipeline.rejects else ""
    rows = typed(pipeline, f"FROM {source} WHERE _version = {version} AND _wrong = 0")
    return f"SELECT {COORDINATES}, {listed} FROM ({rows}){rejected}"


def rejected_query(pipeline: Pipeline, source: str, version: int) -> str:
    """The other rows of the parsed table `source`, as dead letters."""
    mine = f"FROM {source} WHERE _version = {version}"
    rows = typed(pipeline, mine, f", _wrong, {names(pipeline)} AS _name")
    rule = "''"
    if pipeline.rejects:
        cases = (f"ifNull(({sql}), 0), {literal(text)}" for text, sql in pipeline.rejects.items())
        rule = f"if(_wrong > 0, '', multiIf({', '.join(cases)}, ''))"
    of_a_field = ", ".join(literal(each) for each in (FIELD_MISSING, FIELD_NULL, WRONG_TYPE))
    return (
        f"SELECT {literal(pipeline.table)} AS _table, {COORDINATES}, _headers AS headers, "
        "_key AS key, _value AS value, _reason AS reason, "
        f"if(_wrong > 0 AND _reason IN ({of_a_field}), _name, '') AS field FROM ("
        f"SELECT {ENVELOPE}, _wrong, _name, if(_wrong > 0, {reason()}, _rule) AS _reason FROM ("
        f"SELECT *, {rule} AS _rule FROM ({rows})) WHERE _wrong > 0 OR _rule != '')"
    )


def typed(pipeline: Pipeline, source: str, extra: str = "") -> str:
    """Rows of the parsed table: the envelope, fields as stored, the pipeline's columns."""
    fields = [
        f"`{name}`" if kind.nullable else f"assumeNotNull(`{name}`) AS `{name}`"
        for name, kind in field_types(pipeline).items()
    ]
    columns = "".join(f", ({sql}) AS `{name}`" for name, sql in pipeline.columns.items())
    return f"SELECT *{columns} FROM (SELECT {ENVELOPE}{extra}, {', '.join(fields)} {source})"


def _rejected(pipeline: Pipeline) -> str:
    return " OR ".join(f"ifNull(({sql}), 0)" for sql in pipeline.rejects.values())


def _names(listed: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in listed)
