"""Make ClickHouse hold what a pipeline describes. Called by `up` and `demo`; drops no data.

Everything is checked before anything is changed. An insert that arrives meanwhile is stored by the
old pipeline or by the new one (`ddl` says how). A view or projection loses its mark before it is
changed and gets the new one afterwards, so that whatever was interrupted is done again.
"""

from __future__ import annotations

from collections.abc import Mapping

from nrtctl.errors import ConfigError, ConnectError, NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import check, ddl, existing, projections
from nrtctl.schema.check import Client
from nrtctl.schema.existing import Existing
from nrtctl.schema.steps import Step, mark_of


def apply(client: Client, pipeline: Pipeline, database: str) -> list[Step]:
    """Create what is not there, change what may be changed.

    Raises:
        ConfigError: the pipeline is wrong, or a change is refused; nothing was changed then.
        ConnectError: from `client`.
        NrtctlError: the engine refuses a statement.
    """
    column_types = check.pipeline_types(client, pipeline)
    there = Existing(client, database)
    existing.tables(client, pipeline, database, there.tables, column_types)
    added = _added_columns(client, pipeline, database, there, column_types)
    steps = [_database(client, database, there)]
    if pipeline.table in there.tables:
        steps.append(_grow(client, pipeline, database, added))
    else:
        _create_table(client, pipeline, database, column_types)
        steps.append(Step("table", pipeline.table, "made"))
    steps += _other_tables(client, pipeline, database, there)
    steps += projections.apply_projections(client, pipeline, database, there)
    steps += _feeding_views(client, pipeline, database, there)
    return steps + _reading_views(client, pipeline, database, there)


def make_beside(client: Client, pipeline: Pipeline, database: str) -> None:
    """Create what feeds `pipeline.table`, a table beside the one that the rollups' views read.

    What was made before an interruption is kept. Raises as `apply`.
    """
    column_types = check.pipeline_types(client, pipeline)
    there = Existing(client, database)
    existing.tables(client, pipeline, database, there.tables, column_types)
    if pipeline.table not in there.tables:
        _create_table(client, pipeline, database, column_types)
    _other_tables(client, pipeline, database, there)
    _feeding_views(client, pipeline, database, there)


def drop_feeding(client: Client, pipeline: Pipeline, database: str) -> None:
    """Drop what feeds `pipeline.table`; the table and the dead letters stay."""
    for name in reversed(ddl.feeding_views(pipeline, database)):
        client.command(f"DROP VIEW IF EXISTS {database}.{name}")
    for name in (pipeline.landing, pipeline.parsed):
        client.command(f"DROP TABLE IF EXISTS {database}.{name}")


def apply_exchanged(client: Client, pipeline: Pipeline, database: str) -> list[Step]:
    """`apply` for a table that `make_beside` made under another name: it has its projections, so
    the views that read them come first. Raises as `apply`."""
    _reading_views(client, pipeline, database, Existing(client, database))
    return apply(client, pipeline, database)


def stale_views(client: Client, pipeline: Pipeline, database: str) -> list[str]:
    """The feeding views that are absent, or not those of this pipeline."""
    there = Existing(client, database)
    return [
        name
        for name, (_, query) in ddl.feeding_views(pipeline, database).items()
        if there.comments.get(name) != mark_of(query)
    ]


def _other_tables(client: Client, pipeline: Pipeline, database: str, there: Existing) -> list[Step]:
    wanted = {
        pipeline.dead_letters: (ddl.dead_letters(pipeline, database), ddl.dead_letter_columns()),
        pipeline.letter_log: (ddl.letter_log(pipeline, database), ddl.letter_log_columns()),
        pipeline.parsed: (ddl.parsed(pipeline, database), ddl.parsed_columns(pipeline)),
        pipeline.landing: (ddl.landing(pipeline, database), ddl.landing_columns()),
        ddl.INCARNATIONS: (ddl.incarnations(database), ddl.incarnation_columns()),
    }
    return [
        _table(client, database, there, name, sql, columns)
        for name, (sql, columns) in wanted.items()
    ]


def _feeding_views(
    client: Client, pipeline: Pipeline, database: str, there: Existing
) -> list[Step]:
    return [
        _feeding_view(client, database, there, name, target, query)
        for name, (target, query) in ddl.feeding_views(pipeline, database).items()
    ]


def _reading_views(
    client: Client, pipeline: Pipeline, database: str, there: Existing
) -> list[Step]:
    return [
        _reading_view(client, database, there, name, query)
        for name, query in ddl.reading_views(pipeline, database).items()
    ]


def _database(client: Client, database: str, there: Existing) -> Step:
    if there.database:
        return Step("database", database, "kept")
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    return Step("database", database, "made")


