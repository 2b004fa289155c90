"""What ClickHouse holds of a topic, by offset: counts, gaps, offsets that are there twice.

What compares whole partitions (`partitions`, `gaps`, `doubles`) reads three columns of every row
once and keeps one bit an offset; then it looks into single slices of `SLICE` offsets through the
projection `nrtctl_by_offset`, so memory stays bounded whatever the table's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from nrtctl.clickhouse.cluster import local
from nrtctl.clickhouse.queries import Statements
from nrtctl.store.deletion import Pause, delete, settle, wait_for_deletions
from nrtctl.store.envelope import INSERT_FAILED
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Counted, Listed
from nrtctl.store.target import Target, inserted_until, within

SLICE = 1 << 17
"""Offsets that one query looks at in detail."""

LARGE = {"max_query_size": 16 * 2**20}
"""Of a statement that lists offsets."""

MOST_RANGES = 500
"""Ranges in one deletion, well below the engine's limit on a query's length."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The rows of one partition whose offset is in [number * SLICE, (number + 1) * SLICE).

    Attributes:
        stored: rows, or messages that have some, where a message may have several (`several_rows`).
        rows: rows of the table there; `surplus`: rows beyond those that belong there; `torn`:
            messages of which rows are absent.
    """

    number: int
    stored: int
    dead: int
    distinct: int
    lowest: int
    highest: int
    rows: int | None = None
    surplus: int | None = None
    torn: int = 0
    left_out: int = 0

    @property
    def dense(self) -> bool:
        return not self.torn and self.distinct == self.highest - self.lowest + 1

    @property
    def doubled(self) -> int:
        if self.surplus is not None:
            return self.surplus
        return self.stored + self.dead + self.left_out - self.distinct


@dataclass(frozen=True, slots=True)
class Double:
    """An offset with more rows than belong there: `surplus` of them. `dead`: dead letters, or marks
    that it is left out."""

    offset: int
    stored: int
    dead: int
    surplus: int


def _slice(
    number: int, stored: int, dead: int, distinct: int, lowest: int, highest: int, left_out: int
) -> Slice:
    return Slice(number, stored, dead, distinct, lowest, highest, left_out=left_out)


class TopicRows:
    """The rows, the dead letters and what is left out, of one incarnation of a pipeline's topic.

    Raises QueryError, ClickHouseGone anywhere.
    """

    def __init__(self, storage: Statements, target: Target) -> None:
        self.storage = storage
        self.target = target
        self.table, self.dead_letters = (table for table, _ in target.tables("1"))

    def where(self, partition: int, span: OffsetRange) -> tuple[str, str]:
        """The conditions that pick a range from the table, and from the dead letters."""
        (_, stored), (_, dead) = self.target.tables(within(partition, [span]))
        return stored, dead

    def _both(self, columns: str, where: str) -> str:
        """SQL: `dead` is 0 of rows, 1 of dead letters, 2 of what is left out."""
        (table, stored), (letters, dead) = self.target.tables(where)
        return (
            f"SELECT {columns}, 0 AS dead FROM {table} WHERE {stored} UNION ALL "
            f"SELECT {columns}, 1 + ({self.target.is_left_out}) AS dead FROM {letters} WHERE {dead}"
        )

    def partitions(self) -> dict[int, list[Slice]]:
        """The slices of every partition that has rows, ascending."""
        both = self._both("_partition, _offset", "1")
        rows = self.storage.query(
            f"SELECT _partition, intDiv(_offset, {SLICE}) AS slice, countIf(dead = 0), "
            "countIf(dead = 1), groupBitmap(toUInt64(_offset)), min(_offset), max(_offset), "
            "countIf(dead = 2) "
            f"FROM ({both}) GROUP BY _partition, slice ORDER BY _partition, slice"
        )
        return {
            int(partition): [_slice(*map(int, row[1:])) for row in group]
            for partition, group in groupby(rows, key=lambda row: row[0])
        }

    def count(self, partition: int, span: OffsetRange) -> int:
        both = self._both("_offset", within(partition, [span]))
        return int(self.storage.query(f"SELECT count() FROM ({both})")[0][0])

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

    def torn(
        self, partition: int, slices: Sequence[Slice], span: OffsetRange
    ) -> Iterator[OffsetRange]:
        """The messages within `span` of which some rows are there and others not, ascending."""
        yield from ()

    def gaps_within(self, partition: int, span: OffsetRange) -> list[OffsetRange]:
        """The same for a range of at most `SLICE` offsets, in one query."""
        rows = self.storage.query(
            "SELECT before + 1, _offset FROM ("
            f"SELECT _offset, lagInFrame(_offset, 1, toInt64({span.start - 1})) OVER ("
            "ORDER BY _offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before "
            f"FROM ({self._offsets(partition, span)} "
            f"UNION ALL SELECT toInt64({span.end}) AS _offset)) "
            "WHERE _offset > before + 1 ORDER BY _offset"
        )
        return [OffsetRange(int(start), int(end)) for start, end in rows]

    def whole(self, partition: int, span: OffsetRange) -> str:
        """SQL: a row is the first of a message of the range that is there as a whole."""
        return "1"

    def _offsets(self, partition: int, span: OffsetRange) -> str:
        """SQL: the offsets of the range whose messages are there."""
        both = self._both("_offset", within(partition, [span]))
        return f"SELECT DISTINCT toInt64(_offset) AS _offset FROM ({both})"

    def doubles(
        self, partition: int, slices: Sequence[Slice], *, below: int | None = None
    ) -> Iterator[Double]:
        """The offsets with more than one row, ascending. `below`: only those."""
        for each in slices:
            end = each.highest + 1 if below is None else min(each.highest + 1, below)
            if not each.doubled or end <= each.lowest:
                continue
            both = self._both("_offset", within(partition, [OffsetRange(each.lowest, end)]))
            for offset, stored, dead in self.storage.query(
                f"SELECT _offset, countIf(dead = 0), countIf(dead > 0) FROM ({both}) "
                "GROUP BY _offset HAVING count() > 1 ORDER BY _offset"
            ):
                yield Double(int(offset), int(stored), int(dead), int(stored) + int(dead) - 1)

    # What a batch asks.

    def wait_for_deletions(self, pause: Pause) -> None:
        """Return when what is being deleted now is gone from every part: before that, the former
        owner's deletion may have left one copy of each doubled row, and go on to take that too."""
        kept = [self.kept(table) for table in (self.table, self.dead_letters)]
        wait_for_deletions(self.storage, kept, pause, cluster=self.target.cluster)

    def counts(self, spans: Sequence[tuple[int, OffsetRange]]) -> list[Counted]:
        """The rows of each (partition, range); the partitions differ."""
        self.settle()
        where = " OR ".join(f"({within(partition, [span])})" for partition, span in spans)
        rows = self.target.rows("_partition, _offset", f"({where})")
        answer = self.storage.query(
            "SELECT _partition, count(), uniqExact(_offset), sum(_offset) "
            f"FROM ({rows}) GROUP BY _partition"
        )
        found = {int(partition): Counted(*map(int, rest)) for partition, *rest in answer}
        return [found.get(partition, Counted(0, 0, 0)) for partition, _ in spans]

    def listed(self, partition: int, span: OffsetRange) -> Listed:
        """The offset of every row of the range."""
        self.settle()
        return self._listed(partition, within(partition, [span]))

    def among(
        self, partition: int, offsets: Sequence[int], letters_after: int | None = None
    ) -> Listed:
        """The same for these offsets, which ascend, and no other between them.

        Args:
            letters_after: of the dead letters only those that were inserted later, ms since the
                epoch.
        """
        self.settle()
        stored: list[int] = []
        rejected: list[int] = []
        at = 0
        for _, group in groupby(offsets, key=lambda offset: offset // SLICE):
            asked = list(group)
            where = within(partition, [OffsetRange(asked[0], asked[-1] + 1)])
            if len(asked) <= asked[-1] - asked[0]:
                where = f"{where} AND _offset IN ({', '.join(map(str, asked))})"
            found = self._listed(partition, where, letters_after, torn_is_there=False)
            stored += found.stored
            rejected += found.rejected
            at = at or found.at
        return Listed(stored, rejected, at)

    def _seen_at(self, partition: int) -> str:
        """SQL: when the rows are seen, ms since the epoch: the server's time, or that of the newest
        row of the partition where the clock was ahead when that was inserted."""
        newest = (
            f"(SELECT max(_inserted_at) FROM {table} WHERE {where})"
            for table, where in self.target.tables(f"_partition = {partition}")
        )
        return f"toUnixTimestamp64Milli(greatest(now64(3, 'UTC'), {', '.join(newest)}))"

    def _listed(
        self,
        partition: int,
        where: str,
        letters_after: int | None = None,
        *,
        torn_is_there: bool = True,
    ) -> Listed:
        (table, mine), (letters, theirs) = self.target.tables(where)
        if letters_after is not None:
            theirs = f"{theirs} AND NOT {inserted_until(letters_after)}"
        stored, rejected, now = self.storage.query(
            "SELECT groupArray(_offset), groupArrayIf(_offset, _rejected), "
            f"{self._seen_at(partition)} FROM ("
            f"SELECT _offset, false AS _rejected FROM {table} WHERE {mine} UNION ALL "
            f"SELECT _offset, reason != '{INSERT_FAILED}' FROM {letters} WHERE {theirs})",
            settings=LARGE,
        )[0]
        return Listed(list(stored), list(rejected), int(now))

    def times_in_table(self, where: str) -> dict[tuple[int, int], int]:
        """(partition, offset) to how often the message is in the table, where it is there.

        Args:
            where: SQL over the table.
        """
        rows = self.storage.query(
            f"SELECT _partition, _offset, count() FROM {self.table} WHERE {where} "
            "GROUP BY _partition, _offset",
            settings=LARGE,
        )
        return {(int(partition), int(offset)): int(count) for partition, offset, count in rows}

    def delete(
        self, partition: int, ranges: Sequence[OffsetRange], until: int, pause: Pause
    ) -> None:
        """Return when no row of `ranges` that was inserted until then is left.

        Args:
            until: milliseconds since the epoch, the server's time.
        """
        for first in range(0, len(ranges), MOST_RANGES):
            there = within(partition, ranges[first : first + MOST_RANGES])
            for table, where in self.target.tables(f"{there} AND {inserted_until(until)}"):
                cluster = self.target.cluster
                delete(self.storage, self.kept(table), where, pause, cluster=cluster)

    def forget_beside(self, partition: int, offsets: Sequence[int], pause: Pause) -> None:
        """Delete the dead letters of single rows of these messages: they go again."""

    def settle(self) -> None:
        """A replica that lags would count too few, and the batch would be stored again."""
        settle(self.storage, map(self.kept, (self.table, self.dead_letters)), self.target.cluster)

    def kept(self, table: str) -> str:
        """The table as it is named where its rows are kept."""
        return local(table, self.target.cluster)

    # The newest rows.

    def highest(self) -> dict[int, int]:
        """The highest offset of each partition."""
        each = " UNION ALL ".join(
            f"SELECT _partition, max(_offset) AS top FROM {table} WHERE {where} GROUP BY _partition"
            for table, where in self.target.tables("_partition >= 0")
        )
        sql = f"SELECT _partition, max(top) FROM ({each}) GROUP BY _partition"
        return {int(partition): int(top) for partition, top in self.storage.query(sql)}

    def highest_below(self, partition: int, end: int) -> int | None:
        rows = self.target.rows("_offset", f"_partition = {partition} AND _offset < {end}")
        ((top, number),) = self.storage.query(f"SELECT max(_offset), count() FROM ({rows})")
        return int(top) if number else None

    def newest_insert(self, where: str) -> int:
        """When the newest row that fulfils `where` was inserted, by the clock of the server that
        has it, ms since the epoch; 0: there is none."""
        rows = self.target.rows("toUnixTimestamp64Milli(_inserted_at) AS at", where)
        return int(self.storage.query(f"SELECT max(at) FROM ({rows})")[0][0])

    def time_at(self, partition: int, offset: int) -> int | None:
        """The Kafka timestamp of a row, ms since the epoch."""
        where = f"_partition = {partition} AND _offset = {offset}"
        rows = self.target.rows("toUnixTimestamp64Milli(_timestamp) AS at", where)
        found = self.storage.query(f"SELECT at FROM ({rows}) LIMIT 1")
        return int(found[0][0]) if found else None
