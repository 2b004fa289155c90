"""Reading dead letters and the log of what was done to them. Called by the rest of the package."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from nrtctl.clickhouse.queries import Queries, Statements
from nrtctl.dead_letters.selection import Letter, Selection
from nrtctl.errors import NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import literal
from nrtctl.pipeline.message_format import DECODED
from nrtctl.schema.field_faults import Finding, faults_query, finding
from nrtctl.schema.reasons import COORDINATES
from nrtctl.store.intents import ranges_of
from nrtctl.store.rows import LARGE
from nrtctl.store.target import letters_of

PAGE = 100_000
"""Letters that are worked on together."""
FEW_RANGES = 20
"""Of offsets, that are written as ranges; a list is cheaper for the engine than more of them."""
PREVIEW = 120
"""Characters of a value in a list."""


@dataclass(frozen=True, slots=True)
class Content:
    """One dead letter whole. Times are ms since the epoch; a timestamp of 0: it has none."""

    partition: int
    offset: int
    timestamp: int
    inserted: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...]
    reason: str
    field: str
    error: str
    purged: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What was done to a letter: `outcome` is stored, rejected, sent or purged."""

    at: int
    outcome: str
    reason: str
    field: str
    error: str
    fix: str


@dataclass(frozen=True, slots=True)
class Summary:
    """One dead letter in a list, newest first. Times are ms since the epoch."""

    incarnation: int
    partition: int
    offset: int
    timestamp: int
    rejected_at: int
    reason: str
    field: str
    bytes: int | None
    purged: bool
    preview: str | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_tables(storage: Queries, pipeline: Pipeline, database: str) -> None:
    """Raises NrtctlError: `up` has not made what is needed here."""
    names = (pipeline.dead_letters, pipeline.letter_log)
    found = storage.query(
        "SELECT count() FROM system.columns WHERE database = {d:String} AND "
        "(table, name) IN (({l:String}, '_incarnation'), ({g:String}, '_incarnation'))",
        {"d": database, "l": names[0], "g": names[1]},
    )
    if found[0][0] < 2:
        raise NrtctlError(
            f"{database}.{names[0]} and {names[1]} do not exist in the form that is needed",
            hint="`nrtctl up` creates them",
        )


def incarnations_of(
    storage: Queries, pipeline: Pipeline, database: str, selection: Selection
) -> list[int]:
    """The topics of the pipeline's name that the letters of the selection came from, by number."""
    rows = storage.query(
        f"SELECT DISTINCT _incarnation FROM {database}.{pipeline.dead_letters} "
        f"WHERE {selection.where(pipeline)} ORDER BY _incarnation"
    )
    return [int(number) for (number,) in rows]


def list_sql(
    pipeline: Pipeline,
    database: str,
    selection: Selection,
    limit: int | None,
    *,
    several: bool = False,
) -> str:
    """SQL: the letters in offset order, one row each, with a preview of the value and every field
    that the present pipeline finds at fault.

    Args:
        several: say of each letter which topic of the name it came from.
    """
    of = letters_of(pipeline, selection.incarnation)
    place = "_incarnation, _partition, _offset"
    number = "_incarnation AS incarnation, " if several else ""
    letters = (
        f"SELECT * FROM {database}.{pipeline.dead_letters} WHERE {selection.where(pipeline)} "
        f"{f'ORDER BY {place} LIMIT {limit}' if limit else ''}"
    )
    shown = f"{place}, _timestamp, _reason, _field, _value, _purged_at"
    value = "substringUTF8(toValidUTF8(ifNull(_value, '')), 1, " + f"{PREVIEW})"
    return (
        f"SELECT {number}_partition AS partition, _offset AS offset, _timestamp AS timestamp, "
        "reason, field, faults, tries, bytes, purged, preview AS value FROM ("
        f"SELECT {place}, _timestamp, _reason AS reason, _field AS field, _faults AS faults, "
        f"length(_value) AS bytes, _purged_at IS NOT NULL AS purged, "
        f"if(_value IS NULL, NULL, {value}) AS preview "
        f"FROM ({faults_query(pipeline, _as_landed(pipeline, letters), shown)})) AS letters "
        f"LEFT JOIN (SELECT {place}, count() AS tries "
        f"FROM {database}.{pipeline.letter_log} WHERE {of} AND outcome = 'rejected' "
        f"GROUP BY {place}) AS log USING ({place}) ORDER BY {place}"
    )


def _as_landed(pipeline: Pipeline, letters: str) -> str:
    """SQL: letters with the columns of the landing table, and others that begin with _."""
    renamed = ("headers", "key", "value", "reason", "field", "purged_at")
    listed = ", ".join(f"{name} AS _{name}" for name in renamed)
    if pipeline.is_decoded:  # by no SQL, so nothing is said of their fields
        listed += f", '' AS {DECODED}"
    return f"(SELECT {COORDINATES}, {listed} FROM ({letters}))"


