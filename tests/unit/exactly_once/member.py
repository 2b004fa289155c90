"""A member of the group: the consumer's own loop, flush policy, partitions and deliveries.

Kafka and the threads that insert are played here, step by step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

from nrtctl.clock.stop import Stop
from nrtctl.config.model import Batch as Limits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.budget import alone
from nrtctl.consumer.flush_policy import FlushPolicy
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.consumer.loop import Loop
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.kafka.fetched import End, Run
from nrtctl.store import intents
from nrtctl.store.batch import Batch
from nrtctl.store.intents import Incarnation, OffsetRange, Position
from tests.unit.core.fetched import Message, runs
from tests.unit.exactly_once.bookkeeping import check
from tests.unit.exactly_once.threads import Threads

if TYPE_CHECKING:
    from tests.unit.exactly_once.world import World

TABLE = "events"
TOPIC_ID = "one"
SETTINGS = Settings(session_timeout="6s")
LIMITS = [
    Limits(max_rows=rows, max_wait=wait) for rows in (1, 3, 6, 9) for wait in ("1ms", "2s", "4s")
]


class Group:
    """Stands in for `kafka.membership.Group`: commits are carried out at once, or not; their
    answers come in a later fetch, or are lost. Only the owner's are accepted."""

    def __init__(self, world: World, member: Member) -> None:
        self._world = world
        self._member = member
        self.commits = Commits()
        self.assigned: set[int] = set()
        self.out_of_range: set[int] = set()
        self.joined = True
        self.declared: set[tuple[int, OffsetRange]] = set()
        """Batches whose intents Kafka has said to be committed."""
        self._at: dict[int, int] = {}
        self._answers: list[tuple[Commit, Verdict]] = []

    def subscribe(self, assigned: Any, revoked: Any, lost: Any) -> None:
        self._assigned, self._revoked, self._lost = assigned, revoked, lost

    def assign(self, numbers: Sequence[int]) -> None:
        positions = self.positions(numbers)
        self._assigned(positions)
        self.assigned.update(numbers)
        self._at.update({number: found.offset for number, found in positions.items()})

    def revoke(self, numbers: Sequence[int]) -> None:
        self._revoked(list(numbers))
        self._left(numbers)

    def lose(self, numbers: Sequence[int]) -> None:
        self._lost(list(numbers))
        self._left(numbers)

    def _left(self, numbers: Sequence[int]) -> None:
        self.commits.forget(numbers)
        self.assigned.difference_update(numbers)

    def fetch(self, at_most: int, timeout: float) -> list[Run]:
        choose = self._world.choose
        if self._member.ending:
            self._world.clock += 1
            self._world.go_on(self._member)
        while self._answers and choose(3):
            commit, verdict = self._answers.pop(choose(len(self._answers)))
            if commit.partition in self.commits:
                self._heard(commit, verdict)
            self.commits.answer(commit, verdict, "it is away")
        found: list[Run] = []
        for number in sorted(self.assigned):
            if self._member.ending:
                break
            at, topic = self._at[number], self._world.topics[number]
            left = [each for each in topic.offsets if each >= at]
            taken = left[: choose(4)][:at_most]
            found += runs(*[Message(number, offset) for offset in taken])
            if taken:
                self._at[number] = taken[-1] + 1
            if self._world.ends_are_told and len(taken) == len(left) and choose(3) == 0:
                found.append(End(number, topic.end))
        return found

    def _heard(self, commit: Commit, verdict: Verdict) -> None:
        intent = intents.decode_intent(TABLE, commit.offset, commit.metadata)
        if intent is None or intent.batch is None:
            return
        if verdict is Verdict.COMMITTED:
            self.declared.add((commit.partition, intent.batch))
        kind = "renewal" if self._renews(commit) else "intent"
        name = {Verdict.COMMITTED: "taken", Verdict.REFUSED: "refused", Verdict.AGAIN: "lost"}
        self._world.visited.add(f"{kind} {name[verdict]}")

    def _renews(self, commit: Commit) -> bool:
        return any(
            task.renewal is not None and task.batches[0].partition == commit.partition
            for task in self._member.threads.tasks
        )

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        """One request; its answer may be lost, and with it the request or not."""
        world = self._world
        fate = world.choose(8)
        for commit in commits:
            self.commits.sent(commit, answered(commit))
            if fate == 0 or (fate == 1 and world.choose(2)):
                self._answers.append((commit, Verdict.AGAIN))
                continue
            topic = world.topics[commit.partition]
            accepted = topic.owner is self._member or not world.guards.fence
            if accepted:
                topic.committed = commit.offset
                topic.metadata = world.guards.metadata(commit.metadata)
                if ":-:" in commit.metadata:
                    world.visited.add("at rest")
            verdict = Verdict.COMMITTED if accepted else Verdict.REFUSED
            self._answers.append((commit, Verdict.AGAIN if fate == 2 else verdict))

    def positions(self, numbers: Sequence[int]) -> dict[int, Position]:
        topics = self._world.topics
        return {
            number: intents.resume(
                TABLE,
                committed=topics[number].committed,
                metadata=topics[number].metadata,
                log_start=0,
                log_end=topics[number].end,
                fresh=self._world.fresh(),
            )
            for number in numbers
        }

    def seek(self, number: int, offset: int) -> None:
        self._world.visited.add("begun again")
        self._at[number] = offset

    def log_end(self, number: int) -> int | None:
        return self._world.topics[number].end

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        if self.assigned:
            self.revoke(sorted(self.assigned))


