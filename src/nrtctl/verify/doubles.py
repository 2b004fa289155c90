"""Remove the rows beyond the first of an offset. Called by `repair`.

Doubled rows may be equal in every column, so they are named by their place: part and position
within it (`_part`, `_part_offset`). Parts never change, so a place names one row, or, once the part
was merged or mutated, none: a deletion that came too late deletes nothing, and is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, Protocol

from nrtctl.errors import NrtctlError
from nrtctl.intents import OffsetRange
from nrtctl.notices import if_it_lasts
from nrtctl.queries import Queries
from nrtctl.verify.rows import Double, Rows

MOST = 20_000
"""Doubled offsets, and rows to remove, of one deletion: its text stays under 1 MB, which is what
Keeper takes for a replicated table."""

PATIENCE = 10
"""Rounds in which merges may come before the deletion."""

_INSERTED = "toUnixTimestamp64Milli(_inserted_at)"
"""Also keeps ClickHouse from looking places up in a projection, which has places of its own: no
projection of ours keeps this column row by row."""

_LARGE = {"max_query_size": 16 * 2**20}


class Storage(Queries, Protocol):
    """The part of `ClickHouseClient` that removing needs."""

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any: ...


def remove(
    storage: Storage,
    rows: Rows,
    partition: int,
    *,
    below: int,
    sleep: Callable[[float], None],
) -> int:
    """Keep one row of every offset below `below`: of rows before dead letters, the oldest.

    Returns:
        How many rows were removed.

    Raises:
        NrtctlError: a deletion fails, or comes too late every time.
    """
    removed = idle = 0
    before: int | None = None
    while True:
        for table in (rows.table, rows.dead_letters):
            wait_for_mutations(storage, table, sleep)
        slices = rows.partitions().get(partition, [])
        extra = sum(each.doubled for each in slices)
        found = list(islice(rows.doubles(partition, slices, below=below), MOST))
        if before is not None:
            removed += max(0, before - extra)
            idle = 0 if extra < before else idle + 1
        if not found:
            return removed
        if idle > PATIENCE:
            raise NrtctlError(
                f"partition {partition}: {len(found)} offsets are still doubled, since merges "
                "came before every deletion",
                hint="run the same command again when fewer inserts are under way",
            )
        before = extra
        _round(storage, rows, partition, found, sleep)


def _round(
    storage: Storage,
    rows: Rows,
    partition: int,
    found: Sequence[Double],
    sleep: Callable[[float], None],
) -> None:
    span = OffsetRange(found[0].offset, found[-1].offset + 1)
    stored, dead = rows.where(partition, span)
    letters = rows.dead_letters
    for table, where, keep, offsets in (
        (letters, dead, 0, [each.offset for each in found if each.stored and each.dead]),
        (letters, dead, 1, [each.offset for each in found if not each.stored]),
        (rows.table, stored, 1, [each.offset for each in found if each.stored > 1]),
    ):
        wait_for_mutations(storage, table, sleep)
        if places := _places(storage, table, where, offsets, keep):
            storage.command(f"ALTER TABLE {table} DELETE WHERE {where} AND {places}", _LARGE)


def _places(storage: Storage, table: str, where: str, offsets: Sequence[int], keep: int) -> str:
    """The places of every row of `offsets` but the `keep` oldest of each, as a condition."""
    if not offsets:
        return ""
    rows = storage.query(
        f"SELECT _offset, _part, _part_offset, {_INSERTED} AS inserted FROM {table} "
        f"WHERE {where} AND _offset IN ({_listed(offsets)}) "
        f"ORDER BY _offset, inserted, _part, _part_offset LIMIT {2 * MOST}",
        settings={**_LARGE, "optimize_use_projections": 0},
    )
    surplus = sorted(
        (str(part), int(place), int(inserted))
        for _, group in groupby(rows, key=lambda row: row[0])
        for _, part, place, inserted in islice(group, keep, None)
    )
    if not surplus:
        return ""
    oldest, newest = min(each[2] for each in surplus), max(each[2] for each in surplus)
    places = " OR ".join(
        f"_part = '{part}' AND _part_offset IN ({_listed(each[1] for each in group)})"
        for part, group in groupby(surplus, key=lambda each: each[0])
    )
    return f"{_INSERTED} BETWEEN {oldest} AND {newest} AND ({places})"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def wait_for_mutations(storage: Storage, table: str, sleep: Callable[[float], None]) -> None:
    """Return when no mutation of `table` is under way: a place is named in parts at rest.

    Raises:
        NrtctlError: a mutation fails.
    """
    database, _, name = table.partition(".")
    with if_it_lasts(lambda: f"waiting until ClickHouse has carried out what changes {table}"):
        _wait_for_mutations(storage, database, name, sleep)


def _wait_for_mutations(
    storage: Storage, database: str, name: str, sleep: Callable[[float], None]
) -> None:
    table = f"{database}.{name}"
    pause = 0.05
    while True:
        found = storage.query(
            "SELECT mutation_id, latest_fail_reason FROM system.mutations WHERE NOT is_done "
            f"AND database = '{database}' AND table = '{name}' ORDER BY latest_fail_reason DESC"
        )
        if not found:
            return
        if found[0][1]:
            raise NrtctlError(
                f"{table}: mutation {found[0][0]} fails: {found[0][1]}",
                hint=f"`nrtctl query --write \"KILL MUTATION WHERE mutation_id = '{found[0][0]}'\""
                "` gives it up",
            )
        sleep(pause)
        pause = min(1.0, pause * 2)
