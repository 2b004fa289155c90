"""What a report keeps of many ranges, and where gaps are looked for."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nrtctl.kafka.partitions import LogPartition
from nrtctl.pipeline import Pipeline
from nrtctl.store.intents import OffsetRange
from nrtctl.store.rows import SLICE, Slice, TopicRows
from nrtctl.store.target import Target
from nrtctl.verify.compare import checked_range
from nrtctl.verify.report import MOST_RANGES, Ranges


def test_neighbours_are_joined() -> None:
    found = Ranges().add_all(OffsetRange(n, n + 1) for n in (1, 2, 3, 7, 8, 20))
    assert (found.listed, found.offsets, found.ranges) == ([[1, 4], [7, 9], [20, 21]], 6, 3)


def test_totals_count_what_is_not_listed() -> None:
    found = Ranges().add_all(OffsetRange(n, n + 1) for n in range(0, 5 * MOST_RANGES, 2))
    assert len(found.listed) == MOST_RANGES
    assert (found.ranges, found.offsets) == (5 * MOST_RANGES // 2, 5 * MOST_RANGES // 2)
    found.add(OffsetRange(10**9, 10**9 + 5))
    found.add(OffsetRange(10**9 + 5, 10**9 + 7))
    assert found.listed[-1] == [2 * MOST_RANGES - 2, 2 * MOST_RANGES - 1]
    assert found.offsets == 5 * MOST_RANGES // 2 + 7


class InMemory(TopicRows):
    """Rows whose detailed look is answered from a set, and counted."""

    def __init__(self, offsets: set[int]) -> None:
        super().__init__(self, Target.of(Pipeline(fields={"a": "String"}), "d", 1))
        self.offsets = offsets
        self.looks: list[OffsetRange] = []

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        raise AssertionError(sql)

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> None:
        raise AssertionError(sql)

    def slices(self) -> list[Slice]:
        by_slice: dict[int, list[int]] = {}
        for offset in sorted(self.offsets):
            by_slice.setdefault(offset // SLICE, []).append(offset)
        return [
            Slice(number, len(each), 0, len(each), each[0], each[-1])
            for number, each in sorted(by_slice.items())
        ]

    def gaps_within(self, partition: int, span: OffsetRange) -> list[OffsetRange]:
        assert span.end - span.start <= SLICE
        self.looks.append(span)
        return holes(self.offsets, span)


class Listing(InMemory):
    """Answers which of a query's offsets are there."""

    spans: list[tuple[int, int]]

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        low, high = map(int, re.findall(r"_offset >= (\d+) AND _offset < (\d+)", sql)[0])
        self.spans = [*getattr(self, "spans", []), (low, high)]
        one_of = re.search(r"_offset IN \(([\d, ]+)\)", sql)
        asked = map(int, one_of[1].split(", ")) if one_of else range(low, high)
        return [([each for each in asked if each in self.offsets], [], 1)]


def holes(offsets: set[int], span: OffsetRange) -> list[OffsetRange]:
    found: list[OffsetRange] = []
    start = span.start
    for offset in [*sorted(each for each in offsets if span.start <= each < span.end), span.end]:
        if offset > start:
            found.append(OffsetRange(start, offset))
        start = offset + 1
    return found


places = st.integers(0, 3 * SLICE)


@given(
    blocks=st.lists(st.tuples(places, st.integers(1, 50)), max_size=8),
    start=places,
    length=st.integers(1, 3 * SLICE),
)
def test_gaps_are_those_of_the_offsets(
    blocks: list[tuple[int, int]], start: int, length: int
) -> None:
    offsets = {first + n for first, count in blocks for n in range(count)}
    span = OffsetRange(start, start + length)
    rows = InMemory(offsets)
    assert list(rows.gaps(0, rows.slices(), span)) == holes(offsets, span)


def test_a_dense_table_is_not_looked_at_in_detail() -> None:
    rows = InMemory(set(range(100, 3 * SLICE + 5)))
    assert list(rows.gaps(0, rows.slices(), OffsetRange(50, 4 * SLICE))) == [
        OffsetRange(50, 100),
        OffsetRange(3 * SLICE + 5, 4 * SLICE),
    ]
    assert rows.looks == []


def test_only_slices_with_gaps_are_looked_at() -> None:
    rows = InMemory(set(range(4 * SLICE)) - {2 * SLICE + 7})
    assert list(rows.gaps(0, rows.slices(), OffsetRange(0, 4 * SLICE))) == [
        OffsetRange(2 * SLICE + 7, 2 * SLICE + 8)
    ]
    assert rows.looks == [OffsetRange(2 * SLICE, 3 * SLICE)]


def test_single_offsets_are_looked_for_only_where_they_lie() -> None:
    """However far apart they are, a slice at a time."""
    present = set(range(0, 3 * SLICE, 2))
    chosen = sorted(random.Random(4).sample(range(10, SLICE), 40))
    asked = [*chosen, 2 * SLICE + 1, 2 * SLICE + 2]
    rows = Listing(present)
    assert rows.among(0, asked).stored == [offset for offset in asked if offset in present]
    assert rows.spans == [(chosen[0], chosen[-1] + 1), (2 * SLICE + 1, 2 * SLICE + 3)]


def test_only_what_is_committed_and_still_there_is_checked() -> None:
    def checked(log_start: int, log_end: int, committed: int | None) -> OffsetRange | None:
        return checked_range(LogPartition(0, log_start, log_end, committed))

    assert checked(0, 10, 5) == OffsetRange(0, 5)
    assert checked(3, 10, 10) == OffsetRange(3, 10)
    assert checked(3, 10, 20) == OffsetRange(3, 10)
    assert checked(5, 10, 5) is None
    assert checked(0, 10, None) is None
