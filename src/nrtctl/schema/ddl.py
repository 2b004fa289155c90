"""The tables, projections and views of a pipeline. Pure text; `apply` runs it.

landing (Null) ─ <landing>_view ─▶ parsed (Null) ─┬─ <table>_accepted ─▶ table
                                                  ├─ <table>_rejected ─▶ dead letters
                                                  └─ (`latest`)        ─▶ current states

The first view decides what becomes of a message and writes it into `_wrong`; the others obey.
So one pipeline decides about a whole insert, even while `apply` changes the views.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from nrtctl.clickhouse.cluster import on
from nrtctl.pipeline import FIRST, Pipeline, Rollup
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.message_format import DECODED
from nrtctl.schema import latest
from nrtctl.schema.columns import field_types
from nrtctl.schema.fanout import TEXT
from nrtctl.schema.parsing import (
    ASK,
    SKIP,
    columns_as_named,
    fault,
    letters_of_several_rows,
    message_of,
    parse_query,
    reason,
)
from nrtctl.schema.reasons import (
    COORDINATES,
    DUPLICATE_KEY,
    FIELD_MISSING,
    FIELD_NULL,
    WRONG_TYPE,
    envelope_of,
    left_out_of,
)

DEDUPLICATION_WINDOW = 10_000
"""Inserts a table remembers the token of: at 10 a second, a quarter of an hour of stalled ones."""

OFFSETS = "nrtctl_offsets"
BY_OFFSET = "nrtctl_by_offset"
RECENT = "nrtctl_recent"
INCARNATIONS = "nrtctl_incarnations"
"""The table of `store.incarnations`, one for all pipelines of a database."""
REASONS = "nrtctl_reasons"

_SETTING = re.compile(r"(\w+) = ('(?:[^'\\]|\\.)*'|[^,\s]+)")
_NO_TEXT = "materialize(CAST(NULL, 'Nullable(String)'))"
"""A plain NULL in an `if` hides the bytes of the other branch, and they are stored nevertheless."""

_HEADERS = "Array(Tuple(name String, value Nullable(String)))"
_COORDINATES = {
    "_topic": "LowCardinality(String)",
    "_incarnation": f"UInt32 DEFAULT {FIRST}",
    "_partition": "Int32",
    "_offset": "Int64",
    "_timestamp": "DateTime64(3, 'UTC')",
}
_STORED = {**_COORDINATES, "_inserted_at": "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')"}
WINDOW = f"non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"
_REPLICATED_WINDOW = (
    f"replicated_deduplication_window = {DEDUPLICATION_WINDOW}, "
    "replicated_deduplication_window_seconds = 604800"
)


def landing_columns(*, decoded: bool = False) -> dict[str, str]:
    """Column to type. Args: decoded: the messages are no JSON (`Pipeline.is_decoded`)."""
    texts = {"_key": "Nullable(String)", "_value": "Nullable(String)"}
    json = {DECODED: "String"} if decoded else {}
    return {**_COORDINATES, "_headers": _HEADERS, **texts, **json}


def parsed_columns(pipeline: Pipeline) -> dict[str, str]:
    """Column to type."""
    fields = {name: kind.text for name, kind in field_types(pipeline).items()}
    landed = landing_columns(decoded=pipeline.is_decoded and pipeline.rows is None)
    return {**landed, **fields, "_wrong": "String", **_of_several_rows(pipeline)}


def _of_several_rows(pipeline: Pipeline) -> dict[str, str]:
    """Column to type, of the parsed table where a message may hold several rows.

    `_good`: rows of the message that are stored beside its dead letter; `_whole`: the message, in
    its first row; `_bad_at`: the first bad row, 0: none; the others are those of `fanout`.
    """
    if pipeline.rows is None:
        return {}
    return {
        "_row": "UInt32",
        "_rows": "UInt32",
        "_good": "UInt32",
        "_whole": "Nullable(String)",
        "_at": "UInt32",
        "_bad_at": "UInt32",
        "_walked": "UInt16",
        "_ns": "Array(UInt32)",
        TEXT: "String",
    }


def row_columns(pipeline: Pipeline) -> dict[str, str]:
    """Column to type and default, of rows and dead letters where a message may hold several rows.

    `_row`: the place among those of its message, from 0. `_rows`: in the first of them how many
    rows the message has, and its dead letter if it has one beside rows; else 0. So a table from
    before holds whole messages, of a row each.
    """
    return (
        {} if pipeline.rows is None else {"_row": "UInt32 DEFAULT 0", "_rows": "UInt32 DEFAULT 1"}
    )


def table_columns(pipeline: Pipeline, column_types: Mapping[str, str]) -> dict[str, str]:
    """Column to type and default. Args: column_types: of the pipeline's own columns."""
    fields = {name: kind.text for name, kind in field_types(pipeline).items()}
    return {**fields, **column_types, **_STORED, **row_columns(pipeline)}


