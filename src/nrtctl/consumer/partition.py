"""One assigned partition as a state machine: its messages, its one batch, and what is known to be
stored of it. Pure.

    LOOKING_UP ─▶ GATHERING ─▶ DECLARING ─▶ DECLARED ─▶ READY ─▶ INSERTING ─▶ GATHERING

`assignment` tells it what happens; `flush_policy` decides when its next batch begins.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from threading import Event

from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.kafka.fetched import Run
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import RowsEncoder
from nrtctl.store.intents import Position
from nrtctl.store.intents.delivery import Mode

FIRST_PAUSE = 0.05
MAX_PAUSE = 2.0
"""Seconds before an intent that was not accepted is sent again."""

SAY_AFTER = 3.0
SAY_AGAIN = 10.0
"""Seconds of intents that are not accepted, before it is said, and between two times."""


class Stage(Enum):
    """Where a partition stands. In the first two it has no batch."""

    LOOKING_UP = "its highest stored offset is not known yet: no batch may begin"
    GATHERING = "messages gather; no batch is under way"
    DECLARING = "the intent of its batch is to be sent, or is not answered yet"
    DECLARED = "the intent is committed; the topic is still to be checked"
    READY = "its batch may be inserted, as soon as those that it goes with may"
    INSERTING = "its batch is being inserted"


class WrongStage(ValueError):
    """Something happened to a partition that cannot happen where it stands."""

    def __init__(self, partition: Partition) -> None:
        super().__init__(f"partition {partition.buffer.partition} is {partition.stage.name}")


@dataclass(slots=True)
class Partition:
    """What is buffered, what is under way, and what is known to be stored.

    Attributes:
        stored: everything below it is stored, or will be delivered to nobody; `committed`: Kafka
            was told so.
        resume_mode: of a pending batch, which comes first.
        log_end: of the log when it was assigned; None: not known.
        limit: the offset to stop at; None: go on. `ended`: nothing more comes below it.
        highest_stored: offsets up to it may be in the tables; None: not known yet.
        batch: the one under way; None: there is none. `mode`: what is known of it.
        declare_at: when to send its intent (monotonic seconds); None: it is not to be sent.
        declared_at: when the intent that is committed was sent; None: there are no intents.
        give_up: set when nothing more is to be done for the batch.
    """

    buffer: PartitionBuffer
    encode: RowsEncoder
    stored: int
    committed: int
    resume_mode: Mode
    limit: int | None
    ended: bool
    log_end: int | None = None
    highest_stored: int | None = None
    stage: Stage = Stage.LOOKING_UP
    batch: Batch | None = None
    mode: Mode = Mode.NEW
    declare_at: float | None = None
    declared_at: float | None = None
    pause: float = FIRST_PAUSE
    not_accepted_since: float | None = None
    said_at: float = -SAY_AGAIN
    give_up: Event = field(default_factory=Event)

    @classmethod
    def at(
        cls, number: int, position: Position, encode: RowsEncoder, limit: int | None
    ) -> Partition:
        """One that was just assigned."""
        return cls(
            buffer=PartitionBuffer(
                number, position.offset, position.epoch, position.pending, position.shared
            ),
            encode=encode,
            stored=position.offset,
            committed=-1 if position.unsaid else position.offset,
            resume_mode=Mode.LOOK if position.look else Mode.RESUME,
            limit=limit,
            ended=limit is not None and position.offset >= limit,
            log_end=position.log_end,
        )

    # What happens.

    def looked_up(self, highest: int) -> None:
        """The highest offset that the tables hold is known; -1: they hold none."""
        self.highest_stored = highest
        if self.stage is Stage.LOOKING_UP:
            self.stage = Stage.GATHERING

    def fetched(self, run: Run, now: float, at_most: int | None) -> int:
        """Buffer what was fetched; returns how many messages were taken.

        A pending range is taken whole, and counts once it is: it cannot be stored otherwise.

        Args:
            at_most: take no more; None: all that is below `limit`.
        """
        offsets = run.offsets
        limited = wanted = len(offsets)
        if self.limit is not None:
            limited = wanted = bisect_left(offsets, self.limit)
        pending = None if self.buffer.pending_is_whole() else self.buffer.pending
        of_pending = held = 0
        if pending is not None:
            of_pending, held = bisect_left(offsets, pending.end), len(self.buffer)
        if at_most is not None:
            wanted = min(wanted, max(of_pending, at_most - held))
        if wanted < limited:  # what is left out comes again
            reached = None if pending is None or wanted < of_pending else pending.end
        elif limited < len(offsets):
            reached = self.limit
        elif run.end is not None and self.limit is not None:
            reached = min(run.end, self.limit)  # messages before the end may have been left out
        else:
            reached = run.end
        rows = run.rows(self.encode, wanted)
        self.ended = run.end is not None or limited < len(offsets)
        taken = self.buffer.extend(offsets[:wanted], rows, now)
        if reached is not None:
            self.buffer.reached(reached)
        if pending is None:
            return taken
        return len(self.buffer) if self.buffer.pending_is_whole() else 0

    def begin_batch(
        self, max_rows: int, max_bytes: int, *, intents: bool, now: float, shared: str = ""
    ) -> Batch:
        """The next batch is the one under way.

        Args:
            shared: names the token that it goes under with others; empty: its own, or the one that
                a pending batch was sent under before.
        """
        if self.stage is not Stage.GATHERING:
            raise WrongStage(self)
        resolving = self.buffer.pending is not None
        self.batch = batch = self.buffer.take(max_rows=max_rows, max_bytes=max_bytes)
        if shared:
            batch.shared = shared
        if not intents:
            self.mode = Mode.ONCE
        elif resolving:
            self.mode = self.resume_mode
        else:
            self.mode = Mode.LOOK if self._may_be_stored(batch.span.start) else Mode.NEW
        self.pause = FIRST_PAUSE
        self.declare_at = now if intents else None
        self.stage = Stage.DECLARING
        return batch

    def intent_sent(self) -> None:
        self._expect(Stage.DECLARING)
        self.declare_at = None

    def intent_committed(self, offset: int, sent: float) -> None:
        self.committed = offset
        self.declared(sent)

    def declared(self, sent: float | None) -> None:
        """As far as the group goes, the batch may be inserted. Args: sent: None: no intents."""
        self._expect(Stage.DECLARING)
        self.not_accepted_since = None
        self.declared_at = sent
        self.stage = Stage.DECLARED

    def intent_delayed(self, now: float) -> float | None:
        """It was not accepted just now, and is sent again after a growing pause; for how many
        seconds this has lasted, where that is to be said."""
        self._expect(Stage.DECLARING)
        self.declare_at = now + self.pause
        self.pause = min(MAX_PAUSE, self.pause * 2)
        if self.not_accepted_since is None:
            self.not_accepted_since = now
        since = now - self.not_accepted_since
        if since < SAY_AFTER or now - self.said_at < SAY_AGAIN:
            return None  # a rebalance or a new coordinator passes soon
        self.said_at = now
        return since

    def topic_checked(self) -> None:
        self._expect(Stage.DECLARED)
        self.stage = Stage.READY

    def insert_begun(self) -> Batch:
        """The batch that is being inserted: for the first time, or again without the others."""
        batch = self._expect(Stage.READY, Stage.INSERTING)
        self.stage = Stage.INSERTING
        return batch

    def batch_stored(self) -> Batch:
        """The batch, which is no longer under way."""
        batch = self._expect(Stage.INSERTING)
        self.batch = None
        self.stored = batch.span.end
        self.stage = Stage.GATHERING
        return batch

    def pass_gap(self) -> None:
        """Nothing is under way or buffered: what the log does not deliver need not be stored."""
        if self.batch is None:
            self.stored = max(self.stored, self.buffer.pass_gap())

    def _expect(self, *stages: Stage) -> Batch:
        """The batch. Raises WrongStage: the partition is in none of these."""
        if self.stage not in stages or self.batch is None:
            raise WrongStage(self)
        return self.batch

    # What is so.

    def must_go_alone(self) -> bool:
        """Whether the next batch cannot go with those of other partitions: of its rows some may be
        there."""
        return self.buffer.pending is not None or self._may_be_stored(self.buffer.position)

    def _may_be_stored(self, offset: int) -> bool:
        return self.highest_stored is not None and offset <= self.highest_stored

    def size(self) -> int:
        """Bytes that are held: buffered, and under way."""
        return self.buffer.bytes + (self.batch.size if self.batch is not None else 0)

    def fetches_pending(self) -> bool:
        """A pending range is not whole yet. It must be fetched to its end, whatever its size, so
        its bytes do not count as long."""
        return self.buffer.pending is not None and not self.buffer.pending_is_whole()

    def is_news(self, run: Run) -> bool:
        """Whether what was fetched says more than is known: the end of a log is said again and
        again."""
        if run.offsets or self.limit is not None:
            return True
        return run.end is not None and run.end > self.buffer.seen

    def is_to_declare(self, now: float) -> bool:
        return self.declare_at is not None and self.declare_at <= now

    def oldest_arrival(self) -> float:
        """When the longest waiting buffered message came; infinite: there is none."""
        return math.inf if self.buffer.oldest is None else self.buffer.oldest

    def at_limit(self) -> bool:
        return self.limit is not None and (self.ended or self.buffer.seen >= self.limit)

    def finished(self) -> bool:
        """At the limit, and all of it is stored."""
        return self.batch is None and not len(self.buffer) and self.at_limit()

    def emptied(self) -> bool:
        """What was fetched is stored as far as it can be, and Kafka knows."""
        if self.batch is not None:
            return False
        incomplete = self.buffer.pending is not None
        return incomplete or (not len(self.buffer) and self.stored == self.committed)

    def has_work(self) -> bool:
        """Something can still be stored without fetching more."""
        if self.batch is not None:
            return True
        return len(self.buffer) > 0 and not self.fetches_pending()

    def at_rest(self) -> bool:
        """Nothing is under way, and Kafka does not know that all before is stored."""
        return self.batch is None and self.stored > self.committed

    def idle(self) -> bool:
        """At rest, and no next batch will soon say it."""
        return self.at_rest() and not len(self.buffer)

    def sleeps(self) -> bool:
        """There is nothing to do for it before more of it is fetched."""
        return (
            self.batch is None
            and not len(self.buffer)
            and self.buffer.pending is None
            and self.stored <= self.committed
        )
