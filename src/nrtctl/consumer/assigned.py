"""One assigned partition, as the loop sees it. Pure state; used by `loop`."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from nrtctl.consumer.buffer import Batch, PartitionBuffer
from nrtctl.envelope import Encode, Headers
from nrtctl.intents.delivery import Mode

AGAIN_FIRST = 0.05
AGAIN_MOST = 2.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What an insert took, how many dead letters only bisecting could find, and how many of its
    messages were there before, from whoever had declared the batch."""

    seconds: float
    letters: int = 0
    before: int = 0


class Fetched(Protocol):
    """The part of confluent-kafka's `Message` that is read here. With an error: the log's end."""

    def error(self) -> Any: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> Headers: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


@dataclass(slots=True)
class AssignedPartition:
    """What is buffered, what is under way, and what is known to be stored.

    Attributes:
        stored: everything below it is stored, or will be delivered to nobody; `committed`: Kafka
            was told so.
        top: offsets up to it may be in the tables; None: not known yet.
        limit: the offset to stop at; None: go on.
        batch: the one under way: its intent is sent, or its insert runs (`flight`).
        again_at: when to send the intent again; None: it is not to be sent.
    """

    buffer: PartitionBuffer
    encode: Encode
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
    flight: Future[Stored | None] | None = None
    give_up: Event = field(default_factory=Event)

    def add(self, messages: Sequence[Fetched], now: float, most: int | None) -> int:
        """Buffer what was fetched, ends of the partition among it; returns how many were taken.

        Args:
            most: take no more; None: all that is below `limit`.
        """
        ends = [message.offset() for message in messages if message.error() is not None]
        ended = bool(ends) and messages[-1].error() is not None
        if ends:
            messages = [message for message in messages if message.error() is None]
        offsets = [message.offset() for message in messages]
        wanted = len(offsets)
        if self.limit is not None:
            wanted = bisect_left(offsets, self.limit)
            ended = ended or wanted < len(offsets)
        limited = wanted
        if most is not None:
            wanted = min(wanted, most)
        if wanted < limited:
            reached = None  # what is left out comes again
        elif self.limit is not None and limited < len(offsets):
            reached = self.limit
        else:
            reached = ends[-1] if ends else None
        if wanted < len(offsets):
            messages, offsets = messages[:wanted], offsets[:wanted]
        rows = self.encode(
            offsets,
            [message.timestamp()[1] for message in messages],
            [message.headers() for message in messages],
            [message.key() for message in messages],
            [message.value() for message in messages],
        )
        self.ended = ended
        taken = self.buffer.extend(offsets, rows, now)
        if reached is not None:
            self.buffer.reached(reached)
        return taken

    def pass_gap(self) -> None:
        """Nothing is under way or buffered: what the log does not deliver need not be stored."""
        if self.batch is None:
            self.stored = max(self.stored, self.buffer.pass_gap())

    def emptied(self) -> bool:
        """What was fetched is stored as far as it can be, and Kafka knows."""
        if self.batch is not None:
            return False
        incomplete = self.buffer.pending is not None
        return incomplete or (not len(self.buffer) and self.stored == self.committed)

    def take(self, max_rows: int, max_bytes: int, *, intents: bool) -> Batch:
        """The next batch becomes the one under way."""
        resolving = self.buffer.pending is not None
        self.batch = batch = self.buffer.take(max_rows=max_rows, max_bytes=max_bytes)
        if not intents:
            self.mode = Mode.ONCE
        elif resolving:
            self.mode = self.first
        else:
            self.mode = Mode.LOOK if self._below_top(batch.span.start) else Mode.NEW
        self.pause = AGAIN_FIRST
        return batch

    def alone(self) -> bool:
        """Whether the next batch cannot go with those of other partitions: of its rows some may be
        there."""
        return self.buffer.pending is not None or self._below_top(self.buffer.position)

    def _below_top(self, offset: int) -> bool:
        return self.top is not None and offset <= self.top

    def bytes(self) -> int:
        """Held in memory: buffered, and under way. A pending range must be fetched whole, whatever
        its size, so it does not count."""
        buffered = self.buffer.bytes if self.buffer.pending is None else 0
        return buffered + (len(self.batch.body) if self.batch is not None else 0)

    def later(self, now: float) -> None:
        """The intent was not taken just now: try again after a growing pause."""
        self.again_at = now + self.pause
        self.pause = min(AGAIN_MOST, self.pause * 2)

    def to_declare(self, now: float) -> bool:
        return self.again_at is not None and self.again_at <= now

    def since(self) -> float:
        """When the longest waiting buffered message came; infinite: there is none."""
        return math.inf if self.buffer.oldest is None else self.buffer.oldest

    def at_limit(self) -> bool:
        return self.limit is not None and (self.ended or self.buffer.seen >= self.limit)

    def at_rest(self) -> bool:
        """Nothing is under way, and Kafka does not know that all before is stored."""
        return self.batch is None and self.stored > self.committed

    def idle(self) -> bool:
        """At rest, and no next batch will soon say it."""
        return self.at_rest() and not len(self.buffer)
