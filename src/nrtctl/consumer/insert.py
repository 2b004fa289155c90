"""One insert on its way: of the batch of one partition, or of small ones of several. Pure.

An insert costs ClickHouse the analysis of the views and the files of a part, whatever its size; so
small batches that are due go together, under one deduplication token that the intent of each names.

Each batch still stands for itself: whoever gets one of the partitions sends its rows alone under
that token, and counts them, as for any batch that was under way. Whichever of the two comes second
is dropped, so the acknowledgement of the whole says something only while no partition has left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event


@dataclass(frozen=True, slots=True)
class Stored:
    """What an insert took, how many dead letters only bisecting could find, and how many of its
    messages were there before, from whoever had declared the batch."""

    seconds: float
    letters: int = 0
    before: int = 0


@dataclass(slots=True, eq=False)
class Insert:
    """One such insert.

    Attributes:
        shared: it was made for several batches.
        waiting: partitions whose batches may not be sent yet.
        ready: when the intents of the others were sent (monotonic seconds; None: no intents).
        whole: no partition has left since the intents were sent.
        give_up: set when it is not to be sent, or not to be waited for.
        begun: it is being sent.
    """

    shared: bool
    waiting: set[int]
    give_up: Event
    ready: dict[int, float | None] = field(default_factory=dict)
    whole: bool = True
    begun: bool = False

    def may_send(self, partition: int, declared: float | None) -> None:
        """The batch of the partition may be sent."""
        self.waiting.discard(partition)
        self.ready[partition] = declared

    def leave(self, partition: int) -> None:
        """The partition went to another member, or its batch was given up."""
        self.waiting.discard(partition)
        self.ready.pop(partition, None)
        self.whole = False
        self.give_up.set()

    def is_empty(self) -> bool:
        """All partitions have left."""
        return not self.waiting and not self.ready

    def oldest(self) -> float | None:
        """When the first of the intents was sent; None: there are none."""
        times = [at for at in self.ready.values() if at is not None]
        return min(times, default=None)
