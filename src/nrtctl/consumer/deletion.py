"""Delete rows of a batch that must not be there. Called by `consumer.writer`.

A deletion of few rows may rewrite a part of many million, so it is not waited for within one
request: the server is told, and then asked until it has done it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nrtctl.cluster import DDL_SETTINGS, altered, local, replicas
from nrtctl.intents import OffsetRange
from nrtctl.notices import if_it_lasts

MOST_RANGES = 500
"""Ranges in one statement, well below the engine's limit on a query's length."""


class Storage(Protocol):
    """The part of `ClickHouseClient` that deleting needs."""

    def query(self, sql: str) -> list[tuple[Any, ...]]: ...

    def command(self, sql: str, settings: dict[str, Any]) -> Any: ...


def within(partition: int, spans: Sequence[OffsetRange]) -> str:
    """SQL: the rows of a partition within any of `spans`."""
    inside = " OR ".join(f"(_offset >= {s.start} AND _offset < {s.end})" for s in spans)
    return f"_partition = {partition} AND ({inside})"


def delete(
    storage: Storage,
    tables: Callable[[str], list[tuple[str, str]]],
    partition: int,
    ranges: Sequence[OffsetRange],
    until: int,
    pause: Callable[[float, str], None],
    *,
    cluster: str | None = None,
) -> None:
    """Return when no row of `ranges` that was inserted until then is left.

    Args:
        tables: a condition to the (table, condition) that it stands for.
        until: milliseconds since the epoch, the server's time.
        pause: called between two looks with the seconds and with what made the server fail so far
            (it tries again by itself); what `pause` raises ends the wait.
    """
    instant = f"fromUnixTimestamp64Milli({until}, 'UTC')"
    for first in range(0, len(ranges), MOST_RANGES):
        where = within(partition, ranges[first : first + MOST_RANGES])
        for table, condition in tables(f"{where} AND _inserted_at <= {instant}"):
            if cluster is None:
                unfinished = _mutation(table, partition, instant)
                settings: dict[str, Any] = {"mutations_sync": 0}
            else:
                # A replica learns of the mutation when it comes to it: so the rows are asked for.
                every = replicas(local(table, cluster), cluster)
                unfinished = f"SELECT '' FROM {every} WHERE {condition} LIMIT 1"
                settings = {"mutations_sync": 0, **DDL_SETTINGS}
                if not storage.query(unfinished):
                    continue
            storage.command(
                f"ALTER TABLE {altered(table, cluster)} DELETE WHERE {condition}", settings
            )
            _wait(storage, unfinished, pause)


def _mutation(table: str, partition: int, instant: str) -> str:
    """SQL: why it failed so far, while it is not done."""
    database, _, name = table.partition(".")
    mine = instant.replace("'", "\\'")
    return (
        f"SELECT latest_fail_reason FROM system.mutations WHERE database = '{database}' "
        f"AND table = '{name}' AND NOT is_done AND position(command, '{mine}') > 0 "
        f"AND position(command, '_partition = {partition})') > 0"
    )


def _wait(storage: Storage, unfinished: str, pause: Callable[[float, str], None]) -> None:
    seconds = 0.01
    with if_it_lasts(lambda: "waiting until ClickHouse has deleted what a batch had left behind"):
        while found := storage.query(unfinished):
            pause(seconds, str(found[0][0]))
            seconds = min(1.0, seconds * 2)
