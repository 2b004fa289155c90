"""The SQL of a pipeline's views as questions about rows that go with the statement. Pure text.

Asked by `throwing`. Nothing is stored by them.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nrtctl.pipeline import Pipeline, Rollup
from nrtctl.pipeline.casts import literal
from nrtctl.schema import ddl, latest
from nrtctl.schema.parsing import columns_as_named, parse_query
from nrtctl.schema.twins import arguments_of, twin_of
from nrtctl.store.envelope import COLUMNS, DECODED_COLUMNS, head

T = TypeVar("T")
Question = Callable[[str], str]
"""SQL, made from SQL of a source of rows of the landing table."""

_OF_THE_BATCH = COLUMNS[:3]
"""Columns that all rows of a batch have the same value of."""
_TYPES = ddl.landing_columns(decoded=True)


class Source:
    """Rows of the landing table that go with a statement.

    Args:
        rows: offset to row of one batch, as `envelope` encodes it.
        decoded: they are rows of `DECODED_COLUMNS`.
    """

    def __init__(self, rows: Mapping[int, bytes], *, decoded: bool = False) -> None:
        columns = DECODED_COLUMNS if decoded else COLUMNS
        self._structure = ddl.structure({name: _TYPES[name] for name in columns[3:]})
        first = head(next(iter(rows.values())))
        self._rows = {offset: row[first.size :] for offset, row in rows.items()}
        given = (literal(first.topic), str(first.incarnation), str(first.partition))
        # Not as constants: what they are computed from would be computed without any row.
        kinds = [literal(_TYPES[name].partition(" DEFAULT ")[0]) for name in _OF_THE_BATCH]
        self._same = ", ".join(
            f"materialize(CAST({value}, {kind})) AS {name}"
            for name, value, kind in zip(_OF_THE_BATCH, given, kinds, strict=True)
        )

    @property
    def offsets(self) -> list[int]:
        return list(self._rows)

    def size(self, offset: int) -> int:
        """Characters that a row takes, or one more."""
        return 4 * len(self._rows[offset]) // 3 + 1

    def of(self, offsets: Iterable[int]) -> str:
        """SQL: their rows."""
        rows = b64encode(b"".join([self._rows[offset] for offset in offsets])).decode()
        given = (
            f"SELECT * FROM format(RowBinary, {literal(self._structure)}, base64Decode('{rows}'))"
        )
        return f"(SELECT {self._same}, * FROM ({given}))"


@dataclass(frozen=True, slots=True)
class Part:
    """What may throw on a message that no rule rejects.

    Attributes:
        key: in the configuration.
        column: that it computes, if any.
        question: whose answer does not count, but that it fails.
        likely: the offsets of messages on which it is likely to throw, together where it is certain
            that it does so on all of them or on none; None: that cannot be asked.
    """

    key: str
    column: str
    question: Question
    likely: Question | None = None


def deciding(pipeline: Pipeline, rules: Collection[str]) -> Question:
    """The offsets of the messages that are stored, as far as these rules are asked."""
    asked = {name: sql for name, sql in pipeline.rejects.items() if name in rules}
    only = pipeline.model_copy(update={"rejects": asked})
    each = "_offset" if pipeline.rows is None else "DISTINCT _offset"
    return lambda rows: f"SELECT {each} FROM ({parse_query(only, rows)}) WHERE _wrong = ''"


def parts(pipeline: Pipeline) -> list[Part]:
    """What is computed of an accepted message, in the configuration's order."""
    bare = pipeline
    if pipeline.rows is None:
        bare = pipeline.model_copy(update={"rejects": {}})

    def stored(rows: str) -> str:
        kept = ddl.accepted_query(bare, f"({parse_query(bare, rows)})")
        return f"(SELECT *, now64(3, 'UTC') AS _inserted_at FROM ({kept}))"

    def rollup(each: Rollup) -> Question:
        return lambda rows: ddl.rollup_query(each, stored(rows))

    found = [
        Part(f"pipeline.columns.{name}", name, computed(pipeline, [name]), _likely(pipeline, name))
        for name in pipeline.columns
    ]
    if by := pipeline.partition_by:
        found.append(Part("pipeline.partition_by", "", lambda r: f"SELECT ({by}) FROM {stored(r)}"))
    found += [Part(f"pipeline.rollups.{n}", "", rollup(r)) for n, r in pipeline.rollups.items()]
    for name in pipeline.latest:
        found.append(Part(f"pipeline.latest.{name}", "", _state(bare, name)))
    return found


def _state(pipeline: Pipeline, name: str) -> Question:
    def question(rows: str) -> str:
        kept = ddl.accepted_query(pipeline, f"({parse_query(pipeline, rows)})")
        return latest.feeding_query(pipeline, name, kept)

    return question


def computed(pipeline: Pipeline, columns: Sequence[str]) -> Question:
    """These columns."""
    used = _used(pipeline, columns)
    known = ", ".join(columns_as_named(used))
    wanted = ", ".join(f"`{name}`" for name in columns)
    return lambda rows: f"WITH {known} SELECT {wanted} FROM {_parsed(used, rows)}"


def _likely(pipeline: Pipeline, column: str) -> Question | None:
    sql = pipeline.columns[column]
    twin = twin_of(sql)
    if twin is None:
        return None
    used = _used(pipeline, [column])
    named = used.model_copy(update={"columns": {**used.columns, column: twin}})
    known = ", ".join(columns_as_named(named))
    arguments = arguments_of(sql) if pipeline.rows is None else None
    by = ", ".join(f"({each})" for each in arguments or ["_offset"])
    if pipeline.rows is not None:
        return lambda rows: (
            f"WITH {known} SELECT groupUniqArray(_offset) FROM {_parsed(used, rows)} "
            f"WHERE isNull(`{column}`) GROUP BY {by}"
        )
    return lambda rows: (
        f"WITH {known} SELECT groupArray(_offset) FROM {_parsed(used, rows)} "
        f"WHERE isNull(`{column}`) GROUP BY {by}"
    )


def _parsed(pipeline: Pipeline, rows: str) -> str:
    """What of the landing table is known to be accepted, as rows of the parsed table."""
    if pipeline.rows is not None:
        return f"(SELECT * FROM ({parse_query(pipeline, rows)}) WHERE _wrong = '')"
    return f"({parse_query(pipeline, rows)})" if pipeline.fields else rows


def _used(pipeline: Pipeline, columns: Sequence[str]) -> Pipeline:
    """The pipeline without rules, and without columns and fields that these columns do not name: a
    short statement is a cheap one. All of it, where a row may be left out on its account."""
    if pipeline.rows is not None:
        return pipeline
    names: set[str] = set()
    new = set(columns)
    while new:
        names |= new
        texts = [pipeline.columns[name] for name in new if name in pipeline.columns]
        new = {word for text in texts for word in re.findall(r"\w+", text)} - names
    return pipeline.model_copy(
        update={
            "rejects": {},
            "fields": _only(pipeline.fields, names),
            "columns": _only(pipeline.columns, names),
        }
    )


def _only(named: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: each for name, each in named.items() if name in names}
