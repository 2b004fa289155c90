"""Make ClickHouse hold what a pipeline describes. Called by `up` and `demo`; drops nothing.

An insert that arrives meanwhile is never lost: views that feed are changed in place
(`MODIFY QUERY`), and new ones are made from the tables backwards to the landing table.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nrtctl.errors import ConfigError
from nrtctl.pipeline import METADATA_COLUMNS, Pipeline
from nrtctl.schema import ddl
from nrtctl.schema.parsing import field_types
from nrtctl.schema.types import literal


class Client(Protocol):
    """The part of `ClickHouseClient` that applying needs."""

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]: ...

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to one object: `made`, `changed` or `kept`."""

    kind: str
    name: str
    action: str


def apply(client: Client, pipeline: Pipeline, database: str) -> list[Step]:
    """Create what is not there, change what may be changed.

    Raises:
        ConfigError: the change is refused; nothing was changed then.
        QueryError: the engine refuses an expression of the pipeline.
    """
    try:
        field_types(pipeline)
    except ValueError as error:
        raise ConfigError(f"pipeline.fields: {error}") from error
    _check_expressions(client, pipeline)
    steps = [_database(client, database)]
    before = _tables(client, database)
    steps.append(
        _create(client, before, "table", pipeline.landing, ddl.landing(pipeline, database))
    )
    _check_parsed(client, pipeline, database, before)
    steps.append(_create(client, before, "table", pipeline.parsed, ddl.parsed(pipeline, database)))
    if pipeline.parsed in before:
        _add_columns(client, database, pipeline.parsed, ddl.parsed_columns(pipeline))
    types = _column_types(client, pipeline, database)
    if pipeline.table in before:
        steps.append(_change_table(client, pipeline, database, types))
    else:
        sql = ddl.table(pipeline, database, types)
        steps.append(_create(client, before, "table", pipeline.table, sql))
    steps.append(_dead_letters(client, pipeline, database, before))
    steps += _projections(client, pipeline, database, existed=pipeline.table in before)
    for name, (target, query) in ddl.feeding_views(pipeline, database).items():
        steps.append(_feeding_view(client, database, before, name, target, query))
    for name, query in ddl.reading_views(pipeline, database).items():
        steps.append(_reading_view(client, database, before, name, query))
    return steps


def _check_expressions(client: Client, pipeline: Pipeline) -> None:
    """Each expression by itself: it must not end its own parenthesis and go on."""
    named = {f"columns.{n}": sql for n, sql in pipeline.columns.items()}
    named |= {f"rejects.{n!r}": sql for n, sql in pipeline.rejects.items()}
    for rollup, definition in pipeline.rollups.items():
        both = {**definition.by, **definition.values}
        named |= {f"rollups.{rollup}.{n}": sql for n, sql in both.items()}
    if pipeline.partition_by:
        named["partition_by"] = pipeline.partition_by
    both_forms = {f"{key}": (f"SELECT {sql}", f"SELECT ({sql})") for key, sql in named.items()}
    try:
        _format(client, [text for forms in both_forms.values() for text in forms])
    except Exception:
        for key, forms in both_forms.items():
            try:
                _format(client, list(forms))
            except Exception as error:
                raise ConfigError(
                    f"pipeline.{key}: {named[key]!r} is not an SQL expression: {error}"
                ) from error
        raise
    for key, sql in named.items():
        words = set(re.findall(r"[A-Z]+", re.sub(r"'(?:[^'\\]|\\.)*'", "", sql).upper()))
        if words & {"FROM", "UNION", "FORMAT", "SETTINGS", "INTO"}:
            raise ConfigError(
                f"pipeline.{key}: {sql!r} must be one expression, without FROM, UNION, FORMAT, "
                "SETTINGS or INTO"
            )


def _format(client: Client, statements: list[str]) -> None:
    """Raises what the engine says of a statement that it cannot parse."""
    texts = ", ".join(f"formatQuery({literal(text)})" for text in statements)
    if statements:
        client.query(f"SELECT {texts}")


def _database(client: Client, database: str) -> Step:
    there = client.query(
        "SELECT count() FROM system.databases WHERE name = {n:String}", {"n": database}
    )
    if not there[0][0]:
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    return Step("database", database, "kept" if there[0][0] else "made")


def _tables(client: Client, database: str) -> dict[str, tuple[str, str]]:
    """Name to (engine, comment)."""
    rows = client.query(
        "SELECT name, engine, comment FROM system.tables WHERE database = {d:String}",
        {"d": database},
    )
    return {str(name): (str(engine), str(comment)) for name, engine, comment in rows}


def _columns(client: Client, database: str, name: str) -> dict[str, str]:
    rows = client.query(
        "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}",
        {"d": database, "t": name},
    )
    return {str(column): str(kind) for column, kind in rows}


def _create(client: Client, before: Mapping[str, Any], kind: str, name: str, sql: str) -> Step:
    if name in before:
        return Step(kind, name, "kept")
    client.command(sql)
    return Step(kind, name, "made")


def _same_type(one: str, other: str) -> bool:
    return one.replace(" ", "") == other.replace(" ", "")


