"""Delete rows, or change them: the server is told once, and then asked until it has done it.

A deletion of few rows may rewrite a part of many million, so it is not waited for within one
request. On a cluster every server is told, and every replica asked; the tables are named as they
are on each server. Whatever deletes goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from nrtctl.clickhouse.cluster import DDL_SETTINGS, on, replicas, settled, shards
from nrtctl.clickhouse.queries import Queries, Statements
from nrtctl.clock.notices import if_it_lasts
from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError


class Failing(NamedTuple):
    """A mutation that the server fails to carry out so far; it tries again by itself."""

    mutation: str
    reason: str


Pause = Callable[[float, Failing | None], None]
"""Waits some seconds between two looks; what it raises ends the wait."""


def sleeping(sleep: Callable[[float], None], table: str) -> Pause:
    """A pause that raises NrtctlError where a mutation fails."""

    def pause(seconds: float, failing: Failing | None) -> None:
        if failing is not None:
            kill = f"KILL MUTATION WHERE mutation_id = '{failing.mutation}'"
            raise NrtctlError(
                f"{table}: mutation {failing.mutation} fails: {failing.reason}",
                hint=f'`nrtctl query --write "{kill}"` cancels it',
            )
        sleep(seconds)

    return pause


def delete(
    storage: Statements,
    table: str,
    condition: str,
    pause: Pause,
    *,
    cluster: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Return when no row that fulfils the condition is left of those that were there.

    Args:
        table: with its database.
    """
    clause = f"DELETE WHERE {condition}"
    change(storage, table, clause, condition, pause, cluster=cluster, settings=settings)


def change(
    storage: Statements,
    table: str,
    clause: str,
    condition: str,
    pause: Pause,
    *,
    cluster: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Return when no row fulfils the condition any more of those that were there.

    Args:
        table: with its database.
        clause: of the ALTER TABLE, after which no row fulfils it.
    """
    told = {"mutations_sync": 0, **(settings or {})}
    statement = f"ALTER TABLE {table}{on(cluster)} {clause}"
    if cluster is None:
        storage.command(statement, told)
        wait_for_mutations(storage, table, pause)
        return
    # A replica learns of the mutation when it comes to it: so the rows are asked for.
    left = f"SELECT 1 FROM {replicas(table, cluster)} WHERE {condition} LIMIT 1"
    failing = _unfinished([table], cluster) + _FAILING_FIRST

    def unfinished() -> list[tuple[Any, ...]]:
        if not storage.query(left, settings=settings):
            return []
        return storage.query(failing) or [("", "")]

    if storage.query(left, settings=settings):
        with if_it_lasts(lambda: f"waiting until every replica has changed rows of {table}"):
            storage.command(statement, {**told, **DDL_SETTINGS})
            _wait(unfinished, pause)


_FAILING_FIRST = " ORDER BY latest_fail_reason DESC"


def _unfinished(tables: Sequence[str], cluster: str | None) -> str:
    """SQL: the mutations of tables of one database that some server has not carried out."""
    database = tables[0].partition(".")[0]
    names = ", ".join(f"'{table.partition('.')[2]}'" for table in tables)
    return (
        f"SELECT mutation_id, latest_fail_reason FROM {replicas('system.mutations', cluster)} "
        f"WHERE NOT is_done AND database = '{database}' AND table IN ({names})"
    )


_DELETES = " AND position(command, 'DELETE WHERE') > 0"


def wait_for_mutations(
    storage: Statements, table: str, pause: Pause, *, cluster: str | None = None
) -> None:
    """Return when the mutations of `table` that are under way now are done.

    Args:
        table: with its database.
    """
    _wait_for(storage, [table], _unfinished([table], cluster), pause)


def wait_for_deletions(
    storage: Statements, tables: Sequence[str], pause: Pause, *, cluster: str | None = None
) -> None:
    """Return when the deletions from `tables` that are under way now are done.

    A deletion is seen part by part: until it is done, a count may be of any of its rows.

    Args:
        tables: with their database, which is the same.
    """
    _wait_for(storage, tables, _unfinished(tables, cluster) + _DELETES, pause)


def _wait_for(storage: Statements, tables: Sequence[str], asked: str, pause: Pause) -> None:
    found = storage.query(asked + _FAILING_FIRST)
    if not found:
        return
    these = ", ".join(sorted({f"'{mutation}'" for mutation, _ in found}))
    asked = f"{asked} AND mutation_id IN ({these}){_FAILING_FIRST}"
    named = " and ".join(tables)
    with if_it_lasts(lambda: f"waiting until ClickHouse has finished the mutations of {named}"):
        _wait(lambda: storage.query(asked), pause)


def settle(storage: Statements, tables: Iterable[str], cluster: str | None) -> None:
    """Return when every replica has what any has taken: one that lags would say too little.

    Args:
        tables: with their database.
    """
    if cluster is None:
        return
    with if_it_lasts(lambda: f"waiting until every replica of {cluster} has all rows"):
        for table in tables:
            storage.command(settled(table, cluster), DDL_SETTINGS)


def _wait(unfinished: Callable[[], list[tuple[Any, ...]]], pause: Pause) -> None:
    seconds = 0.01
    while found := unfinished():
        mutation, reason = found[0]
        pause(seconds, Failing(str(mutation), str(reason)) if reason else None)
        seconds = min(1.0, seconds * 2)


def clear(
    storage: Statements,
    table: str,
    where: str,
    *,
    sleep: Callable[[float], None],
    again: str,
    cluster: str | None = None,
) -> None:
    """Delete the rows that fulfil `where`, and see that they are gone. Nothing is asked of the
    server where no row is meant.

    Args:
        again: the command that tries again.

    Raises:
        NrtctlError: rows are still there afterwards, or the server fails to delete them.
    """
    settle(storage, [table], cluster)
    source = shards(table, cluster)
    if not count(storage, source, where):
        return
    told = {"validate_mutation_query": 0}
    delete(storage, table, where, sleeping(sleep, table), cluster=cluster, settings=told)
    if left := count(storage, source, where):
        raise NrtctlError(
            f"{table}: {counted(left, 'row is', 'rows are')} still there after the deletion",
            hint=f"`{again}` tries again",
        )


def count(
    storage: Queries, table: str, where: str, settings: Mapping[str, Any] | None = None
) -> int:
    found = storage.query(f"SELECT count() FROM {table} WHERE {where}", settings=settings)
    return int(found[0][0])


def server_time(storage: Queries) -> int:
    """Milliseconds since the epoch."""
    return int(storage.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
