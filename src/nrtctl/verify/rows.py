"""What ClickHouse holds of a topic, by offset: counts, gaps, offsets that are there twice.

Used by `compare`, `ledger` and `repair`. The first pass reads three columns of every row and keeps
one bit an offset; later ones look into single slices of `SLICE` offsets through the projection
`nrtctl_by_offset`, so memory stays bounded whatever the table's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nrtctl.intents import OffsetRange
from nrtctl.pipeline import Pipeline
from nrtctl.queries import Queries

SLICE = 1 << 17
"""Offsets that one query looks at in detail."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of one partition whose offset is in [number * SLICE, (number + 1) * SLICE)."""

    number: int
    stored: int
    dead: int
    distinct: int
    lowest: int
    highest: int

    @property
    def dense(self) -> bool:
        return self.distinct == self.highest - self.lowest + 1

    @property
    def doubled(self) -> int:
        return self.stored + self.dead - self.distinct


@dataclass(frozen=True, slots=True)
class Double:
    """An offset with more than one row."""

    offset: int
    stored: int
    dead: int


class Rows:
    """The rows and dead letters of one incarnation of a pipeline's topic.

    Raises QueryError, ClickHouseGone anywhere.
    """

    def __init__(
        self, queries: Queries, pipeline: Pipeline, database: str, incarnation: int
    ) -> None:
        self.queries = queries
        self.table = f"{database}.{pipeline.table}"
        self.dead_letters = f"{database}.{pipeline.dead_letters}"
        self.incarnation = incarnation
        self._topic = f"_topic = '{pipeline.topic}' AND _incarnation = {incarnation}"
        self._mine = f"_target = '{pipeline.table}' AND {self._topic}"

    def where(self, partition: int, span: OffsetRange) -> tuple[str, str]:
        """The conditions that pick a range from the table, and from the dead letters."""
        there = f"_partition = {partition} AND _offset >= {span.start} AND _offset < {span.end}"
        return f"{self._topic} AND {there}", f"{self._mine} AND {there}"

    def _both(self, columns: str, stored: str, dead: str) -> str:
        return (
            f"SELECT {columns}, 0 AS dead FROM {self.table} WHERE {stored} "
            f"UNION ALL SELECT {columns}, 1 AS dead FROM {self.dead_letters} WHERE {dead}"
        )

    def partitions(self) -> dict[int, list[Slice]]:
        """The slices of every partition that has rows, ascending."""
        both = self._both("_partition, _offset", self._topic, self._mine)
        rows = self.queries.query(
            f"SELECT _partition, intDiv(_offset, {SLICE}) AS slice, countIf(dead = 0), "
            "countIf(dead = 1), groupBitmap(toUInt64(_offset)), min(_offset), max(_offset) "
            f"FROM ({both}) GROUP BY _partition, slice ORDER BY _partition, slice"
        )
        return {
            int(partition): [Slice(*map(int, row[1:])) for row in group]
            for partition, group in groupby(rows, key=lambda row: row[0])
        }

    def count(self, partition: int, span: OffsetRange) -> int:
        both = self._both("_offset", *self.where(partition, span))
        return int(self.queries.query(f"SELECT count() FROM ({both})")[0][0])

    def gaps(
        self, partition: int, slices: Sequence[Slice], span: OffsetRange
    ) -> Iterator[OffsetRange]:
        """The ranges within `span` that no row names, ascending; neighbours are joined."""
        opened: OffsetRange | None = None
        for gap in self._pieces(partition, slices, span):
            if opened is not None and opened.end == gap.start:
                opened = OffsetRange(opened.start, gap.end)
                continue
            if opened is not None:
                yield opened
            opened = gap
        if opened is not None:
            yield opened

    def _pieces(
        self, partition: int, slices: Sequence[Slice], span: OffsetRange
    ) -> Iterator[OffsetRange]:
        position = span.start
        for each in slices:
            if each.highest < span.start or each.lowest >= span.end:
                continue
            if each.lowest > position:
                yield OffsetRange(position, each.lowest)
            end = min(each.highest + 1, span.end)
            begin = max(each.lowest, span.start)
            if not each.dense:
                yield from self.gaps_within(partition, OffsetRange(begin, end))
            position = end
        if position < span.end:
            yield OffsetRange(position, span.end)

    def gaps_within(self, partition: int, span: OffsetRange) -> list[OffsetRange]:
        """The same for a range of at most `SLICE` offsets, in one query."""
        both = self._both("_offset", *self.where(partition, span))
        rows = self.queries.query(
            "SELECT before + 1, _offset FROM ("
            f"SELECT _offset, lagInFrame(_offset, 1, toInt64({span.start - 1})) OVER ("
            "ORDER BY _offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before "
            f"FROM (SELECT DISTINCT toInt64(_offset) AS _offset FROM ({both}) "
            f"UNION ALL SELECT toInt64({span.end}) AS _offset)) "
            "WHERE _offset > before + 1 ORDER BY _offset"
        )
        return [OffsetRange(int(start), int(end)) for start, end in rows]

    def absent(self, partition: int, offsets: Sequence[int]) -> list[int]:
        """Those of `offsets`, which ascend, that no row names."""
        found: list[int] = []
        for _, group in groupby(offsets, key=lambda offset: offset // SLICE):
            asked = list(group)
            wanted = frozenset(asked)
            for gap in self.gaps_within(partition, OffsetRange(asked[0], asked[-1] + 1)):
                found += [each for each in range(gap.start, gap.end) if each in wanted]
        return found

    def doubles(
        self, partition: int, slices: Sequence[Slice], *, below: int | None = None
    ) -> Iterator[Double]:
        """The offsets with more than one row, ascending. `below`: only those."""
        for each in slices:
            end = each.highest + 1 if below is None else min(each.highest + 1, below)
            if not each.doubled or end <= each.lowest:
                continue
            both = self._both("_offset", *self.where(partition, OffsetRange(each.lowest, end)))
            for offset, stored, dead in self.queries.query(
                f"SELECT _offset, countIf(dead = 0), countIf(dead = 1) FROM ({both}) "
                "GROUP BY _offset HAVING count() > 1 ORDER BY _offset"
            ):
                yield Double(int(offset), int(stored), int(dead))