def dead_letter_columns(pipeline: Pipeline) -> dict[str, str]:
    """Column to type and default. `error` is the server's, for rows that no view could take;
    `purged_at`: key, value and headers were erased then."""
    return {
        "_target": "LowCardinality(String)",
        **_STORED,
        "headers": _HEADERS,
        "key": "Nullable(String)",
        "value": "Nullable(String)",
        "reason": "LowCardinality(String)",
        "field": "LowCardinality(String)",
        "error": "String DEFAULT ''",
        "purged_at": "Nullable(DateTime64(3, 'UTC'))",
        **row_columns(pipeline),
    }


def letter_log_columns() -> dict[str, str]:
    """Column to type. What `dlq` did: `reason` is the letter's where it was stored or purged, else
    the new one."""
    return {
        "_target": "LowCardinality(String)",
        "_topic": _COORDINATES["_topic"],
        "_incarnation": _COORDINATES["_incarnation"],
        "_partition": _COORDINATES["_partition"],
        "_offset": _COORDINATES["_offset"],
        "at": "DateTime64(3, 'UTC')",
        "outcome": "LowCardinality(String)",
        "reason": "LowCardinality(String)",
        "field": "LowCardinality(String)",
        "error": "String",
        "fix": "String",
    }


def structure(columns: Mapping[str, str]) -> str:
    """The columns as the text between the parentheses of CREATE TABLE."""
    return ", ".join(f"`{name}` {kind}" for name, kind in columns.items())


def _engine(database: str, name: str, cluster: str | None) -> str:
    """The path names the table, not its UUID, so that a server that joins later finds it."""
    if cluster is None:
        return "MergeTree"
    path = f"/clickhouse/tables/{{shard}}/{database}/{name}"
    return f"ReplicatedMergeTree('{path}', '{{replica}}')"


def _settings(cluster: str | None) -> str:
    window = WINDOW if cluster is None else _REPLICATED_WINDOW
    return f"{window}, deduplicate_merge_projection_mode = 'rebuild'"


def settings_of(text: str) -> dict[str, str]:
    """Name to value, as SQL, of the settings of a table as ClickHouse writes them."""
    return dict(_SETTING.findall(text))


def landing(pipeline: Pipeline, database: str, cluster: str | None = None) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.landing}{on(cluster)} "
        f"({structure(landing_columns(decoded=pipeline.is_decoded))}) ENGINE = Null"
    )


def parsed(pipeline: Pipeline, database: str, cluster: str | None = None) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.parsed}{on(cluster)} "
        f"({structure(parsed_columns(pipeline))}) ENGINE = Null"
    )


def table(
    pipeline: Pipeline,
    database: str,
    column_types: Mapping[str, str],
    cluster: str | None = None,
    *,
    ttl: str = "",
    settings: Mapping[str, str] | None = None,
) -> str:
    """Args:
    column_types: of the pipeline's columns, as the engine derives them.
    ttl, settings: what a user has given the table in whose place it comes.
    """
    columns = structure(table_columns(pipeline, column_types))
    by = f" PARTITION BY ({pipeline.partition_by})" if pipeline.partition_by else ""
    own = settings_of(f"{_settings(cluster)}, allow_nullable_key = 1")
    values = {**own, **(settings or {})}
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.table}{on(cluster)} "
        f"({', '.join([columns, *projections(pipeline).values()])}) "
        f"ENGINE = {_engine(database, pipeline.table, cluster)}{by} "
        f"ORDER BY ({sorting_key(pipeline)}){f' TTL {ttl}' if ttl else ''} "
        f"SETTINGS {', '.join(f'{name} = {value}' for name, value in values.items())}"
    )


def sorting_key(pipeline: Pipeline) -> str:
    return _names(pipeline.order_by) or "_partition, _offset"


def dead_letters(pipeline: Pipeline, database: str, cluster: str | None = None) -> str:
    columns = structure(dead_letter_columns(pipeline))
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.dead_letters}{on(cluster)} "
        f"({', '.join([columns, *dead_letter_projections().values()])}) "
        f"ENGINE = {_engine(database, pipeline.dead_letters, cluster)} "
        f"ORDER BY (_target, _topic, _partition, _offset) SETTINGS {_settings(cluster)}"
    )


