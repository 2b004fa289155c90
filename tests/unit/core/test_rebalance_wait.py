"""What a consumer that its group keeps waiting says, by what the coordinator answers."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException

from nrtctl.kafka.rebalance_wait import RebalanceWait


@dataclass
class Member:
    member_id: str
    client_id: str = "nrtctl"
    host: str = "/127.0.0.1"


@dataclass
class Found:
    members: list[Member]
    state: ConsumerGroupState = ConsumerGroupState.PREPARING_REBALANCING


@dataclass
class World:
    now: float = 0.0
    asked: list[Future[Any]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rebalance_wait = RebalanceWait(
            "t",
            "g",
            self._describe,
            own=lambda: "me",
            session_timeout=45,
            clock=self,  # type: ignore[arg-type]
            waiting=lambda reason, seconds: self.waits.append(reason),
            note=self.notes.append,
        )

    def monotonic(self) -> float:
        return self.now

    def _describe(self) -> Future[Any]:
        self.asked.append(Future())
        return self.asked[-1]

    def answer(self, found: Found) -> None:
        self.asked[-1].set_result(found)
        self.rebalance_wait.lasts()

    def lasts(self, seconds: float) -> None:
        self.now += seconds
        self.rebalance_wait.lasts()

    def commits(self, seconds: float) -> None:
        """A commit has not been answered for that much longer."""
        self.now += seconds
        self.rebalance_wait.lasts(commit=True)


def test_it_names_who_must_join_again_and_when_that_ends() -> None:
    world = World()
    world.lasts(2)
    assert world.asked == []
    world.lasts(2)
    world.answer(Found([Member("me"), Member("gone", "kcat", "/10.0.0.7")]))
    assert world.waits == [
        "the group has not assigned partitions of t yet: 1 more in group g (kcat at 10.0.0.7) must "
        "join again, or be silent for 45 s (consumer.session_timeout)"
    ]
    world.lasts(5)
    assert len(world.asked) == 1
    world.lasts(6)
    world.answer(Found([Member(str(number)) for number in range(9)]))
    assert "9 more in group g (nrtctl at 127.0.0.1, nrtctl" in world.waits[1]
    assert ", …)" in world.waits[1]


def test_a_member_too_many_is_told_once() -> None:
    world = World()
    for _ in range(3):
        world.lasts(11)
        world.answer(Found([Member("me"), Member("other")], ConsumerGroupState.STABLE))
    assert world.waits == []
    assert len(world.notes) == 1
    assert "this one takes over when one of them leaves" in world.notes[0]


def test_it_says_why_a_commit_is_not_answered_and_only_while_the_group_is_the_reason() -> None:
    world = World()
    world.commits(4)
    world.asked[-1].set_result(Found([Member("me"), Member("gone")]))
    world.commits(0)
    assert world.waits == [
        "no offset of t is committed, so that no batch can begin: 1 more in group g (nrtctl at "
        "127.0.0.1) must join again, or be silent for 45 s (consumer.session_timeout)"
    ]
    world.commits(11)
    world.asked[-1].set_result(Found([Member("me")], ConsumerGroupState.STABLE))
    world.commits(0)
    assert (len(world.asked), len(world.waits), world.notes) == (2, 1, [])


def test_it_says_that_the_coordinator_does_not_answer() -> None:
    """Other brokers may answer meanwhile."""
    world = World()
    world.lasts(4)
    error = KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE)
    world.asked[-1].set_exception(KafkaException(error))
    world.lasts(0)
    (said,) = world.waits
    assert "has not assigned partitions of t yet" in said
    assert f"coordinator of group g does not answer ({error.str()})" in said
    world.rebalance_wait.ended()
    world.lasts(2)
    assert (len(world.asked), len(world.waits), world.notes) == (1, 1, [])
