"""Make, fill and drop the tables of current states. Called by `apply`.

A state is filled from the table of rows while messages are stored: first its feeding view is made,
then every insert that began before is waited for, then the rows that are there are copied. A row
that comes both ways is one, since its order is the same. Only then it is marked, and only then the
view reads it. Whatever was interrupted is done again. On a cluster the states of the servers are
filled, marked and read through the Distributed table over them, whose name is that of the state of
a single server (docs/decisions/0079).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping

from nrtctl.clickhouse.cluster import DDL_SETTINGS, local, on, replicas
from nrtctl.clickhouse.error_codes import OF_ITS_SQL, Cause, meaning_of
from nrtctl.clickhouse.queries import Queries, Statements
from nrtctl.clock import Clock, SystemClock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.config.counted import counted
from nrtctl.errors import ConfigError, QueryError
from nrtctl.pipeline import Pipeline
from nrtctl.schema import ddl, latest
from nrtctl.schema.cluster_ddl import on_each_server
from nrtctl.schema.existing import Existing, read_by
from nrtctl.schema.inserts import wait_for_inserts
from nrtctl.schema.steps import MARK, Step, mark_of

SLICE = 1 << 19
"""Offsets of one partition that one statement copies."""

COPYING = {"insert_deduplicate": 0, "max_query_size": 16 * 2**20}
"""Of a statement that copies rows into a state, where a row that is there twice is one."""

AT_ONCE = {"distributed_foreground_insert": 1}
"""On a cluster: it is answered when each shard has its rows."""

_OURS = re.compile(rf"{re.escape(MARK)}latest of (\w+)(?:{re.escape(latest.UNFILLED)})?")
"""The comment of a state, of any table of rows."""


def refuse(
    pipeline: Pipeline,
    database: str,
    there: Existing,
    *,
    beside: bool,
    cluster: str | None = None,
) -> None:
    """Raises ConfigError: the name of a state or its view is that of something else."""
    engine = "ReplacingMergeTree" if cluster is None else "Distributed"
    for name, state in latest.states(pipeline).items():
        if name in there.tables and not (there.tables[name] == "View" and there.ours(name)):
            raise ConfigError(
                f"pipeline.latest.{name}: {database}.{name} exists and was not created by "
                "nrtctl, but the view needs its name",
                hint="give it another name under [pipeline.latest]",
            )
        if not beside and (other := _others_state(pipeline, database, there, name)):
            raise ConfigError(
                f"pipeline.latest.{name}: {database}.{name} shows {other}, the current state of "
                "another table",
                hint="give it another name under [pipeline.latest]; or, if that pipeline is gone, "
                f'drop the view: nrtctl query --write "DROP VIEW {database}.{name}{on(cluster)}"',
            )
        if there.tables.get(state, engine) != engine:
            raise ConfigError(
                f"{database}.{state} exists but was not created by nrtctl",
                hint="give pipeline.latest another name",
            )


def try_out(
    client: Statements,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    column_types: Mapping[str, str],
) -> None:
    """Raises ConfigError: the engine refuses a state that is not there yet."""
    trial = pipeline.model_copy(update={"table": f"{pipeline.table}_trial_{secrets.token_hex(4)}"})
    for name, state in latest.states(pipeline).items():
        if state in there.tables:
            continue
        try:
            client.command(ddl.state_table(trial, database, name, column_types))
        except QueryError as error:
            if meaning_of(error).cause not in OF_ITS_SQL:
                raise
            raise ConfigError(f"pipeline.latest.{name}: {error.message}") from error
        finally:
            client.command(f"DROP TABLE IF EXISTS {database}.{latest.state_of(trial, name)}")


def make(
    client: Statements,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    column_types: Mapping[str, str],
) -> None:
    """The tables that the feeding views write into. One whose feeding view was lost may lack rows,
    so it loses its mark."""
    for name, state in latest.states(pipeline).items():
        if state in there.tables and latest.feed_of(state) not in there.tables:
            unfilled = latest.unfilled(pipeline.table)
            client.command(f"ALTER TABLE {database}.{state} MODIFY COMMENT '{unfilled}'")
        client.command(ddl.state_table(pipeline, database, name, column_types))


def unmark(client: Statements, pipeline: Pipeline, database: str, cluster: str) -> None:
    """As `make` does on a single server, before a server gets again what it has lost."""
    there = Existing(client, database).tables if pipeline.latest else {}
    for name, state in latest.states(pipeline).items():
        if state in there and servers_without(client, pipeline, database, cluster, name):
            _comment(client, database, state, latest.unfilled(pipeline.table), cluster)


def servers_without(
    client: Queries, pipeline: Pipeline, database: str, cluster: str, name: str
) -> list[str]:
    """Those that answer and have the table of rows, and not the state or what feeds it."""
    behind = on_each_server(pipeline, cluster)
    state = latest.state_of(behind, name)
    wanted = {state, latest.feed_of(state)}
    listed = ", ".join(f"'{each}'" for each in (behind.table, *sorted(wanted)))
    rows = client.query(
        f"SELECT hostName(), groupArray(name) FROM {replicas('system.tables', cluster)} "
        f"WHERE database = '{database}' AND name IN ({listed}) GROUP BY hostName() "
        "ORDER BY hostName() SETTINGS skip_unavailable_shards = 1"
    )
    return [
        str(server)
        for server, names in rows
        if behind.table in names and not wanted <= set(map(str, names))
    ]


def fill(
    client: Statements,
    pipeline: Pipeline,
    database: str,
    clock: Clock,
    cluster: str | None = None,
) -> dict[str, int | None]:
    """Copy the rows from before into each state that does not have them; the feeding views are
    there. Returns: name to how many were copied; None: none had to be.

    Raises:
        ConfigError: the SQL of a state fails on a row that is there.
        NrtctlError: inserts that began before the feeding view was made do not end.
    """
    copied: dict[str, int | None] = {}
    states = latest.states(pipeline)
    comments = Existing(client, database).comments if states else {}
    for name, state in states.items():
        copied[name] = None
        if comments.get(state) != latest.filled(pipeline.table):
            wait_for_inserts(client, pipeline.table, clock, cluster=cluster)
            try:
                copied[name] = copy_all(client, pipeline, database, name, cluster)
            except QueryError as error:
                if meaning_of(error).cause is not Cause.VALUES:
                    raise
                feed = latest.feed_of(latest.state_of(on_each_server(pipeline, cluster), name))
                _told(client, f"DROP VIEW IF EXISTS {database}.{feed}{on(cluster)}", cluster)
                raise ConfigError(
                    f"pipeline.latest.{name}: its SQL fails on a row of {pipeline.table}, so it is "
                    f"neither filled nor fed: {error.message}",
                    hint="write SQL that returns a value for every row, such as "
                    "toInt64OrZero(s), and run `nrtctl up` again",
                ) from error
            mark(client, database, state, pipeline.table, cluster)
    return copied


def mark(
    client: Statements, database: str, state: str, table: str, cluster: str | None = None
) -> None:
    """Say that the state has all rows of the table."""
    _comment(client, database, state, latest.filled(table), cluster)


def _comment(client: Statements, database: str, state: str, text: str, cluster: str | None) -> None:
    sql = f"ALTER TABLE {database}.{state}{on(cluster)} MODIFY COMMENT '{text}'"
    _told(client, sql, cluster)


def _told(client: Statements, sql: str, cluster: str | None) -> None:
    client.command(sql, DDL_SETTINGS if cluster is not None else None)


def copy_all(
    client: Statements, pipeline: Pipeline, database: str, name: str, cluster: str | None = None
) -> int:
    """Copy every row of the table into the state, a slice at a time; how many there are."""
    done = 0
    with if_it_lasts(
        lambda: f"{name} is being filled from the rows of {pipeline.table}: {done:,} so far"
    ):
        for where, rows in list(_slices(client, pipeline, database)):
            copy(client, pipeline, database, name, where, cluster)
            done += rows
    return done


def copy(
    client: Statements,
    pipeline: Pipeline,
    database: str,
    name: str,
    where: str,
    cluster: str | None = None,
) -> None:
    """Copy the rows that fulfil a condition into the state. Args: where: SQL over the columns."""
    columns = ["_inserted_at", *latest.columns_of_rows(pipeline), latest.DELETED, latest.ORDER]
    client.command(
        f"INSERT INTO {database}.{latest.state_of(pipeline, name)} ({', '.join(columns)}) "
        f"{latest.filling_query(pipeline, database, name, where)}",
        COPYING if cluster is None else {**COPYING, **AT_ONCE},
    )


def _slices(client: Statements, pipeline: Pipeline, database: str) -> Iterator[tuple[str, int]]:
    """(condition, how many rows fulfil it)."""
    for partition, number, rows in client.query(
        f"SELECT _partition, intDiv(_offset, {SLICE}) AS slice, count() "
        f"FROM {database}.{pipeline.table} WHERE {latest.OF_A_MESSAGE} "
        "GROUP BY _partition, slice ORDER BY _partition, slice"
    ):
        start = number * SLICE
        yield (
            f"_partition = {partition} AND _offset >= {start} AND _offset < {start + SLICE}",
            int(rows),
        )


def views(
    client: Statements,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    copied: Mapping[str, int | None],
    cluster: str | None = None,
) -> list[Step]:
    """The views that are read, each of them over a state that is filled."""
    steps = []
    for name, query in ddl.latest_views(pipeline, database, cluster).items():
        wanted, before = mark_of(query), there.comments.get(name)
        if before != wanted:
            sql = f"CREATE OR REPLACE VIEW {database}.{name}{on(cluster)} AS {query} "
            _told(client, f"{sql}COMMENT '{wanted}'", cluster)
        action = "kept" if before == wanted else "made" if before is None else "changed"
        if rows := copied.get(name):
            action += f", filled from {counted(rows, 'row')} of {pipeline.table}"
        steps.append(Step("latest", name, action))
    return steps


def drop_others(
    client: Statements,
    pipeline: Pipeline,
    database: str,
    there: Existing,
    cluster: str | None = None,
) -> list[Step]:
    """Drop the views and states that are not the pipeline's any more."""
    steps = []
    for name in there.views:
        if name not in pipeline.latest and _shows(database, there, name, pipeline.table):
            _told(client, f"DROP VIEW IF EXISTS {database}.{name}{on(cluster)}", cluster)
            steps.append(Step("latest", name, "dropped, as it is no longer in the pipeline"))
    if any(re.search(latest.known_names(pipeline.table), name) for name in there.tables):
        kept = list(latest.states(pipeline).values())
        if cluster is not None:
            kept += latest.states(on_each_server(pipeline, cluster)).values()
        drop_states(client, pipeline.table, database, kept=kept, cluster=cluster)
    return steps


