"""Make ClickHouse hold what a pipeline describes. Called by `up` and `demo`; drops no data.

Everything is checked before anything is changed. An insert that arrives meanwhile is neither lost
nor handled half by the old and half by the new pipeline (`ddl` says how): the new views are there
before the first view sends them rows, and the old ones stay until the last insert that may still
need them has ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nrtctl.pipeline import Pipeline
from nrtctl.schema import check, ddl
from nrtctl.schema.check import Client
from nrtctl.schema.types import literal

WAITS = 240
WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to one object: `made`, `changed…` or `kept…`."""

    kind: str
    name: str
    action: str


def apply(
    client: Client,
    pipeline: Pipeline,
    database: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Step]:
    """Create what is not there, change what may be changed.

    Raises:
        ConfigError: the pipeline is wrong, or a change is refused; nothing was changed then.
        ConnectError: from `client`.
        NrtctlError: the engine refuses a statement.
    """
    column_types = check.pipeline_types(client, pipeline)
    there = Existing(client, database)
    check.tables(client, pipeline, database, there.tables, column_types)
    steps = [_database(client, database, there)]
    wanted = {
        pipeline.landing: (ddl.landing(pipeline, database), ddl.landing_columns()),
        pipeline.parsed: (ddl.parsed(pipeline, database), ddl.parsed_columns(pipeline)),
        pipeline.dead_letters: (ddl.dead_letters(pipeline, database), ddl.dead_letter_columns()),
        pipeline.table: (
            ddl.table(pipeline, database, column_types),
            ddl.table_columns(pipeline, column_types),
        ),
    }
    for name, (sql, columns) in wanted.items():
        steps.append(_table(client, database, there, name, sql, columns))
    steps += _projections(client, pipeline, database, there)
    steps += _feeding_views(client, pipeline, database, there, sleep)
    for name, query in ddl.reading_views(pipeline, database).items():
        steps.append(_reading_view(client, database, there, name, query))
    return steps


class Existing:
    """The tables and views of a database before anything was changed."""

    def __init__(self, client: Client, database: str) -> None:
        self.database = bool(
            client.query("SELECT 1 FROM system.databases WHERE name = {n:String}", {"n": database})
        )
        rows = client.query(
            "SELECT name, engine, comment FROM system.tables WHERE database = {d:String}",
            {"d": database},
        )
        self.tables = {str(name): str(engine) for name, engine, _ in rows}
        self.comments = {str(name): str(comment) for name, _, comment in rows}


def _database(client: Client, database: str, there: Existing) -> Step:
    if there.database:
        return Step("database", database, "kept")
    client.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    return Step("database", database, "made")


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
    known = check.columns_of(client, database, name)
    added = [column for column in columns if column not in known]
    for column in added:
        client.command(
            f"ALTER TABLE {database}.{name} ADD COLUMN IF NOT EXISTS `{column}` {columns[column]}"
        )
    if added:
        return Step("table", name, f"changed: + {', '.join(added)}")
    idle = [column for column in known if column not in columns]
    return Step("table", name, f"kept: {', '.join(idle)} no longer filled" if idle else "kept")


def _projections(client: Client, pipeline: Pipeline, database: str, there: Existing) -> list[Step]:
    wanted = ddl.projections(pipeline)
    if pipeline.table not in there.tables:
        return [Step("projection", name, "made") for name in wanted]
    rows = client.query(
        "SELECT name FROM system.projections WHERE database = {d:String} AND table = {t:String}",
        {"d": database, "t": pipeline.table},
    )
    known = {str(row[0]) for row in rows}
    views = ddl.reading_views(pipeline, database)
    table = f"{database}.{pipeline.table}"
    steps = []
    for name, sql in wanted.items():
        same = name not in views or there.comments.get(name) == _mark(views[name])
        if name in known and same:
            steps.append(Step("projection", name, "kept"))
            continue
        if name in known:
            client.command(f"ALTER TABLE {table} DROP PROJECTION {name}", {"mutations_sync": 2})
        client.command(f"ALTER TABLE {table} ADD {sql}")
        client.command(f"ALTER TABLE {table} MATERIALIZE PROJECTION {name}")
        steps.append(Step("projection", name, "changed" if name in known else "made"))
    return steps


def _mark(query: str) -> str:
    return f"nrtctl {hashlib.sha256(query.encode()).hexdigest()[:16]}"


def _feeding_views(
    client: Client,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    sleep: Callable[[float], None],
) -> list[Step]:
    wanted = ddl.feeding_views(pipeline, database)
    *behind, first = wanted
    for name in behind:
        if name not in there.tables:
            target, query = wanted[name]
            _create_view(client, database, name, target, query)
    target, query = wanted[first]
    if first not in there.tables:
        _create_view(client, database, first, target, query)
        action = "made"
    elif there.comments[first] == _mark(query):
        action = "kept"
    else:
        client.command(f"ALTER TABLE {database}.{first} MODIFY QUERY {query}")
        client.command(f"ALTER TABLE {database}.{first} MODIFY COMMENT '{_mark(query)}'")
        action = "changed"
    done = [Step("view", name, action) for name in wanted]
    old = [
        name
        for name in there.tables
        if name not in wanted and ddl.is_old_view(pipeline, name, there.comments[name])
    ]
    if not old:
        return done
    if not _inserts_ended(client, pipeline, sleep):
        return [*done, *(Step("view", name, "kept: an insert still runs") for name in old)]
    for name in old:
        client.command(f"DROP VIEW IF EXISTS {database}.{name}")
    return done


def _create_view(client: Client, database: str, name: str, target: str, query: str) -> None:
    client.command(
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.{name} TO {target} "
        f"AS {query} COMMENT '{_mark(query)}'"
    )


def _inserts_ended(client: Client, pipeline: Pipeline, sleep: Callable[[float], None]) -> bool:
    """Wait for the inserts that began before now; False: one takes longer than a minute."""
    running = (
        "SELECT query_id FROM system.processes WHERE query_kind = 'Insert' "
        f"AND position(query, {literal(pipeline.landing)}) > 0"
    )
    begun = {row[0] for row in client.query(running)}
    for _ in range(WAITS):
        if not begun:
            return True
        sleep(WAIT_SECONDS)
        begun &= {row[0] for row in client.query(running)}
    return False


def _reading_view(client: Client, database: str, there: Existing, name: str, query: str) -> Step:
    mark = _mark(query)
    if there.comments.get(name) == mark:
        return Step("view", name, "kept")
    client.command(f"CREATE OR REPLACE VIEW {database}.{name} AS {query} COMMENT '{mark}'")
    return Step("view", name, "changed" if name in there.tables else "made")