def dead_letter_projections() -> dict[str, str]:
    """Name to definition."""
    by = "_target, _topic, reason"
    return {
        OFFSETS: _offsets("_target, "),
        REASONS: f"PROJECTION {REASONS} (SELECT {by}, count() GROUP BY {by})",
    }


def letter_log(pipeline: Pipeline, database: str, cluster: str | None = None) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{pipeline.letter_log}{on(cluster)} "
        f"({structure(letter_log_columns())}) "
        f"ENGINE = {_engine(database, pipeline.letter_log, cluster)} "
        "ORDER BY (_target, _topic, _partition, _offset, at)"
    )


def incarnation_columns() -> dict[str, str]:
    """Column to type and default."""
    return {
        "_topic": "String",
        "_incarnation": "UInt32",
        "topic_id": "String",
        "seen_at": "DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')",
    }


def incarnations(database: str, cluster: str | None = None) -> str:
    """On a cluster every server has all of it."""
    engine, window = "MergeTree", WINDOW
    if cluster is not None:
        path = f"/clickhouse/tables/{database}/{INCARNATIONS}"
        engine = f"ReplicatedMergeTree('{path}', '{{shard}}-{{replica}}')"
        window = _REPLICATED_WINDOW
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{INCARNATIONS}{on(cluster)} "
        f"({structure(incarnation_columns())}) ENGINE = {engine} "
        f"ORDER BY (_topic, _incarnation) SETTINGS {window}"
    )


def projections(pipeline: Pipeline) -> dict[str, str]:
    """Name to definition: two for the offsets (docs/decisions/0003), one for `stats`
    (docs/decisions/0009), and one for each rollup."""
    found = {
        OFFSETS: _offsets(""),
        BY_OFFSET: f"PROJECTION {BY_OFFSET} (SELECT _topic, _incarnation, _partition, _offset"
        f"{''.join(f', {name}' for name in row_columns(pipeline))} "
        "ORDER BY _topic, _incarnation, _partition, _offset)",
        RECENT: f"PROJECTION {RECENT} (SELECT _topic, _partition, _timestamp, _inserted_at "
        "ORDER BY _topic, _inserted_at)",
    }
    for name, rollup in pipeline.rollups.items():
        found[name] = f"PROJECTION {name} (SELECT {_aggregation(rollup)} GROUP BY {_keys(rollup)})"
    return found


def _offsets(also: str) -> str:
    by = f"{also}_topic, _incarnation, _partition"
    values = "count(), min(_offset), max(_offset), max(_inserted_at)"
    return f"PROJECTION {OFFSETS} (SELECT {by}, {values} GROUP BY {by})"


def _aggregation(rollup: Rollup) -> str:
    """Own aliases: a measure named like a column would hide the column from the others."""
    return ", ".join(
        f"({sql}) AS {alias}"
        for mark, named in (("_by", rollup.by), ("_value", rollup.values))
        for alias, sql in zip(_aliases(mark, named), named.values(), strict=True)
    )


def _aliases(mark: str, named: Mapping[str, str]) -> list[str]:
    return [f"{mark}{index}" for index in range(1, len(named) + 1)]


def _keys(rollup: Rollup) -> str:
    return ", ".join(f"({sql})" for sql in rollup.by.values())


def rollup_query(rollup: Rollup, source: str) -> str:
    """The rollup as a query over `source`, which has the table's columns."""
    aliases = [*_aliases("_by", rollup.by), *_aliases("_value", rollup.values)]
    names = zip(aliases, [*rollup.by, *rollup.values], strict=True)
    return (
        f"SELECT {', '.join(f'{alias} AS `{name}`' for alias, name in names)} FROM "
        f"(SELECT {_aggregation(rollup)} FROM {source} GROUP BY {_keys(rollup)})"
    )


def reading_views(pipeline: Pipeline, database: str) -> dict[str, str]:
    """Name to query of the views that read the rollups."""
    source = f"{database}.{pipeline.table}"
    return {name: rollup_query(rollup, source) for name, rollup in pipeline.rollups.items()}


def state_table(
    pipeline: Pipeline,
    database: str,
    name: str,
    column_types: Mapping[str, str],
    cluster: str | None = None,
) -> str:
    """The table of a current state; as `latest.state_table`."""
    columns = latest.state_columns(table_columns(pipeline, column_types))
    return latest.state_table(pipeline, database, name, structure(columns), cluster)


def latest_views(pipeline: Pipeline, database: str, cluster: str | None = None) -> dict[str, str]:
    """Name to query of the views that read the current states."""
    return {
        name: latest.reading_query(pipeline, database, name, cluster) for name in pipeline.latest
    }


