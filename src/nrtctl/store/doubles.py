"""Remove the rows beyond the first of an offset.

Called by `verify.repair` and `dead_letters.replay`.

Doubled rows may be equal in every column, so they are named by their place: part and position
within it (`_part`, `_part_offset`). Parts never change, so a place names one row, or, once the part
was merged or mutated, none: a deletion that came too late deletes nothing, and is made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, islice
from typing import NamedTuple

from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError
from nrtctl.store.deletion import count, delete, sleeping, wait_for_mutations
from nrtctl.store.intents import OffsetRange
from nrtctl.store.rows import LARGE, Double, TopicRows
from nrtctl.store.several_rows import LENGTH, PRESENT

MOST = 20_000
"""Doubled offsets, and rows to remove, of one deletion: its text stays under 1 MB, which is what
Keeper takes for a replicated table."""

PATIENCE = 10
"""Rounds in which merges may come before the deletion."""

_INSERTED = "toUnixTimestamp64Milli(_inserted_at)"
"""Also keeps ClickHouse from answering from a projection alone, which has places of its own: no
projection of ours keeps this column beside the offset."""


class Place(NamedTuple):
    """Where a row is, and when it was inserted (ms)."""

    part: str
    position: int
    inserted: int


def remove(
    rows: TopicRows,
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
        rows.settle()
        for table in (rows.table, rows.dead_letters):
            _wait(rows, table, sleep)
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
                f"partition {partition}: {counted(len(found), 'offset is', 'offsets are')} still "
                "duplicated, because parts were merged before each deletion",
                hint="run the same command again when fewer inserts are running",
            )
        before = extra
        _round(rows, partition, found, sleep)


def _round(
    rows: TopicRows,
    partition: int,
    found: Sequence[Double],
    sleep: Callable[[float], None],
) -> None:
    span = OffsetRange(found[0].offset, found[-1].offset + 1)
    stored, dead = rows.where(partition, span)
    letters = rows.dead_letters
    if rows.target.several:
        _round_of_several(rows, (stored, dead), [each.offset for each in found], sleep)
        return
    for table, where, keep, offsets in (
        (letters, dead, 0, [each.offset for each in found if each.stored and each.dead]),
        (letters, dead, 1, [each.offset for each in found if not each.stored]),
        (rows.table, stored, 1, [each.offset for each in found if each.stored > 1]),
    ):
        _wait(rows, table, sleep)
        _delete(rows, table, where, _places(rows, table, where, offsets, keep), sleep)


def _wait(rows: TopicRows, table: str, sleep: Callable[[float], None]) -> None:
    kept, cluster = rows.kept(table), rows.target.cluster
    wait_for_mutations(rows.storage, kept, sleeping(sleep, kept), cluster=cluster)


def _delete(
    rows: TopicRows,
    table: str,
    where: str,
    places: Sequence[Place],
    sleep: Callable[[float], None],
) -> None:
    """Raises NrtctlError: on a cluster, a place names a row of another shard, too."""
    if not places:
        return
    condition, cluster = f"{where} AND {_condition(places)}", rows.target.cluster
    if cluster is not None and count(rows.storage, table, condition, LARGE) > len(places):
        raise NrtctlError(
            f"{table}: rows of one partition lie on several shards, in parts of the same name, so "
            "that none of them can be removed alone",
            hint="`nrtctl replay load` deletes the range and loads it again",
        )
    kept = rows.kept(table)
    pause = sleeping(sleep, kept)
    delete(rows.storage, kept, condition, pause, cluster=cluster, settings=LARGE)


def _places(
    rows: TopicRows, table: str, where: str, offsets: Sequence[int], keep: int
) -> Sequence[Place]:
    """The places of every row of `offsets` but the `keep` oldest of each."""
    if not offsets:
        return ()
    found = rows.storage.query(
        f"SELECT _offset, _part, _part_offset, {_INSERTED} AS inserted FROM {table} "
        f"WHERE {where} AND _offset IN ({_listed(offsets)}) "
        f"ORDER BY _offset, inserted, _part, _part_offset LIMIT {2 * MOST}",
        settings={**LARGE, "optimize_use_projections": 0},
    )
    return sorted(
        Place(str(part), int(place), int(inserted))
        for _, group in groupby(found, key=lambda row: row[0])
        for _, part, place, inserted in islice(group, keep, None)
    )


def _condition(surplus: Sequence[Place]) -> str:
    """SQL that picks the rows of these places, which ascend.

    Part and position are compared in one expression. ClickHouse 26.9 also holds a comparison of
    `_part` alone against the parts of a projection that it looks rows up in. These have the
    projection's name, so that no row would be found, in a deletion either.
    """
    inserted = [each.inserted for each in surplus]
    places = " OR ".join(
        f"if(_part = '{part}', toInt64(_part_offset), -1) "
        f"IN ({_listed(each.position for each in group)})"
        for part, group in groupby(surplus, key=lambda each: each.part)
    )
    return f"{_INSERTED} BETWEEN {min(inserted)} AND {max(inserted)} AND ({places})"


def _round_of_several(
    rows: TopicRows,
    where: tuple[str, str],
    offsets: Sequence[int],
    sleep: Callable[[float], None],
) -> None:
    """Keep of each message the oldest copy that is whole by itself: the rows that one insert made
    of it. Another version of the pipeline may have numbered them in another way."""
    these = f"_offset IN ({_listed(offsets)})"
    stored, dead = (f"{each} AND {these}" for each in where)
    _wait(rows, rows.table, sleep)
    copies = _copies(rows, stored, dead)
    if copies:
        known = ", ".join(str(offset) for offset in copies)
        moments, lengths = (
            f"transform(_offset, [{known}], [{_listed(each[at] for each in copies.values())}], 0)"
            for at in (0, 1)
        )
        right = f"({moments} = 0 OR {_INSERTED} = {moments}) AND _row < {lengths}"
        ask = f"{stored} AND _offset IN ({known})"
        first = f"{moments} != 0 AND {_INSERTED} != {moments}"
        _delete(rows, rows.table, stored, _surplus(rows, rows.table, ask, right, first), sleep)
    letters = rows.dead_letters
    _wait(rows, letters, sleep)
    beside = [
        f"(_offset = {offset} AND _rows = 0 AND _row = {length - 1})"
        for offset, (_, length, present) in copies.items()
        if present < length
    ]
    alone = f"_rows > 0 AND NOT _offset IN ({_listed(copies) or '-1'})"
    right = f"({' OR '.join([f'({alone})', *beside])})"
    _delete(rows, letters, dead, _surplus(rows, letters, dead, right, "0"), sleep)
    if left := [offset for offset in offsets if offset not in copies]:
        torn = f"{stored} AND _offset IN ({_listed(left)})"
        _delete(rows, rows.table, stored, _surplus(rows, rows.table, torn, "0", "0"), sleep)


def _copies(rows: TopicRows, stored: str, dead: str) -> dict[int, tuple[int, int, int]]:
    """Offset of each message whose rows are there to what is kept of it: when that copy was
    inserted (0: none is whole by itself), the rows it has with its dead letter, those there are in
    the table."""
    letters = rows.storage.query(
        f"SELECT _offset, _row FROM {rows.dead_letters} WHERE {dead} AND _rows = 0", settings=LARGE
    )
    beside = {(int(offset), int(row)) for offset, row in letters}
    found: dict[int, tuple[int, int, int]] = {}
    together: dict[int, tuple[int, int, int]] = {}
    for offset, moment, length, present in rows.storage.query(
        f"SELECT _offset, {_INSERTED} AS inserted, {LENGTH}, {PRESENT} FROM {rows.table} "
        f"WHERE {stored} GROUP BY GROUPING SETS ((_offset, inserted), (_offset)) "
        "ORDER BY _offset, inserted",
        settings=LARGE,
    ):
        missing = int(length) - int(present)
        if length and (not missing or (missing == 1 and (int(offset), int(length) - 1) in beside)):
            kept = found if moment else together
            kept.setdefault(int(offset), (int(moment), int(length), int(present)))
    return {**together, **found}


def _surplus(rows: TopicRows, table: str, where: str, right: str, last: str) -> Sequence[Place]:
    """The places of rows that are not `right`, and of all but the oldest of each row of a message.

    Args:
        last: SQL of those that are never the oldest.
    """
    found = rows.storage.query(
        "SELECT _part, _part_offset, inserted FROM (SELECT _offset, _part, _part_offset, "
        f"{_INSERTED} AS inserted, ({right}) AS right, row_number() OVER (PARTITION BY _offset, "
        f"_row, _rows > 0 ORDER BY {last}, inserted, _part, _part_offset) AS nth FROM {table} "
        f"WHERE {where}) WHERE nth > 1 OR NOT right ORDER BY _offset LIMIT {MOST}",
        settings={**LARGE, "optimize_use_projections": 0},
    )
    return sorted(Place(str(part), int(at), int(moment)) for part, at, moment in found)


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