def _create_table(
    client: Client, pipeline: Pipeline, database: str, column_types: Mapping[str, str]
) -> None:
    try:
        client.command(ddl.table(pipeline, database, column_types))
    except ConnectError:
        raise
    except NrtctlError as error:
        raise ConfigError(
            f"pipeline: the table {database}.{pipeline.table} cannot be made: {error.message}"
        ) from error


def _added_columns(
    client: Client,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    column_types: Mapping[str, str],
) -> dict[str, str]:
    """Columns that the table lacks, to type and default, tried with a table that is dropped again.

    Where the engine allows it, a column of the pipeline is its SQL for the rows from before.
    """
    if pipeline.table not in there.tables:
        return {}
    known = existing.columns_of(client, database, pipeline.table)
    wanted = ddl.table_columns(pipeline, column_types)
    added = {name: kind for name, kind in wanted.items() if name not in known}
    if not added and not projections.changed(pipeline, database, there):
        return {}
    computed = {
        name: f"{kind} DEFAULT ({pipeline.columns[name]})" if name in pipeline.columns else kind
        for name, kind in added.items()
    }
    name = f"{pipeline.table}_trial"
    trial = pipeline.model_copy(update={"table": name})
    try:
        client.command(f"DROP TABLE IF EXISTS {database}.{name}")
        try:
            client.command(ddl.table(trial, database, {**column_types, **_own(computed, pipeline)}))
            added = computed
        except ConnectError:
            raise
        except NrtctlError:
            _create_table(client, trial, database, column_types)
    finally:
        client.command(f"DROP TABLE IF EXISTS {database}.{name}")
    return added


def _own(columns: Mapping[str, str], pipeline: Pipeline) -> dict[str, str]:
    return {name: kind for name, kind in columns.items() if name in pipeline.columns}


def _grow(client: Client, pipeline: Pipeline, database: str, added: Mapping[str, str]) -> Step:
    """Add the columns that the pipeline's table lacks."""
    table = pipeline.table
    if added:
        _add_columns(client, f"{database}.{table}", added)
        return Step("table", table, f"changed: + {', '.join(added)}")
    wanted = ddl.table_columns(pipeline, dict.fromkeys(pipeline.columns, ""))
    idle = [n for n in existing.columns_of(client, database, table) if n not in wanted]
    idle_text = f"kept, with {', '.join(idle)}, not in the pipeline" if idle else "kept"
    return Step("table", table, idle_text)


def _add_columns(client: Client, table: str, columns: Mapping[str, str]) -> None:
    adds = (f"ADD COLUMN IF NOT EXISTS `{name}` {kind}" for name, kind in columns.items())
    client.command(f"ALTER TABLE {table} {', '.join(adds)}")


def _table(
    client: Client,
    database: str,
    there: Existing,
    name: str,
    sql: str,
    columns: Mapping[str, str],
) -> Step:
    if name not in there.tables:
        client.command(sql)
        return Step("table", name, "made")
    known = existing.columns_of(client, database, name)
    added = {column: kind for column, kind in columns.items() if column not in known}
    if added:
        _add_columns(client, f"{database}.{name}", added)
    if there.tables[name] == "Null":
        # It stores nothing, so its types follow the pipeline's.
        for column, kind in existing.canonical(client, columns).items():
            if known.get(column, kind) != kind:
                client.command(f"ALTER TABLE {database}.{name} MODIFY COLUMN `{column}` {kind}")
                added[column] = kind
    return Step("table", name, f"changed: {', '.join(added)}" if added else "kept")


def _feeding_view(
    client: Client, database: str, there: Existing, name: str, target: str, query: str
) -> Step:
    view, mark = f"{database}.{name}", mark_of(query)
    if name not in there.tables:
        client.command(
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {target} AS {query} COMMENT '{mark}'"
        )
        return Step("view", name, "made")
    if there.comments[name] == mark:
        return Step("view", name, "kept")
    client.command(f"ALTER TABLE {view} MODIFY COMMENT ''")
    client.command(f"ALTER TABLE {view} MODIFY QUERY {query}")
    client.command(f"ALTER TABLE {view} MODIFY COMMENT '{mark}'")
    return Step("view", name, "changed")


def _reading_view(client: Client, database: str, there: Existing, name: str, query: str) -> Step:
    mark = mark_of(query)
    if there.comments.get(name) == mark:
        return Step("view", name, "kept")
    client.command(f"CREATE OR REPLACE VIEW {database}.{name} AS {query} COMMENT '{mark}'")
    return Step("view", name, "changed" if name in there.tables else "made")