def faults_of(storage: Queries, pipeline: Pipeline, database: str, where: str) -> list[Finding]:
    """Of the one letter that fulfils `where`: each field that the pipeline finds at fault now."""
    letters = f"SELECT * FROM {database}.{pipeline.dead_letters} WHERE {where} LIMIT 1"
    rows = storage.query(
        faults_query(pipeline, _as_landed(pipeline, letters), "_offset"),
        settings={**LARGE, "readonly": 2},
    )
    return [finding(each) for row in rows for each in row[1]]


def count_by_reason(
    storage: Queries, pipeline: Pipeline, database: str, selection: Selection
) -> dict[str, int]:
    """Most frequent first."""
    rows = storage.query(
        f"SELECT reason, count() FROM {database}.{pipeline.dead_letters} "
        f"WHERE {selection.where(pipeline)} GROUP BY reason ORDER BY count() DESC, reason"
    )
    return {str(reason): int(count) for reason, count in rows}


def last_stored(storage: Queries, pipeline: Pipeline, database: str, selection: Selection) -> int:
    """When the newest letter of the selection was stored, ms since the epoch; 0: there is none."""
    rows = storage.query(
        f"SELECT max(toUnixTimestamp64Milli(_inserted_at)) FROM {database}.{pipeline.dead_letters} "
        f"WHERE {selection.where(pipeline)}"
    )
    return int(rows[0][0])


def partitions_of(storage: Queries, pipeline: Pipeline, database: str) -> list[int]:
    """Those that have dead letters, purged or not."""
    rows = storage.query(
        f"SELECT DISTINCT _partition FROM {database}.{pipeline.dead_letters} "
        f"WHERE {Selection(purged=True).where(pipeline)} ORDER BY _partition"
    )
    return [int(number) for (number,) in rows]


def newest(
    storage: Queries,
    pipeline: Pipeline,
    database: str,
    selection: Selection,
    most: int,
    *,
    preview: int,
    settings: Mapping[str, Any],
) -> list[Summary]:
    """The letters that were stored last, newest first. Args: preview: characters of a value."""
    value = f"substringUTF8(toValidUTF8(ifNull(value, '')), 1, {preview})"
    rows = storage.query(
        "SELECT _incarnation, _partition, _offset, toUnixTimestamp64Milli(_timestamp), "
        "toUnixTimestamp64Milli(_inserted_at), reason, field, length(value), "
        f"purged_at IS NOT NULL, if(value IS NULL, NULL, {value}) "
        f"FROM {database}.{pipeline.dead_letters} WHERE {selection.where(pipeline)} "
        f"ORDER BY _inserted_at DESC, _partition DESC, _offset DESC LIMIT {most}",
        settings=settings,
    )
    return [
        Summary(
            int(row[0]), int(row[1]), int(row[2]), int(row[3]), int(row[4]), str(row[5]),
            str(row[6]), None if row[7] is None else int(row[7]), bool(row[8]),
            None if row[9] is None else str(row[9]),
        )
        for row in rows
    ]  # fmt: skip


def pages(
    storage: Queries, pipeline: Pipeline, database: str, where: str, *, size: int = PAGE
) -> Iterator[list[Letter]]:
    """The letters that fulfil `where`, ascending, `size` at a time; one of each offset.

    Args:
        where: of one incarnation of the topic.
    """
    after = ""
    while True:
        rows = storage.query(
            "SELECT _partition, _offset, reason, length(ifNull(value, '')) + "
            "length(ifNull(key, '')) + arraySum(h -> length(h.1) + length(ifNull(h.2, '')), "
            "headers), toUnixTimestamp64Milli(_inserted_at) "
            f"FROM {database}.{pipeline.dead_letters} WHERE {where}{after} "
            f"ORDER BY _partition, _offset, _inserted_at DESC LIMIT 1 BY _partition, _offset "
            f"LIMIT {size}"
        )
        if not rows:
            return
        page = [Letter(int(p), int(o), str(r), int(s), int(i)) for p, o, r, s, i in rows]
        last = page[-1]
        after = (
            f" AND (_partition > {last.partition} OR "
            f"_partition = {last.partition} AND _offset > {last.offset})"
        )
        yield page


