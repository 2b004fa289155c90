"""The partitions of this member and the inserts of their batches, as a state machine. Pure: each
event gives the effects that `loop` carries out.

A batch goes alone or with others. What was sent together and does not become certain in time, or
loses a partition meanwhile, is sent again batch by batch: `writer` counts the rows of each then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from threading import Event

from nrtctl.config.model import Batch as BatchLimits
from nrtctl.consumer.effects import (
    AskTopic,
    CommitIntents,
    CommitOffsets,
    DeclaredBatch,
    Effect,
    LookUp,
    ReportStored,
    Say,
    StartInsert,
    StoredOffset,
)
from nrtctl.consumer.insert import Insert, Stored
from nrtctl.consumer.partition import Partition, Stage
from nrtctl.consumer.topic_check import TopicCheck
from nrtctl.store.intents.delivery import Mode

RESTART_SECONDS = 1.0
"""After a batch was given up, before its partition begins again."""


class Assignment:
    """Times are monotonic seconds.

    Args:
        intents: batches are declared before they are inserted.
        topic_check: says which batches are of the topic that is read.
        fresh: names a token that was never used.
    """

    def __init__(
        self,
        limits: BatchLimits,
        *,
        intents: bool,
        topic_check: TopicCheck,
        fresh: Callable[[], str],
    ) -> None:
        self.partitions: dict[int, Partition] = {}
        self.awake: dict[int, Partition] = {}
        """Those of which something is held, under way or still to be said: an idle partition costs
        nothing."""
        self.gathering: dict[int, Partition] = {}
        """Of the awake those without a batch."""
        self.restarting: dict[int, float] = {}
        """Partitions whose batch was given up, and when; they begin again if they stay ours."""
        self._limits = limits
        self._intents = intents
        self._topic_check = topic_check
        self._fresh = fresh
        self._inserts: dict[int, Insert] = {}
        self._planned: set[Insert] = set()
        self._declared: set[int] = set()
        self._to_say: dict[int, Partition] = {}
        """Of the awake those of which a turn may have something to say."""
        self._bytes = 0
        self._resolving: dict[int, Partition] = {}
        """Of which a pending range was not whole when it was last looked at."""

    # Partitions come and go.

    def assigned(self, partitions: Mapping[int, Partition]) -> list[Effect]:
        self.partitions.update(partitions)
        for each in (self.awake, self.gathering, self._to_say):
            each.update(partitions)
        self._bytes += sum(each.size() for each in partitions.values())
        self._resolving |= {n: p for n, p in partitions.items() if p.buffer.pending is not None}
        if self._intents:
            return [LookUp(frozenset(partitions))] if partitions else []
        for partition in partitions.values():
            partition.looked_up(-1)
        return []

    def looked_up(self, numbers: Iterable[int], highest: Mapping[int, int]) -> None:
        """The highest stored offset of these partitions is known; without one they have none."""
        for number in numbers:
            if number in self.partitions:
                self.partitions[number].looked_up(highest.get(number, -1))

    def buffered(self, number: int, size: int) -> None:
        """So many bytes more are held of a partition that is ours, or its end was reached."""
        partition = self.partitions[number]
        self._bytes += size
        self.awake[number] = partition
        if partition.batch is None:
            self.gathering[number] = partition
            if not len(partition.buffer):
                self._to_say[number] = partition

    def left(self, numbers: Sequence[int]) -> list[Effect]:
        """These partitions are not ours any more."""
        for number in numbers:
            self.restarting.pop(number, None)
        return self._without([n for n in numbers if n in self.partitions])

    def given_up(self, number: int, now: float) -> list[Effect]:
        """If the partition stays ours, it begins again where it stands."""
        if number not in self.partitions:
            return []
        self.restarting[number] = now
        return self._without([number])

    def to_restart(
        self, now: float, assigned: Container[int], committing: Container[int]
    ) -> list[int]:
        """Those that begin again now.

        Args:
            assigned: partitions that are ours; `committing`: of which a commit is under way.
        """
        found = []
        for number, since in list(self.restarting.items()):
            if number not in assigned:
                del self.restarting[number]
            elif now - since > RESTART_SECONDS and number not in committing:
                del self.restarting[number]
                found.append(number)
        return found

    def _without(self, numbers: Sequence[int]) -> list[Effect]:
        touched: dict[Insert, None] = {}
        for number in numbers:
            partition = self.partitions.pop(number)
            partition.give_up.set()
            self._bytes -= partition.size()
            for each in (self.awake, self.gathering, self._to_say, self._resolving):
                each.pop(number, None)
            self._declared.discard(number)
            self._topic_check.forget(number)
            insert = self._inserts.pop(number, None)
            if insert is not None:
                insert.leave(number)
                touched[insert] = None
                if insert.is_empty():
                    self._planned.discard(insert)
        return [effect for insert in touched for effect in self._begin_insert(insert)]

    # From a due batch to a stored one.

    def begin(self, groups: Sequence[Sequence[int]], now: float) -> list[Effect]:
        """The next batches of these partitions begin; those of a group go in one insert."""
        for numbers in groups:
            shared = self._fresh() if len(numbers) > 1 else ""
            for number in numbers:
                partition = self._to_say[number] = self.partitions[number]
                del self.gathering[number]
                partition.begin_batch(
                    self._limits.max_rows,
                    self._limits.max_bytes,
                    intents=self._intents,
                    now=now,
                    shared=shared,
                )
            self._plan_insert(numbers, shared=bool(shared))
        begun = [number for numbers in groups for number in numbers]
        effects: list[Effect] = []
        if begun and self._topic_check.batches_begun(begun, now):
            effects.append(AskTopic())
        if not self._intents:
            for number in begun:
                self.partitions[number].declared(None)
            effects += self._checked(begun)
        return effects

    def turn(self, now: float, committing: Container[int]) -> list[Effect]:
        """What is to be committed now. Args: committing: partitions with a commit under way."""
        declared, stored, more = [], [], {}
        for number, partition in self._to_say.items():
            if (batch := partition.batch) is not None:
                if partition.declare_at is None:
                    continue
                if partition.is_to_declare(now) and number not in committing:
                    partition.intent_sent()
                    declared.append(DeclaredBatch(batch, partition.mode is Mode.LOOK))
                else:
                    more[number] = partition
                continue
            if len(partition.buffer):
                continue  # the intent of its next batch says what is stored
            partition.pass_gap()
            if partition.sleeps():
                del self.awake[number], self.gathering[number]
                continue
            more[number] = partition
            if partition.idle() and number not in committing:
                stored.append(_stored(partition))
        self._to_say = more
        effects: list[Effect] = []
        if declared:
            effects.append(CommitIntents(declared))
        if stored:
            effects.append(CommitOffsets(stored))
        return effects

    def at_rest(self, numbers: Iterable[int], committing: Container[int]) -> list[Effect]:
        """These are about to leave: what is stored of them is said."""
        stored = [
            _stored(self.partitions[number])
            for number in numbers
            if number not in committing and self.partitions[number].at_rest()
        ]
        return [CommitOffsets(stored)] if stored else []

    def intent_committed(self, number: int, offset: int, sent: float) -> list[Effect]:
        """Kafka has accepted the intent, which was sent at `sent`."""
        partition = self._declaring(number)
        if partition is None:
            return []
        partition.intent_committed(offset, sent)
        return self._checked([number])

    def intent_refused(self, number: int, now: float) -> list[Effect]:
        """The partition went to another member."""
        return self.given_up(number, now) if self._declaring(number) is not None else []

    def intent_delayed(self, number: int, now: float, why: str) -> list[Effect]:
        """Kafka has not accepted the intent, or not answered: it is sent again."""
        partition = self._declaring(number)
        if partition is None:
            return []
        self._to_say[number] = partition
        seconds = partition.intent_delayed(now)
        if seconds is None:
            return []
        return [
            Say(
                f"partition {number}: Kafka has not accepted the group's offset commits for "
                f"{seconds:.0f} s: {why}; this passes when the group's coordinator accepts "
                "them"
            )
        ]

    def offset_committed(self, number: int, offset: int) -> None:
        """Kafka knows that everything below is stored."""
        if number in self.partitions:
            self.partitions[number].committed = offset

    def topic_confirmed(self) -> list[Effect]:
        """The topic that Kafka was asked for is the one that is read."""
        self._topic_check.confirmed()
        return self._checked(list(self._declared))

    def topic_not_confirmed(self, now: float) -> None:
        """Kafka has not answered that."""
        self._topic_check.not_answered(now)

    def asks_topic(self, now: float) -> list[Effect]:
        return [AskTopic()] if self._topic_check.asks(now) else []

    def stored(self, insert: Insert, stored: Stored | None) -> list[Effect]:
        """The insert has ended. Args: stored: None: what it did is not certain."""
        if insert.shared and (stored is None or not insert.whole):
            return self._one_by_one(insert)
        if stored is None:
            raise ValueError("a batch that goes alone is stored, or its insert fails")
        self._planned.discard(insert)
        batches = []
        for number in insert.ready:
            del self._inserts[number]
            partition = self.partitions[number]
            self.gathering[number] = self._to_say[number] = partition
            batches.append(partition.batch_stored())
        self._bytes -= sum(batch.size for batch in batches)
        return [ReportStored(batches, stored)]

    def abandoned(self, insert: Insert, now: float) -> list[Effect]:
        """The insert was given up, and nothing more was sent."""
        numbers = list(insert.ready)
        return [effect for number in numbers for effect in self.given_up(number, now)]

    def _declaring(self, number: int) -> Partition | None:
        partition = self.partitions.get(number)
        return partition if partition and partition.stage is Stage.DECLARING else None

    def _plan_insert(self, numbers: Sequence[int], *, shared: bool) -> Insert:
        give_up = Event() if shared else self.partitions[numbers[0]].give_up
        insert = Insert(shared, set(numbers), give_up)
        self._inserts.update(dict.fromkeys(numbers, insert))
        self._planned.add(insert)
        return insert

    def _checked(self, numbers: Sequence[int]) -> list[Effect]:
        """Of these, send what is declared and known to be of the topic."""
        effects: list[Effect] = []
        for number in numbers:
            partition = self.partitions[number]
            if partition.stage is not Stage.DECLARED:
                continue
            if not self._topic_check.is_checked(number):
                self._declared.add(number)
            else:
                self._declared.discard(number)
                self._topic_check.forget(number)
                partition.topic_checked()
                insert = self._inserts[number]
                insert.may_send(number, partition.declared_at)
                effects += self._begin_insert(insert)
        return effects

    def _begin_insert(self, insert: Insert) -> list[Effect]:
        """Begin the insert, if nobody is waited for any more and it is not under way."""
        if insert.waiting or insert.begun or insert.is_empty():
            return []
        if not insert.whole:
            return self._one_by_one(insert)
        insert.begun = True
        partitions = [self.partitions[number] for number in insert.ready]
        batches = [partition.insert_begun() for partition in partitions]
        mode = None if insert.shared else partitions[0].mode
        return [StartInsert(insert, batches, mode, insert.oldest(), insert.give_up)]

    def _one_by_one(self, insert: Insert) -> list[Effect]:
        """Each of them alone; what is there already is found by counting."""
        effects: list[Effect] = []
        self._planned.discard(insert)
        for number, declared in insert.ready.items():
            alone = self._plan_insert([number], shared=False)
            alone.may_send(number, declared)
            effects += self._begin_insert(alone)
        return effects

    # What is so.

    def inserts(self) -> int:
        """That have begun, or whose batches are being declared."""
        return len(self._planned)

    def held(self) -> int:
        """Bytes of all partitions ; a pending range counts once it is whole."""
        if not self._resolving:
            return self._bytes
        for number in [n for n, p in self._resolving.items() if not p.fetches_pending()]:
            del self._resolving[number]
        return self._bytes - sum(each.buffer.bytes for each in self._resolving.values())

    def next_intent(self) -> float:
        """When the next intent is to be sent, or sent again; infinite: none is."""
        times = (each.declare_at for each in self._to_say.values())
        return min((at for at in times if at is not None), default=math.inf)

    def waits_for_topic(self) -> bool:
        """Whether a batch could be inserted but for the check of the topic."""
        return bool(self._declared)

    def close(self) -> None:
        """Nothing more is to be sent."""
        for partition in self.partitions.values():
            partition.give_up.set()
        for insert in self._inserts.values():
            insert.give_up.set()


def _stored(partition: Partition) -> StoredOffset:
    buffer = partition.buffer
    return StoredOffset(buffer.partition, partition.stored, buffer.epoch)