class Silent:
    def stored(self, batches: Sequence[Batch], stored: Stored) -> None: ...

    def note(self, text: str) -> None: ...

    def turned(self, partitions: Mapping[int, object], group: object) -> None: ...


class Member:
    """The loop is turned by the world; between two turns the threads go on."""

    def __init__(self, world: World, name: str, until_end: Mapping[int, int] | None) -> None:
        self._world = world
        self.ending = False
        self.asleep_until = 0.0
        self.group = Group(world, self)
        self._questions: list[Future[Any]] = []
        self.loop = Loop(
            "t",
            TABLE,
            self.group,  # type: ignore[arg-type]
            settings=SETTINGS,
            flush_policy=FlushPolicy(
                share=alone(max_inserts=1 + world.choose(3), max_buffer=2**20),
                limits=LIMITS[world.choose(len(LIMITS))],
            ),
            inserts=lambda renewals: self._make_threads(name, renewals),
            holds_all=lambda partition, span: True,
            clock=world,
            observer=Silent(),
            stop=Stop(),
            incarnation=Incarnation(1, TOPIC_ID if world.choose(2) else ""),
            ask_topic=self._ask_topic,
            until_end=until_end,
        )
        self.loop.join()

    def _make_threads(self, name: str, renewals: LeaseRenewals) -> Threads:
        self.threads = Threads(self._world, name, renewals, self.group.declared)
        return self.threads

    def _ask_topic(self) -> Future[Any]:
        self._questions.append(Future())
        return self._questions[-1]

    def _answer_topic(self) -> None:
        question = self._questions.pop(0)
        if self._world.choose(4):
            question.set_result(SimpleNamespace(topic_id=TOPIC_ID))
        else:
            question.set_exception(KafkaException(KafkaError(KafkaError._TRANSPORT)))

    def step(self) -> None:
        """One of the things that the loop or a thread could do now."""
        ready: list[Callable[[], None]] = [self._turn] * 4
        ready += [lambda task=task: self.threads.step(task) for task in self.threads.tasks] * 2
        if self._questions:
            ready += [self._answer_topic] * 2
        if self.threads.look_ups:
            ready += [self.threads.answer_look_up] * 2
        ready[self._world.choose(len(ready))]()

    def _turn(self) -> None:
        self.loop.turn()
        check(self.loop._assignment, self._world.monotonic(), self.group.commits)

    def end(self) -> None:
        """An orderly end: what is buffered is stored, or left pending."""
        self.ending = True
        self.loop.stop()
        self.loop.run()

    def done(self) -> bool:
        """Nothing to do for any of its partitions, and Kafka knows."""
        partitions = self.loop._assignment.partitions
        return not self.loop._assignment.restarting and all(
            partition.stored == self._world.topics[number].end and partition.emptied()
            for number, partition in partitions.items()
        )


_NAMED = re.compile(r"~[0-9a-z]+")
_BATCH = re.compile(r":\d+:")


@dataclass
class Guards:
    """What may be taken out, to see that the tests notice."""

    fence: bool = True
    declare: bool = True
    same_token_first: bool = True
    probe: bool = True
    next_token: bool = True
    stable_token: bool = True
    stable_part_token: bool = True
    delete_until: bool = True
    look: bool = True
    epoch: bool = True
    whole: bool = True
    counted_apart: bool = True
    counted_together: bool = True
    named: bool = True
    one_block: bool = True
    forget_beside: bool = True
    count_rows: bool = True
    wait_for_deletions: bool = True

    def metadata(self, said: str) -> str:
        """What is committed of it."""
        if not self.named or not self.declare:
            said = _NAMED.sub("", said)
        return said if self.declare else _BATCH.sub(":-:", said).rstrip("?")
