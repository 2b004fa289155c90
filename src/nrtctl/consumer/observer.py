"""What a consumer tells whoever watches it. Implemented by `cli` and by `metrics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nrtctl.consumer.assigned import AssignedPartition
from nrtctl.consumer.buffer import Batch


@dataclass(slots=True)
class Summary:
    """What one run of the consumer did. `letters`: messages that only a dead letter could hold."""

    records: int = 0
    batches: int = 0
    inserts: int = 0
    bytes: int = 0
    letters: int = 0
    reason: str = ""
    partitions: set[int] = field(default_factory=set)

    def add(self, batches: Sequence[Batch], letters: int) -> None:
        """One insert's batches, of a partition each."""
        self.inserts += 1
        self.batches += len(batches)
        self.letters += letters
        for batch in batches:
            self.records += len(batch.offsets)
            self.bytes += len(batch.body)
            self.partitions.add(batch.partition)


class Membership(Protocol):
    """The part of `Group` that may be looked at; it asks nobody."""

    joined: bool

    def log_end(self, partition: int) -> int | None: ...


class Observer(Protocol):
    """Called on the loop's thread, which waits meanwhile: once an insert, a note, a turn."""

    def stored(self, batches: Sequence[Batch], seconds: float) -> None: ...

    def note(self, text: str) -> None: ...

    def turned(self, partitions: Mapping[int, AssignedPartition], group: Membership) -> None: ...
