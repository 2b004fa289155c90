"""One assigned partition, as the loop sees it. Pure state; used by `loop`."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event

from nrtctl.consumer.buffer import Batch, PartitionBuffer
from nrtctl.envelope import Row
from nrtctl.intents.delivery import Mode

AGAIN_FIRST = 0.05
AGAIN_MOST = 2.0


@dataclass(slots=True)
class AssignedPartition:
    """What is buffered, what is under way, and what is known to be stored.

    Attributes:
        stored: everything below it is stored; `committed`: Kafka was told so.
        top: offsets up to it may be in the tables; None: not known yet.
        limit: the offset to stop at; None: go on.
        batch: the one under way: its intent is sent, or its insert runs (`flight`).
        again_at: when to send the intent again; None: it is not to be sent.
    """

    buffer: PartitionBuffer
    encode: Row
    stored: int
    committed: int
    first: Mode
    limit: int | None
    ended: bool
    top: int | None = None
    batch: Batch | None = None
    mode: Mode = Mode.NEW
    again_at: float | None = None
    pause: float = AGAIN_FIRST
    flight: Future[tuple[float, int]] | None = None
    give_up: Event = field(default_factory=Event)

    def take(self, max_rows: int, max_bytes: int, *, intents: bool) -> Batch:
        """The next batch becomes the one under way."""
        resolving = self.buffer.pending is not None
        self.batch = batch = self.buffer.take(max_rows=max_rows, max_bytes=max_bytes)
        if not intents:
            self.mode = Mode.ONCE
        elif resolving:
            self.mode = self.first
        else:
            look = self.top is not None and batch.span.start <= self.top
            self.mode = Mode.LOOK if look else Mode.NEW
        self.pause = AGAIN_FIRST
        return batch

    def later(self, now: float) -> None:
        """The intent was not taken just now: try again after a growing pause."""
        self.again_at = now + self.pause
        self.pause = min(AGAIN_MOST, self.pause * 2)

    def at_limit(self) -> bool:
        return self.limit is not None and (self.ended or self.buffer.seen >= self.limit)

    def at_rest(self) -> bool:
        """Nothing is under way, and Kafka does not know that all before is stored."""
        return self.batch is None and self.stored > self.committed

    def idle(self) -> bool:
        """At rest, and no next batch will soon say it."""
        return self.at_rest() and not len(self.buffer)