def feeding_views(pipeline: Pipeline, database: str) -> dict[str, tuple[str, str]]:
    """Name to (target, query) of the materialized views, in the order they must be made."""
    parsed_table = f"{database}.{pipeline.parsed}"
    queries = {
        f"{pipeline.table}_rejected": rejected_query(pipeline, parsed_table),
        f"{pipeline.table}_accepted": accepted_query(pipeline, parsed_table),
        **{
            latest.feed_of(state): latest.feeding_query(
                pipeline, name, accepted_query(pipeline, parsed_table)
            )
            for name, state in latest.states(pipeline).items()
        },
        f"{pipeline.landing}_view": parse_query(pipeline, f"{database}.{pipeline.landing}"),
    }
    targets = feeding_targets(pipeline, database)
    return {name: (target, queries[name]) for name, target in targets.items()}


def feeding_targets(pipeline: Pipeline, database: str) -> dict[str, str]:
    """As `feeding_views`, without the queries, which take a hundred times as long to write."""
    return {
        f"{pipeline.table}_rejected": f"{database}.{pipeline.dead_letters}",
        f"{pipeline.table}_accepted": f"{database}.{pipeline.table}",
        **{
            latest.feed_of(state): f"{database}.{state}"
            for state in latest.states(pipeline).values()
        },
        f"{pipeline.landing}_view": f"{database}.{pipeline.parsed}",
    }


def needed(pipeline: Pipeline, database: str) -> list[str]:
    """Every table and view that must be there for an insert to be stored. Current states are not
    among them: another `up` may have made others, and a consumer goes on."""
    tables = [
        pipeline.landing, pipeline.parsed, pipeline.table, pipeline.dead_letters, INCARNATIONS,
    ]  # fmt: skip
    feeds = {latest.feed_of(state) for state in latest.states(pipeline).values()}
    return [*tables, *(view for view in feeding_targets(pipeline, database) if view not in feeds)]


def accepted_query(pipeline: Pipeline, source: str) -> str:
    """Rows of the parsed table `source` that are stored, as they are stored."""
    mine = [COORDINATES, *row_columns(pipeline)]
    stored = ", ".join([*mine, _names(list(pipeline.fields)), *columns_as_named(pipeline)])
    return f"SELECT {stored} FROM {source} WHERE _wrong = ''"


def rejected_query(pipeline: Pipeline, source: str) -> str:
    """The other rows of the parsed table `source`, as dead letters; of a message that is left out
    only that it was (docs/decisions/0050)."""
    if pipeline.rows is not None:
        return (
            f"SELECT {literal(pipeline.table)} AS _target, {COORDINATES}, _headers AS headers, "
            "_key AS key, _message AS value, _reason AS reason, _field AS field, _good AS _row, "
            "toUInt32(_good = 0) AS _rows FROM "
            f"({letters_of_several_rows(pipeline, pipeline.rows, source)})"
        )
    of_a_field = ", ".join(literal(each) for each in (FIELD_MISSING, FIELD_NULL, WRONG_TYPE))
    asked = f"startsWith(_wrong, {literal(ASK)})"
    _, mended = message_of(pipeline)
    found, field = "", f"if({asked} AND _reason IN ({of_a_field}), _name, '')"
    if inside := fault(pipeline):
        found = f"if({asked}, {inside}, '') AS _fault, "
        known = f"_reason IN ({of_a_field}) OR _reason = {literal(DUPLICATE_KEY)}"
        place = "substring(_fault, 1, length(_fault) - 1)"
        field = f"if(notEmpty(_fault) AND ({known}), {place}, {field})"
    target, content = literal(pipeline.table), "_headers AS headers, _key AS key, _value AS value"
    if pipeline.takes_some:
        skipped = f"startsWith(_wrong, {literal(SKIP)})"
        target = f"if({skipped}, {literal(left_out_of(pipeline.table))}, {target})"
        content = (
            f"if({skipped}, arraySlice(_headers, 1, 0), _headers) AS headers, "
            f"if({skipped}, {_NO_TEXT}, _key) AS key, if({skipped}, {_NO_TEXT}, _value) AS value"
        )
    return (
        f"SELECT {target} AS _target, {COORDINATES}, {content}, "
        f"_reason AS reason, {field} AS field FROM ("
        f"SELECT {envelope_of(pipeline)}, _wrong, substring(_wrong, 2) AS _name, {mended}{found}"
        f"if({asked}, {reason(pipeline)}, _name) AS _reason FROM {source} WHERE _wrong != '')"
    )


def _names(listed: list[str] | tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in listed)