def _check_parsed(
    client: Client, pipeline: Pipeline, database: str, before: Mapping[str, tuple[str, str]]
) -> None:
    """Refuse before anything is changed."""
    for name in (pipeline.landing, pipeline.parsed):
        if name in before and before[name][0] != "Null":
            raise ConfigError(
                f"{database}.{name} exists and was not made by nrtctl (engine {before[name][0]})",
                hint="set pipeline.table to another name",
            )
    if pipeline.table not in before:
        return
    engine = before[pipeline.table][0]
    there = _columns(client, database, pipeline.table)
    absent = [name for name in METADATA_COLUMNS if name not in there]
    if not engine.endswith("MergeTree") or absent:
        what = f"lacks {', '.join(absent)}" if absent else f"has the engine {engine}"
        raise ConfigError(
            f"{database}.{pipeline.table} exists with other columns: it {what}",
            hint="set pipeline.table to another name, or clickhouse.database to another database",
        )
    for name, kind in field_types(pipeline).items():
        if name in there and not _same_type(there[name], kind.text):
            raise ConfigError(
                f"pipeline.fields.{name}: the table {database}.{pipeline.table} stores "
                f"{there[name]}, the configuration says {kind.text}; a stored type is not changed",
                hint="set pipeline.table to a new table and load it with `nrtctl replay`",
            )
    keys = client.query(
        "SELECT sorting_key, partition_key FROM system.tables "
        "WHERE database = {d:String} AND name = {t:String}",
        {"d": database, "t": pipeline.table},
    )[0]
    wanted = ", ".join(pipeline.order_by) or "_partition, _offset"
    if _plain(str(keys[0])) != _plain(wanted):
        raise ConfigError(
            f"pipeline.order_by: the table {database}.{pipeline.table} is sorted by ({keys[0]}), "
            f"the configuration says ({wanted}); the order of a table with data is not changed",
            hint="set pipeline.table to a new table",
        )


def _plain(text: str) -> str:
    return text.replace(" ", "").replace("`", "")


def _column_types(client: Client, pipeline: Pipeline, database: str) -> dict[str, str]:
    if not pipeline.columns:
        return {}
    rows = client.query(f"DESCRIBE ({ddl.columns_query(pipeline, database)})")
    return {str(row[0]): str(row[1]) for row in rows}


def _add_columns(client: Client, database: str, name: str, wanted: Mapping[str, str]) -> list[str]:
    there = _columns(client, database, name)
    added = [column for column in wanted if column not in there]
    for column in added:
        client.command(
            f"ALTER TABLE {database}.{name} ADD COLUMN IF NOT EXISTS `{column}` {wanted[column]}"
        )
    return added


def _change_table(
    client: Client, pipeline: Pipeline, database: str, types: Mapping[str, str]
) -> Step:
    there = _columns(client, database, pipeline.table)
    for name, kind in types.items():
        if name in there and not _same_type(there[name], kind):
            raise ConfigError(
                f"pipeline.columns.{name}: the table stores {there[name]}, the expression now "
                f"gives {kind}; a stored type is not changed",
                hint="cast the expression, or name a new column",
            )
    wanted = {name: kind.text for name, kind in field_types(pipeline).items()} | dict(types)
    added = _add_columns(client, database, pipeline.table, wanted)
    return Step("table", pipeline.table, f"changed: + {', '.join(added)}" if added else "kept")


def _dead_letters(
    client: Client, pipeline: Pipeline, database: str, before: Mapping[str, tuple[str, str]]
) -> Step:
    if pipeline.dead_letters in before:
        there = _columns(client, database, pipeline.dead_letters)
        if "_table" not in there or "reason" not in there:
            raise ConfigError(
                f"{database}.{pipeline.dead_letters} exists and was not made by nrtctl",
                hint="set pipeline.dead_letters to another name",
            )
    sql = ddl.dead_letters(pipeline, database)
    return _create(client, before, "table", pipeline.dead_letters, sql)


def _projections(client: Client, pipeline: Pipeline, database: str, *, existed: bool) -> list[Step]:
    wanted = ddl.projections(pipeline)
    if not existed:
        return [Step("projection", name, "made") for name in wanted]
    rows = client.query(
        "SELECT name FROM system.projections WHERE database = {d:String} AND table = {t:String}",
        {"d": database, "t": pipeline.table},
    )
    there = {str(row[0]) for row in rows}
    steps = []
    for name, sql in wanted.items():
        if name not in there:
            client.command(f"ALTER TABLE {database}.{pipeline.table} ADD {sql}")
            client.command(f"ALTER TABLE {database}.{pipeline.table} MATERIALIZE PROJECTION {name}")
        steps.append(Step("projection", name, "kept" if name in there else "made"))
    return steps


def _mark(query: str) -> str:
    return f"nrtctl {hashlib.sha256(query.encode()).hexdigest()[:16]}"


def _feeding_view(
    client: Client,
    database: str,
    before: Mapping[str, tuple[str, str]],
    name: str,
    target: str,
    query: str,
) -> Step:
    mark = _mark(query)
    if name not in before:
        client.command(
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name} TO {target} "
            f"AS {query} COMMENT '{mark}'"
        )
        return Step("view", name, "made")
    if before[name][1] == mark:
        return Step("view", name, "kept")
    client.command(f"ALTER TABLE {database}.{name} MODIFY QUERY {query}")
    client.command(f"ALTER TABLE {database}.{name} MODIFY COMMENT '{mark}'")
    return Step("view", name, "changed")


def _reading_view(
    client: Client, database: str, before: Mapping[str, tuple[str, str]], name: str, query: str
) -> Step:
    mark = _mark(query)
    if name in before and before[name][0] != "View":
        raise ConfigError(
            f"{database}.{name} exists and is no view; a rollup would need that name",
            hint="name the rollup otherwise",
        )
    if name in before and before[name][1] == mark:
        return Step("view", name, "kept")
    client.command(f"CREATE OR REPLACE VIEW {database}.{name} AS {query} COMMENT '{mark}'")
    return Step("view", name, "changed" if name in before else "made")
