"""Batches of several partitions that go in one insert. Pure; used by `sending`.

An insert costs ClickHouse the analysis of the views and the files of a part, whatever its size; so
small batches that are due go together, under one deduplication token that the intent of each names.

Each batch still stands for itself: whoever gets one of the partitions sends its rows alone under
that token, and counts them, as for any batch that was under way. Whichever of the two comes second
is dropped, so the acknowledgement of the whole says something only while no partition has left.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event

from nrtctl.consumer.assigned import Stored


@dataclass(slots=True)
class Together:
    """One such insert.

    Attributes:
        name: of its token.
        waiting: partitions whose intents are not answered yet.
        declared: when the intents of the others were sent (monotonic seconds; None: no intents).
        whole: no partition has left since the intents were sent.
        give_up: set when one leaves.
        flight: what it will have stored; None: it has not begun.
    """

    name: str
    waiting: set[int]
    declared: dict[int, float | None] = field(default_factory=dict)
    whole: bool = True
    give_up: Event = field(default_factory=Event)
    flight: Future[Stored | None] | None = None

    def __contains__(self, partition: int) -> bool:
        return partition in self.waiting or partition in self.declared

    def answered(self, partition: int, at: float | None) -> None:
        """Kafka has taken the intent."""
        self.waiting.discard(partition)
        self.declared[partition] = at

    def leave(self, partition: int) -> None:
        """The partition went to another member, or its batch was given up."""
        self.waiting.discard(partition)
        self.declared.pop(partition, None)
        self.whole = False
        self.give_up.set()

    def oldest(self) -> float | None:
        """When the first of the intents was sent; None: there are none."""
        times = [at for at in self.declared.values() if at is not None]
        return min(times, default=None)
