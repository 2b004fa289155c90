"""What ClickHouse holds of a topic whose messages become several rows each.

A message is whole when the table has each of its rows once: `_row` numbers them from 0, and the
first says in `_rows` how many there are, with the dead letter that may be beside them. An insert
that landed in part, or twice, leaves a message torn or doubled. Whether any of a whole table is, is
told by sums, at a few nanoseconds a row: each row adds h(offset, row + 1) - h(offset, row), and the
first takes away h(offset, rows) - h(offset, 0). With a hash as h nothing is left over only where
every row is there as often as its first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from nrtctl.clickhouse.cluster import is_in
from nrtctl.clickhouse.queries import Statements
from nrtctl.store.deletion import Pause, count, delete
from nrtctl.store.envelope import INSERT_FAILED
from nrtctl.store.intents import OffsetRange, ranges_of
from nrtctl.store.intents.delivery import Counted, Listed
from nrtctl.store.rows import LARGE, SLICE, Double, Slice, TopicRows
from nrtctl.store.target import Target, inserted_until, within

_COLUMNS = "_offset, _row, _rows"

_LEFT_OVER = (
    "sum(cityHash64(_offset, toUInt64(_row) + 1) - cityHash64(_offset, toUInt64(_row))) - sumIf("
    "cityHash64(_offset, toUInt64(_rows)) - cityHash64(_offset, toUInt64(0)), _rows > 0)"
)
"""SQL: 0: every row is there as often as the first of its message."""

LENGTH = "minIf(_rows, _rows > 0)"
"""SQL, of one message: how many rows it has; 0: its first is absent. Where another version of the
pipeline has left a part of it, the smaller number: a dead letter is a whole message."""

PRESENT = f"bitmapCardinality(bitmapSubsetInRange(groupBitmapState(_row), 0, {LENGTH}))"
"""SQL, of one message: how many of its rows are there at all."""

WHOLE = f"({LENGTH} > 0 AND {PRESENT} = {LENGTH})"
"""SQL, of one message: each of its rows is there, once or more often."""


def rows_in(storage: Statements, target: Target) -> TopicRows:
    """The rows and dead letters of a pipeline's topic."""
    return SeveralRows(storage, target) if target.several else TopicRows(storage, target)


