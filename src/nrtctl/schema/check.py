"""Whether a pipeline can be applied: its SQL by itself, and against the tables that are there.

Called by `apply` before it changes anything. The engine is asked about every expression, over empty
tables of the right shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nrtctl.errors import ConfigError, ConnectError, NrtctlError
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


def pipeline_types(client: Client, pipeline: Pipeline) -> dict[str, str]:
    """The types of the pipeline's columns, as the engine derives them.

    Raises:
        ConfigError: a field's type is not supported, or the engine refuses an expression.
    """
    try:
        field_types(pipeline)
    except ValueError as error:
        raise ConfigError(f"pipeline.fields: {error}") from error
    _one_expression_each(client, _expressions(pipeline))
    rows = ddl.typed(pipeline, f"FROM {_empty(ddl.parsed_columns(pipeline))}")
    types = {}
    for name, kind in _described(client, "pipeline.columns", rows).items():
        if name in pipeline.columns:
            types[name] = kind
    for text, sql in pipeline.rejects.items():
        key = f"pipeline.rejects.{text!r}"
        answer = _described(client, key, f"SELECT ({sql}) AS r FROM ({rows})")
        if "Int8" not in answer["r"] and "Bool" not in answer["r"]:
            raise ConfigError(
                f"{key}: {sql!r} gives {answer['r']}, not true or false",
                hint="write a condition, such as `amount > 100`",
            )
    table = _empty(_without_defaults(ddl.table_columns(pipeline, types)))
    for name, rollup in pipeline.rollups.items():
        _described(client, f"pipeline.rollups.{name}", ddl.rollup_query(rollup, table))
    if pipeline.partition_by:
        _described(
            client, "pipeline.partition_by", f"SELECT ({pipeline.partition_by}) AS p FROM {table}"
        )
    return types


def _empty(columns: Mapping[str, str]) -> str:
    return f"null({literal(ddl.structure(columns))})"


def _without_defaults(columns: Mapping[str, str]) -> dict[str, str]:
    return {name: kind.split(" DEFAULT ")[0] for name, kind in columns.items()}


def _described(client: Client, key: str, query: str) -> dict[str, str]:
    try:
        rows = client.query(f"DESCRIBE ({query})")
    except ConnectError:
        raise
    except NrtctlError as error:
        raise ConfigError(f"{key}: {error.message}") from error
    return {str(row[0]): str(row[1]) for row in rows}


def _expressions(pipeline: Pipeline) -> dict[str, str]:
    """Key of the configuration to SQL."""
    named = {f"columns.{n}": sql for n, sql in pipeline.columns.items()}
    named |= {f"rejects.{n!r}": sql for n, sql in pipeline.rejects.items()}
    for rollup, definition in pipeline.rollups.items():
        named |= {f"rollups.{rollup}.by.{n}": sql for n, sql in definition.by.items()}
        named |= {f"rollups.{rollup}.values.{n}": sql for n, sql in definition.values.items()}
    if pipeline.partition_by:
        named["partition_by"] = pipeline.partition_by
    return named


def _one_expression_each(client: Client, named: Mapping[str, str]) -> None:
    """What parses both bare and in parentheses cannot end the parenthesis it will stand in, nor
    comment out what follows."""
    forms = {key: (f"SELECT {sql}", f"SELECT ({sql}) AS x") for key, sql in named.items()}
    if not forms or _parses(client, [each for pair in forms.values() for each in pair]) is None:
        return
    for key, pair in forms.items():
        error = _parses(client, list(pair))
        if error is not None:
            raise ConfigError(
                f"pipeline.{key}: {named[key]!r} is not one SQL expression: {error.message}"
            ) from error


def _parses(client: Client, statements: list[str]) -> NrtctlError | None:
    texts = ", ".join(f"formatQuery({literal(text)})" for text in statements)
    try:
        client.query(f"SELECT {texts}")
    except ConnectError:
        raise
    except NrtctlError as error:
        return error
    return None


def columns_of(client: Client, database: str, name: str) -> dict[str, str]:
    """Column to type."""
    rows = client.query(
        "SELECT name, type FROM system.columns WHERE database = {d:String} AND table = {t:String}",
        {"d": database, "t": name},
    )
    return {str(column): str(kind) for column, kind in rows}


def tables(
    client: Client,
    pipeline: Pipeline,
    database: str,
    engines: Mapping[str, str],
    column_types: Mapping[str, str],
) -> None:
    """Refuse what the tables that are there do not allow.

    Args:
        engines: table or view to engine, of all that the database has.

    Raises:
        ConfigError
    """
    for name in (pipeline.landing, pipeline.parsed):
        if engines.get(name, "Null") != "Null":
            raise ConfigError(
                f"{database}.{name} exists and was not made by nrtctl (engine {engines[name]})",
                hint="set pipeline.table to another name",
            )
    for name in pipeline.rollups:
        if engines.get(name, "View") != "View":
            raise ConfigError(
                f"{database}.{name} exists and is no view; the rollup would need that name",
                hint=f"name the rollup pipeline.rollups.{name} otherwise",
            )
    if pipeline.dead_letters in engines:
        _ours(
            client,
            database,
            pipeline.dead_letters,
            engines,
            [*METADATA_COLUMNS, "_table", "reason"],
        )
    if pipeline.table in engines:
        there = _ours(client, database, pipeline.table, engines, METADATA_COLUMNS)
        _same_types(pipeline, database, there, column_types)
        _same_keys(client, pipeline, database)


def _ours(
    client: Client, database: str, name: str, engines: Mapping[str, str], needs: Sequence[str]
) -> dict[str, str]:
    there = columns_of(client, database, name)
    absent = [column for column in needs if column not in there]
    if not engines[name].endswith("MergeTree") or absent:
        what = f"lacks {', '.join(absent)}" if absent else f"has the engine {engines[name]}"
        raise ConfigError(
            f"{database}.{name} exists with other columns: it {what}",
            hint="set pipeline.table and pipeline.dead_letters to other names, "
            "or clickhouse.database to another database",
        )
    return there


def _same_types(
    pipeline: Pipeline,
    database: str,
    there: Mapping[str, str],
    column_types: Mapping[str, str],
) -> None:
    fields = {name: kind.text for name, kind in field_types(pipeline).items()}
    for name, kind in {**fields, **column_types}.items():
        if name not in there or _plain(there[name]) == _plain(kind):
            continue
        section = "fields" if name in fields else "columns"
        raise ConfigError(
            f"pipeline.{section}.{name}: the table {database}.{pipeline.table} stores "
            f"{there[name]}, the configuration says {kind}; a stored type is not changed",
            hint="name a new column, or set pipeline.table to a new table",
        )


def _same_keys(client: Client, pipeline: Pipeline, database: str) -> None:
    ((order, partition),) = client.query(
        "SELECT sorting_key, partition_key FROM system.tables "
        "WHERE database = {d:String} AND name = {t:String}",
        {"d": database, "t": pipeline.table},
    )
    wanted_partition = ""
    if pipeline.partition_by:
        text = literal(f"SELECT {pipeline.partition_by}")
        ((formatted,),) = client.query(f"SELECT formatQuerySingleLine({text})")
        wanted_partition = str(formatted).removeprefix("SELECT ")
    pairs = {
        "order_by": ("sorted", str(order), ddl.sorting_key(pipeline)),
        "partition_by": ("partitioned", str(partition), wanted_partition),
    }
    for key, (verb, has, wanted) in pairs.items():
        if _plain(has) != _plain(wanted):
            raise ConfigError(
                f"pipeline.{key}: the table {database}.{pipeline.table} is {verb} by ({has}), "
                f"the configuration says ({wanted}); a table is not {verb} anew",
                hint="set pipeline.table to a new table",
            )


def _plain(text: str) -> str:
    bare = text.replace(" ", "").replace("`", "")
    return bare[1:-1] if bare.startswith("(") and bare.endswith(")") else bare
