"""A topic and its rows in memory, for what `verify` compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from nrtctl.kafka.partitions import LogPartition
from nrtctl.store.intents import OffsetRange
from nrtctl.store.rows import Double, Slice, TopicRows

WIDTH = 16
"""Offsets of a slice here; the real ones are wider than any test."""


@dataclass
class Stored:
    """What ClickHouse holds: rows and dead letters by partition and offset."""

    rows: dict[int, dict[int, tuple[int, int]]] = field(default_factory=dict)
    by_incarnation: dict[int, tuple[int, int]] = field(default_factory=dict)

    def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[tuple[Any, ...]]:
        assert sql.startswith("SELECT _incarnation, count(), 0 FROM ")
        return [(number, rows, dead) for number, (rows, dead) in self.by_incarnation.items()]

    def command(self, sql: str, settings: Mapping[str, Any] | None = None) -> Any:
        raise AssertionError("verify changes nothing")


class MemoryRows(TopicRows):
    """`TopicRows` over a `Stored`: what is asked of ClickHouse is counted here."""

    def _held(self, partition: int) -> dict[int, tuple[int, int]]:
        assert isinstance(self.storage, Stored)
        return self.storage.rows.get(partition, {})

    def partitions(self) -> dict[int, list[Slice]]:
        assert isinstance(self.storage, Stored)
        return {
            partition: [
                _slice(number, {offset: held[offset] for offset in group})
                for number, group in groupby(sorted(held), key=lambda offset: offset // WIDTH)
            ]
            for partition, held in self.storage.rows.items()
            if held
        }

    def count(self, partition: int, span: OffsetRange) -> int:
        return sum(sum(each) for at, each in self._held(partition).items() if at in span)

    def gaps_within(self, partition: int, span: OffsetRange) -> list[OffsetRange]:
        held = self._held(partition)
        return joined(offset for offset in range(span.start, span.end) if offset not in held)

    def doubles(
        self, partition: int, slices: Sequence[Slice], *, below: int | None = None
    ) -> Iterator[Double]:
        for offset, (stored, dead) in sorted(self._held(partition).items()):
            if stored + dead > 1:
                yield Double(offset, stored, dead, stored + dead - 1)


def _slice(number: int, held: Mapping[int, tuple[int, int]]) -> Slice:
    stored, dead = (sum(each[at] for each in held.values()) for at in (0, 1))
    return Slice(number, stored, dead, len(held), min(held), max(held))


def joined(offsets: Iterable[int]) -> list[OffsetRange]:
    """Ascending offsets as ranges."""
    found: list[OffsetRange] = []
    for offset in offsets:
        if found and found[-1].end == offset:
            found[-1] = OffsetRange(found[-1].start, offset + 1)
        else:
            found.append(OffsetRange(offset, offset + 1))
    return found


@dataclass(frozen=True)
class At:
    """A message, as far as `compare` looks at one."""

    place: int

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)

    def key(self) -> None:
        return None

    def value(self) -> None:
        return None

    def headers(self) -> None:
        return None


@dataclass
class MemoryLog:
    """A topic's log. `looks`: what Kafka says, the last time and from then on the last of them.

    Attributes:
        messages_at: offsets that hold a message, by partition.
        damaged_at: offsets that cannot be read.
    """

    looks: list[list[LogPartition]]
    messages_at: Mapping[int, set[int]] = field(default_factory=dict)
    damaged_at: Mapping[int, set[int]] = field(default_factory=dict)
    id_now: str = "id"
    asked: int = 0

    def partitions(self) -> list[LogPartition]:
        self.asked += 1
        return self.looks[min(self.asked, len(self.looks)) - 1]

    def ends(self) -> dict[int, int]:
        return {each.partition: each.log_end for each in self.looks[-1]}

    def topic_id(self) -> str:
        return self.id_now

    def messages(
        self,
        partition: int,
        spans: Iterable[OffsetRange],
        damaged: Callable[[OffsetRange], None] | None = None,
    ) -> Iterator[At]:
        """A damaged range is told whole, also where it reaches beyond the spans."""
        told = set()
        broken = self.damaged_at.get(partition, set())
        for span in spans:
            for run in joined(sorted(broken)):
                if run not in told and run.start < span.end and span.start < run.end:
                    told.add(run)
                    assert damaged is not None
                    damaged(run)
            for offset in range(span.start, span.end):
                if offset in self.messages_at.get(partition, set()) and offset not in broken:
                    yield At(offset)