def _read_by(database: str, there: Existing, view: str) -> str:
    """The state that a view of ours shows, or had shown; empty: none."""
    found = read_by(there.views.get(view, ""), database)
    is_one = re.search(r"_latest_\w+_[0-9a-f]{8}$", found)
    return found if is_one and there.ours(view) else ""


def _shows(database: str, there: Existing, view: str, table: str) -> bool:
    """Whether a view of ours shows a state of this table of rows."""
    state = _read_by(database, there, view)
    comment = there.comments.get(state, latest.filled(table))
    return bool(re.match(latest.known_names(table), state)) and _is_state(comment, table)


def _others_state(pipeline: Pipeline, database: str, there: Existing, view: str) -> str:
    """The state of another table that a view shows; empty: none that is there."""
    state = _read_by(database, there, view)
    ours = _shows(database, there, view, pipeline.table)
    return state if state in there.tables and not ours else ""


def _is_state(comment: str, table: str) -> bool:
    """Whether a table that has the name of a state of `table` is one. Not so are the user's own,
    and the states of a table whose own name is like one (`t_latest_x`)."""
    of = _OURS.fullmatch(comment)
    return of is not None and not of[1].startswith(f"{table}_latest_")


def drop_states(
    client: Statements,
    table: str,
    database: str,
    kept: Iterable[str] = (),
    cluster: str | None = None,
) -> None:
    """Drop the states of a table of rows, and what feeds them. Args: kept: states that stay."""
    stay = {each for state in kept for each in (state, latest.feed_of(state))}
    views: list[str] = []
    tables: list[str] = []
    for rows in dict.fromkeys((table, local(table, cluster))):
        for name, engine, comment, query in client.query(
            "SELECT name, engine, comment, as_select FROM system.tables WHERE database = "
            "{d:String} AND match(name, {p:String}) AND (engine IN ('MaterializedView', "
            "'Distributed') OR endsWith(engine, 'ReplacingMergeTree')) ORDER BY name",
            {"d": database, "p": latest.known_names(rows)},
        ):
            parsed = rf"\bFROM `?{database}`?\.`?{re.escape(rows)}_parsed(?!\w)"
            if name in stay:
                continue
            if engine == "MaterializedView":
                views += [name] if re.search(parsed, query) else []
            elif _is_state(comment, rows):
                tables.append(name)
    for name in views:
        _told(client, f"DROP VIEW IF EXISTS {database}.{name}{on(cluster)}", cluster)
    if views:
        wait_for_inserts(client, table, SystemClock(), cluster=cluster)  # they may still be fed
    at_once = "" if cluster is None else " SYNC"
    for name in tables:
        _told(client, f"DROP TABLE IF EXISTS {database}.{name}{on(cluster)}{at_once}", cluster)


def exchange(client: Statements, pipeline: Pipeline, other: Pipeline, database: str) -> None:
    """Make the states that were filled beside, from the rows of `other`, those of the pipeline,
    whose table the rows are in now. What was done before an interruption is not done again, and a
    statement whose answer was missed, so that it was carried out twice, is made good."""
    theirs = latest.filled(other.table)
    for name, state in latest.states(pipeline).items():
        beside = latest.state_of(other, name)
        one, two = f"{database}.{beside}", f"{database}.{state}"
        while (there := Existing(client, database)).comments.get(beside) == theirs:
            if state in there.tables:
                client.command(f"EXCHANGE TABLES {one} AND {two}")
            else:
                client.command(f"RENAME TABLE {one} TO {two}")
        if there.comments.get(state) == theirs:
            mark(client, database, state, pipeline.table)
