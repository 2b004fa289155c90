"""Make ClickHouse hold what a pipeline describes. Called by `up` and `demo`; drops no data.

Everything is checked before anything is changed. An insert that arrives meanwhile is stored by the
old pipeline or by the new one (`ddl` says how). A view gets its query and its mark at once; that
of a projection loses its mark before the projection is changed and gets the new one afterwards, so
that whatever was interrupted is done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nrtctl.clock import SystemClock
from nrtctl.errors import ConfigError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import check, ddl, empty_table, existing, keeping_latest, projections, table
from nrtctl.schema import cluster as cluster_schema
from nrtctl.schema.allowing import allowing
from nrtctl.schema.check import Client
from nrtctl.schema.cluster_ddl import feeding_views
from nrtctl.schema.existing import Existing
from nrtctl.schema.steps import CHANGING, Step, mark_of, with_mark
from nrtctl.schema.table import Change


@dataclass(frozen=True, slots=True)
class Plan:
    """What `carry_out` does; all of it is checked.

    Attributes:
        column_types: of the pipeline's columns, as the engine derives them.
        change: of the table; None: there is none yet.
    """

    pipeline: Pipeline
    database: str
    there: Existing
    column_types: Mapping[str, str]
    change: Change | None


def plan(client: Client, pipeline: Pipeline, database: str, *, beside: bool = False) -> Plan:
    """Check all of it. Nothing is changed, but for what an earlier `apply` left half done, and for
    the database: it is created last, since a table can be tried only in one.

    Args:
        beside: the views that are read stay those of another table.

    Raises:
        ConfigError: the pipeline is wrong, or a change is refused.
        ConnectError: from `client`.
        NrtctlError: the engine refuses a statement.
    """
    client = allowing(client, pipeline)
    column_types = check.pipeline_types(client, pipeline)
    there = Existing(client, database)
    empty_table.take_back(client, database, pipeline.table, there.tables, SystemClock())
    existing.tables(client, pipeline, database, there.tables)
    existing.views(pipeline, there, beside=beside)
    existing.targets(pipeline, ddl.feeding_views(pipeline, database), there.targets)
    keeping_latest.refuse(pipeline, database, there, beside=beside)
    table.drop_trials(client, database, pipeline.table, there)
    change = None
    if pipeline.table in there.tables:
        change = table.change(client, pipeline, database, there, column_types)
    else:
        _try_new_table(client, pipeline, database, there, column_types)
    keeping_latest.try_out(client, pipeline, database, there, column_types)
    return Plan(pipeline, database, there, column_types, change)


def apply(client: Client, pipeline: Pipeline, database: str) -> list[Step]:
    """Create what is not there, change what may be changed.

    Raises:
        ConfigError: the pipeline is wrong, or a change is refused; nothing was changed then.
        ConnectError: from `client`.
        NrtctlError: the engine refuses a statement.
    """
    return carry_out(client, plan(client, pipeline, database))


def carry_out(client: Client, planned: Plan) -> list[Step]:
    """Raises as `apply`."""
    pipeline, database, there = planned.pipeline, planned.database, planned.there
    client = allowing(client, pipeline)
    steps = [Step("database", database, "kept" if there.database else "made")]
    change = planned.change
    if change is not None and (change.without or change.again):
        for each in ddl.reading_views(pipeline, database):
            if there.ours(each):  # its types follow the table's
                client.command(f"ALTER TABLE {database}.{each} MODIFY COMMENT '{CHANGING}'")
        steps.append(_pipeline_table(client, planned))
        there = Existing(client, database)
    else:
        steps.append(_pipeline_table(client, planned))
    steps += _other_tables(client, pipeline, database, there)
    steps += projections.apply_projections(client, pipeline, database, there)
    keeping_latest.make(client, pipeline, database, there, planned.column_types)
    steps += _feeding_views(client, pipeline, database, there)
    copied = keeping_latest.fill(client, pipeline, database, SystemClock())
    steps += _reading_views(client, pipeline, database, there)
    steps += keeping_latest.views(client, pipeline, database, there, copied)
    return steps + keeping_latest.drop_others(client, pipeline, database, there)


def make_beside(
    client: Client, pipeline: Pipeline, database: str, cluster: str | None = None
) -> None:
    """Create what feeds `pipeline.table`, a table beside the one that the rollups' views read.

    What was made before an interruption is kept. Raises as `apply`.
    """
    if cluster is not None:
        cluster_schema.apply(client, pipeline, database, cluster, beside=True)
        return
    client = allowing(client, pipeline)
    planned = plan(client, pipeline, database, beside=True)
    _pipeline_table(client, planned)
    _other_tables(client, pipeline, database, planned.there)
    keeping_latest.make(client, pipeline, database, planned.there, planned.column_types)
    _feeding_views(client, pipeline, database, planned.there)
    keeping_latest.fill(client, pipeline, database, SystemClock())


def drop_feeding(client: Client, pipeline: Pipeline, database: str) -> None:
    """Drop what feeds `pipeline.table`, and its current states; the table and the dead letters
    stay."""
    for name in reversed(ddl.feeding_targets(pipeline, database)):
        client.command(f"DROP VIEW IF EXISTS {database}.{name}")
    for name in (pipeline.landing, pipeline.parsed):
        client.command(f"DROP TABLE IF EXISTS {database}.{name}")
    keeping_latest.drop_states(client, pipeline.table, database)


def apply_exchanged(
    client: Client, pipeline: Pipeline, other: Pipeline, database: str
) -> list[Step]:
    """`apply` for a table that `make_beside` made under the name of `other`: it has its projections
    and current states, so the views that read them come first. Raises as `apply`."""
    keeping_latest.exchange(client, pipeline, other, database)
    _reading_views(client, pipeline, database, Existing(client, database))
    return apply(client, pipeline, database)


def stale_views(
    client: Client, pipeline: Pipeline, database: str, cluster: str | None = None
) -> list[str]:
    """The feeding views that are absent, or not those of this pipeline."""
    there = Existing(client, database)
    return [
        name
        for name, (_, query) in feeding_views(pipeline, database, cluster).items()
        if there.comments.get(name) != mark_of(query)
    ]


def _other_tables(client: Client, pipeline: Pipeline, database: str, there: Existing) -> list[Step]:
    wanted = {
        pipeline.dead_letters: (
            ddl.dead_letters(pipeline, database),
            ddl.dead_letter_columns(pipeline),
        ),
        pipeline.letter_log: (ddl.letter_log(pipeline, database), ddl.letter_log_columns()),
        pipeline.parsed: (ddl.parsed(pipeline, database), ddl.parsed_columns(pipeline)),
        pipeline.landing: (
            ddl.landing(pipeline, database),
            ddl.landing_columns(decoded=pipeline.is_decoded),
        ),
        ddl.INCARNATIONS: (ddl.incarnations(database), ddl.incarnation_columns()),
    }
    known = existing.columns_of_each(client, database, wanted.keys() & there.tables)
    return [
        _table(client, database, there, name, sql, columns, known.get(name))
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


def _try_new_table(
    client: Client,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    column_types: Mapping[str, str],
) -> None:
    """Where the engine refuses the table that the database is created for, it goes again."""
    if not there.database:
        client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    try:
        table.try_new(client, pipeline, database, column_types)
    except ConfigError:
        if not there.database and not Existing(client, database).tables:
            client.command(f"DROP DATABASE IF EXISTS {database}")
        raise


def _pipeline_table(client: Client, planned: Plan) -> Step:
    pipeline, database, change = planned.pipeline, planned.database, planned.change
    name = pipeline.table

    def make() -> None:
        given = change or Change()
        sql = ddl.table(
            pipeline, database, planned.column_types, ttl=given.ttl, settings=given.settings
        )
        client.command(sql)

    if change is None:
        make()
        return Step("table", name, "made")
    words = ", ".join(change.words)
    if change.again:
        done = empty_table.make_again(client, database, name, make, SystemClock())
    else:
        done = table.carry_out(client, pipeline, database, change)
    if not done:
        raise ConfigError(
            f"rows have just been stored in {database}.{name}, so it was not changed ({words})",
            hint="run `nrtctl up` again to see what can be changed",
        )
    if change.again:
        return Step("table", name, f"changed: created again without rows ({words})")
    if words:
        return Step("table", name, f"changed: {words}")
    idle = ", ".join(change.idle)
    return Step("table", name, f"kept, with {idle}, though not in the pipeline" if idle else "kept")


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
    known: Mapping[str, str] | None,
) -> Step:
    """Args: known: the columns that it has; None: it is not there."""
    if known is None:
        client.command(sql)
        return Step("table", name, "made")
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
    client.command(f"ALTER TABLE {view} {with_mark(query)}")
    return Step("view", name, "changed")


def _reading_view(client: Client, database: str, there: Existing, name: str, query: str) -> Step:
    mark = mark_of(query)
    if there.comments.get(name) == mark:
        return Step("view", name, "kept")
    client.command(f"CREATE OR REPLACE VIEW {database}.{name} AS {query} COMMENT '{mark}'")
    if name not in there.tables:
        return Step("view", name, "made")
    before, now = (existing.read_by(text, database) for text in (there.views[name], query))
    if before and now and before != now:
        return Step("view", name, f"changed: it showed {before} before, and now {now}")
    return Step("view", name, "changed")
