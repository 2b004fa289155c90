"""Delete rows: the server is told once, and then asked until it has done it.

A deletion of few rows may rewrite a part of many million, so it is not waited for within one
request. Whatever deletes goes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nrtctl.clickhouse.cluster import DDL_SETTINGS, altered, local, replicas
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
                hint=f'`nrtctl query --write "{kill}"` gives it up',
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
    told = {"mutations_sync": 0, **(settings or {})}
    statement = f"ALTER TABLE {altered(table, cluster)} DELETE WHERE {condition}"
    if cluster is None:
        storage.command(statement, told)
        wait_for_mutations(storage, table, pause)
        return
    # A replica learns of the mutation when it comes to it: so the rows are asked for.
    every = replicas(local(table, cluster), cluster)
    left = f"SELECT '', '' FROM {every} WHERE {condition} LIMIT 1"
    if storage.query(left):
        storage.command(statement, {**told, **DDL_SETTINGS})
        with if_it_lasts(lambda: f"waiting until every replica has deleted rows of {table}"):
            _wait(lambda: storage.query(left), pause)


def wait_for_mutations(storage: Statements, table: str, pause: Pause) -> None:
    """Return when the mutations of `table` that are under way now are done.

    Args:
        table: with its database.
    """
    database, _, name = table.partition(".")
    asked = (
        "SELECT mutation_id, latest_fail_reason FROM system.mutations WHERE NOT is_done "
        f"AND database = '{database}' AND table = '{name}'"
    )
    last = " ORDER BY latest_fail_reason DESC"
    found = storage.query(asked + last)
    if not found:
        return
    these = ", ".join(f"'{mutation}'" for mutation, _ in found)
    with if_it_lasts(lambda: f"waiting until ClickHouse has carried out what changes {table}"):
        _wait(lambda: storage.query(f"{asked} AND mutation_id IN ({these}){last}"), pause)


def _wait(unfinished: Callable[[], list[tuple[Any, ...]]], pause: Pause) -> None:
    seconds = 0.01
    while found := unfinished():
        mutation, reason = found[0]
        pause(seconds, Failing(str(mutation), str(reason)) if reason else None)
        seconds = min(1.0, seconds * 2)


def clear(
    storage: Statements, table: str, where: str, *, sleep: Callable[[float], None], again: str
) -> None:
    """Delete the rows that fulfil `where`, and see that they are gone. Nothing is asked of the
    server where no row is meant.

    Args:
        again: the command that tries again.

    Raises:
        NrtctlError: rows are still there afterwards, or the server fails to delete them.
    """
    if not count(storage, table, where):
        return
    delete(storage, table, where, sleeping(sleep, table), settings={"validate_mutation_query": 0})
    if left := count(storage, table, where):
        raise NrtctlError(
            f"{table}: {counted(left, 'row is', 'rows are')} still there after the deletion",
            hint=f"`{again}` tries again",
        )


def count(storage: Queries, table: str, where: str) -> int:
    return int(storage.query(f"SELECT count() FROM {table} WHERE {where}")[0][0])


def server_time(storage: Queries) -> int:
    """Milliseconds since the epoch."""
    return int(storage.query("SELECT toUnixTimestamp64Milli(now64(3))")[0][0])