class SeveralRows(TopicRows):
    """As `TopicRows`, where a message may be several rows. Counts are of messages."""

    def partitions(self) -> dict[int, list[Slice]]:
        both = self._both(f"_partition, {_COLUMNS}", "1")
        rows = self.storage.query(
            f"SELECT _partition, intDiv(_offset, {SLICE}) AS slice, countIf(NOT dead AND _rows > 0)"
            ", countIf(dead = 1), groupBitmap(toUInt64(_offset)) AS messages, min(_offset), "
            "max(_offset), countIf(NOT dead), countIf(_rows > 0) = messages AND "
            f"{_LEFT_OVER} = 0, countIf(dead = 2) FROM ({both}) "
            "GROUP BY _partition, slice ORDER BY _partition, slice"
        )
        return {
            int(partition): [self._slice(int(partition), row[1:]) for row in group]
            for partition, group in groupby(rows, key=lambda row: row[0])
        }

    def _slice(self, partition: int, row: Sequence[int]) -> Slice:
        number, stored, dead, distinct, lowest, highest, rows, right, left_out = map(int, row)
        found = Slice(number, stored, dead, distinct, lowest, highest, rows, 0, left_out=left_out)
        if right:
            return found
        span = OffsetRange(found.lowest, found.highest + 1)
        both = self._both(_COLUMNS, within(partition, [span]))
        ((torn, surplus),) = self.storage.query(
            "SELECT countIf(NOT whole), sumIf(more, whole) FROM (SELECT "
            f"{WHOLE} AS whole, count() - {PRESENT} AS more FROM ({both}) GROUP BY _offset)"
        )
        return replace(found, torn=int(torn), surplus=int(surplus))

    def count(self, partition: int, span: OffsetRange) -> int:
        both = self._both(_COLUMNS, within(partition, [span]))
        return int(self.storage.query(f"SELECT uniqExact(_offset) FROM ({both})")[0][0])

    def whole(self, partition: int, span: OffsetRange) -> str:
        return (
            f"_rows > 0 AND _offset {is_in(self.target.cluster)} ({self._offsets(partition, span)})"
        )

    def torn(
        self, partition: int, slices: Sequence[Slice], span: OffsetRange
    ) -> Iterator[OffsetRange]:
        for each in slices:
            start, end = max(span.start, each.lowest), min(span.end, each.highest + 1)
            if not each.torn or start >= end:
                continue
            both = self._both(_COLUMNS, within(partition, [OffsetRange(start, end)]))
            rows = self.storage.query(
                f"SELECT _offset FROM ({both}) GROUP BY _offset HAVING NOT {WHOLE} ORDER BY _offset"
            )
            yield from ranges_of(int(offset) for (offset,) in rows)

    def _offsets(self, partition: int, span: OffsetRange) -> str:
        both = self._both(_COLUMNS, within(partition, [span]))
        return (
            f"SELECT toInt64(_at) AS _offset FROM (SELECT _offset AS _at FROM ({both}) "
            f"GROUP BY _offset HAVING {WHOLE})"
        )

    def doubles(
        self, partition: int, slices: Sequence[Slice], *, below: int | None = None
    ) -> Iterator[Double]:
        for each in slices:
            end = each.highest + 1 if below is None else min(each.highest + 1, below)
            if not each.doubled or end <= each.lowest:
                continue
            both = self._both(_COLUMNS, within(partition, [OffsetRange(each.lowest, end)]))
            for offset, stored, dead, more in self.storage.query(
                "SELECT _offset, countIf(NOT dead AND _rows > 0), countIf(dead > 0), "
                f"count() - {PRESENT} AS more FROM ({both}) GROUP BY _offset "
                f"HAVING {WHOLE} AND more > 0 ORDER BY _offset"
            ):
                yield Double(int(offset), int(stored), int(dead), int(more))

    def counts(self, spans: Sequence[tuple[int, OffsetRange]]) -> list[Counted]:
        """Of a range in which a message is torn or doubled nothing counts."""
        self.settle()
        where = " OR ".join(f"({within(partition, [span])})" for partition, span in spans)
        rows = self.target.rows(f"_partition, {_COLUMNS}", f"({where})")
        answer = self.storage.query(
            "SELECT _partition, countIf(_rows > 0), uniqExact(_offset), sumIf(_offset, _rows > 0) "
            f"FROM ({rows}) GROUP BY _partition HAVING {_LEFT_OVER} = 0"
        )
        found = {int(partition): Counted(*map(int, rest)) for partition, *rest in answer}
        return [found.get(partition, Counted(0, 0, 0)) for partition, _ in spans]

    def _listed(
        self,
        partition: int,
        where: str,
        letters_after: int | None = None,
        *,
        torn_is_there: bool = True,
    ) -> Listed:
        """A message that is whole, once, is listed once; one that is doubled twice, and so is a
        torn one, or not at all.

        Args:
            torn_is_there: it is to be deleted, not completed.
        """
        (table, mine), (letters, theirs) = self.target.tables(where)
        if letters_after is not None:
            theirs = f"{theirs} AND NOT {inserted_until(letters_after)}"
        torn = 2 if torn_is_there else 0
        stored, rejected, now = self.storage.query(
            "SELECT arrayFlatten(groupArray(arrayResize([_offset], times, _offset))), "
            f"groupArrayIf(_offset, _rejected), {self._seen_at(partition)} FROM ("
            f"SELECT _offset, multiIf(NOT {WHOLE}, {torn}, count() = {PRESENT}, 1, 2) AS times, "
            "max(_by_views) AS _rejected FROM ("
            f"SELECT {_COLUMNS}, false AS _by_views FROM {table} WHERE {mine} UNION ALL "
            f"SELECT {_COLUMNS}, reason != '{INSERT_FAILED}' AND _rows > 0 FROM {letters} "
            f"WHERE {theirs}) GROUP BY _offset)",
            settings=LARGE,
        )[0]
        return Listed(list(stored), list(rejected), int(now))

    def forget_beside(self, partition: int, offsets: Sequence[int], pause: Pause) -> None:
        span = OffsetRange(min(offsets), max(offsets) + 1)
        listed = ", ".join(map(str, offsets))
        letters, mine = self.target.tables(
            f"{within(partition, [span])} AND _offset IN ({listed}) AND _rows = 0"
        )[1]
        if count(self.storage, letters, mine):
            letters, cluster = self.kept(letters), self.target.cluster
            delete(self.storage, letters, mine, pause, cluster=cluster, settings=LARGE)

    def times_in_table(self, where: str) -> dict[tuple[int, int], int]:
        """Of messages that are whole without a dead letter."""
        found = self.storage.query(
            f"SELECT _partition, _offset, 1 + (count() > {PRESENT}) FROM {self.table} "
            f"WHERE {where} GROUP BY _partition, _offset HAVING {WHOLE}",
            settings=LARGE,
        )
        return {(int(partition), int(offset)): int(times) for partition, offset, times in found}