def batches(letters: Sequence[Letter], most: int, most_bytes: int) -> Iterator[list[Letter]]:
    """Letters that can be held at once, in their order, of one partition each: at most so many, and
    so many bytes unless one alone has more."""
    for _, group in groupby(letters, key=lambda each: each.partition):
        batch: list[Letter] = []
        size = 0
        for each in group:
            if batch and (len(batch) >= most or size + each.size > most_bytes):
                yield batch
                batch, size = [], 0
            batch.append(each)
            size += each.size
        yield batch


def contents(
    storage: Queries, pipeline: Pipeline, database: str, where: str, *, value: str = "value"
) -> list[Content]:
    """The letters that fulfil `where`, ascending, one of each offset.

    Args:
        value: SQL that makes the value.
    """
    rows = storage.query(
        "SELECT _partition, _offset, toUnixTimestamp64Milli(_timestamp), "
        "toUnixTimestamp64Milli(_inserted_at), base64Encode(key), "
        f"base64Encode(CAST(({value}), 'Nullable(String)')), "
        "arrayMap(x -> base64Encode(x.1), headers), arrayMap(x -> base64Encode(x.2), headers), "
        "reason, field, error, toUnixTimestamp64Milli(purged_at) "
        f"FROM {database}.{pipeline.dead_letters} WHERE {where} "
        "ORDER BY _partition, _offset, _inserted_at DESC LIMIT 1 BY _partition, _offset",
        settings={**LARGE, "readonly": 2},
    )
    return [
        Content(
            int(row[0]), int(row[1]), int(row[2]), int(row[3]), _bytes(row[4]), _bytes(row[5]),
            tuple((_bytes(n) or b"", _bytes(v)) for n, v in zip(row[6], row[7], strict=True)),
            str(row[8]), str(row[9]), str(row[10]), None if row[11] is None else int(row[11]),
        )
        for row in rows
    ]  # fmt: skip


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def history(
    storage: Queries,
    pipeline: Pipeline,
    database: str,
    incarnation: int | None,
    partition: int,
    offset: int,
) -> list[Entry]:
    """What was done to one letter, oldest first."""
    rows = storage.query(
        "SELECT toUnixTimestamp64Milli(at), outcome, reason, field, error, fix "
        f"FROM {database}.{pipeline.letter_log} WHERE {letters_of(pipeline, incarnation)} "
        f"AND _partition = {partition} AND _offset = {offset} ORDER BY at"
    )
    return [Entry(int(row[0]), *map(str, row[1:])) for row in rows]


def among(letters: Sequence[Letter]) -> str:
    """SQL: one of these letters. They ascend."""
    first, last = letters[0], letters[-1]
    parts = []
    by_partition: dict[int, list[int]] = {}
    for each in letters:
        by_partition.setdefault(each.partition, []).append(each.offset)
    for partition, offsets in by_partition.items():
        spans = ranges_of(offsets)
        if len(spans) <= FEW_RANGES:
            listed = " OR ".join(
                f"_offset BETWEEN {each.start} AND {each.end - 1}" for each in spans
            )
        else:
            listed = f"_offset IN ({', '.join(map(str, offsets))})"
        bounds = f"_offset BETWEEN {offsets[0]} AND {offsets[-1]}"
        parts.append(f"(_partition = {partition} AND {bounds} AND ({listed}))")
    bounds = f"_partition BETWEEN {first.partition} AND {last.partition}"
    return f"{bounds} AND ({' OR '.join(parts)})"


def between(letters: Sequence[Letter]) -> str:
    """SQL: from the first to the last of these letters, which ascend; others may lie between."""
    first, last = letters[0], letters[-1]
    if first.partition == last.partition:
        return (
            f"_partition = {first.partition} AND _offset BETWEEN {first.offset} AND {last.offset}"
        )
    return (
        f"_partition BETWEEN {first.partition} AND {last.partition} AND "
        f"(_partition, _offset) >= ({first.partition}, {first.offset}) AND "
        f"(_partition, _offset) <= ({last.partition}, {last.offset})"
    )


NOTED = {"distributed_foreground_insert": 1}
"""Of whatever is inserted into the log: an answer means that it is there, on a cluster, too."""


def log_letters(
    storage: Statements,
    pipeline: Pipeline,
    database: str,
    where: str,
    outcome: str,
    *,
    fix: str = "",
) -> None:
    """Write an entry for each letter that fulfils `where`, with the reason it has."""
    storage.command(
        f"INSERT INTO {database}.{pipeline.letter_log} "
        "(_target, _topic, _incarnation, _partition, _offset, at, outcome, reason, field, error, "
        "fix) SELECT _target, _topic, _incarnation, _partition, _offset, now64(3), "
        f"{literal(outcome)}, reason, field, '', {literal(fix)} "
        f"FROM {database}.{pipeline.dead_letters} WHERE {where}",
        {**LARGE, **NOTED},
    )
