"""What a consumer tells whoever watches it. Implemented by `cli` and by `metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nrtctl.consumer.insert import Stored
from nrtctl.consumer.partition import Partition
from nrtctl.store.batch import Batch
from nrtctl.store.intents import Incarnation, OffsetRange


@dataclass(slots=True)
class Summary:
    """What one run of the consumer did.

    Attributes:
        records: messages that it has stored, as rows or as dead letters.
        resolved: messages of batches that others had declared, and had stored before.
        letters: messages that only a dead letter could hold.
        failure: why batches that it held were not stored, where somebody must change something.
        doubted: what may have been stored without all of its values, and what stores it again.
        left: batches that were left pending at the end.
        spans: of the batches of which nothing had been stored before, by partition; those that
            follow on one another are one.
        topic: that the spans are of; None: of more than one, since it was made again meanwhile.
    """

    records: int = 0
    resolved: int = 0
    batches: int = 0
    inserts: int = 0
    bytes: int = 0
    letters: int = 0
    left: int = 0
    reason: str = ""
    failure: str = ""
    doubted: str = ""
    partitions: set[int] = field(default_factory=set)
    spans: dict[int, list[OffsetRange]] = field(default_factory=dict)
    topic: Incarnation | None = None

    def add(self, batches: Sequence[Batch], stored: Stored) -> None:
        """One insert's batches, of a partition each."""
        self.inserts += 1
        self.batches += len(batches)
        self.letters += stored.letters
        self.records -= stored.before
        self.resolved += stored.before
        for batch in batches:
            if not stored.before:
                self._stored(batch.partition, batch.span)
            self.records += len(batch.offsets)
            self.bytes += batch.size
            self.partitions.add(batch.partition)

    def _stored(self, partition: int, span: OffsetRange) -> None:
        spans = self.spans.setdefault(partition, [])
        if spans and spans[-1].end == span.start:
            spans[-1] = OffsetRange(spans[-1].start, span.end)
        else:
            spans.append(span)


class Membership(Protocol):
    """The part of `Group` that may be looked at; it asks nobody. `rests`: it is paused."""

    joined: bool
    rests: bool

    def log_end(self, partition: int) -> int | None: ...


class Observer(Protocol):
    """Called on the loop's thread, which waits meanwhile: once an insert, a note, a turn. `note` is
    called by those that insert, too."""

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None: ...

    def note(self, text: str) -> None: ...

    def turned(self, partitions: Mapping[int, Partition], group: Membership) -> None: ...
