"""The consumer's loop when a partition is lost in mid-delivery, and when it ends while joining."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any

import pytest

from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Batch as Limits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.budget import alone
from nrtctl.consumer.flush_policy import FlushPolicy
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.insert_pool import InsertPool
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.consumer.loop import Loop
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.kafka.starting_positions import Stopping
from nrtctl.store.batch import Batch
from nrtctl.store.evidence import LostEnd
from nrtctl.store.intents import Incarnation, Intent, OffsetRange, Position, encode_metadata
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.writer import IntentRefused
from tests.unit.core.fetched import Message, runs

Declare = Callable[[int, OffsetRange, bool], float]


class Writer:
    """Asks for its intent again as soon as it has a batch."""

    def __init__(self, declare: Declare) -> None:
        self._declare = declare
        self.refused = Event()

    def write(self, batch: Batch, mode: Mode, declared: float | None, give_up: Event) -> int:
        try:
            self._declare(batch.partition, batch.span, False)
        except IntentRefused:
            self.refused.set()
            raise
        return 0

    def held(self, batch: Batch, give_up: Event) -> int:
        return 0

    def highest(self, give_up: Event) -> dict[int, int]:
        return {0: 9, 1: 9}


class Group:
    """Assigns partition 0, answers the first commit, and loses the partition at the second."""

    def __init__(self, stop: Stop, *, lose: bool) -> None:
        self.commits = Commits()
        self.assigned: set[int] = set()
        self.out_of_range: set[int] = set()
        self.joined = True
        self.writer: Writer | None = None
        self.refused_in_time = False
        self._stop = stop
        self._lose = lose
        self._sent: list[Commit] = []

    def subscribe(self, assigned: Any, revoked: Any, lost: Any) -> None:
        self._assign, self._lost = assigned, lost

    def fetch(self, most: int, timeout: float) -> list[Any]:
        if not self._lose:
            self._stop.set()
            return []
        if not self.assigned:
            self.assigned = {0}
            self._assign({0: Position(0, "e", OffsetRange(0, 1))})
            return runs(Message(0))
        if len(self._sent) == 1:
            self.commits.answer(self._sent[0], Verdict.COMMITTED)
        elif len(self._sent) == 2 and self.writer is not None:
            self._lost([0])
            self.commits.forget([0])
            self.refused_in_time = self.writer.refused.wait(10)
            self._stop.set()
        return []

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        for each in commits:
            self.commits.sent(each, answered(each))
            self._sent.append(each)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        """The client serves a last assignment, whose offsets are not waited for any more."""
        if not self._lose:
            raise Stopping


def make_loop(
    group: Group,
    stop: Stop,
    until_end: dict[int, int] | None = None,
    topic: Incarnation | None = None,
    log_ends: dict[int, int] | None = None,
    holds_all: Callable[[int, OffsetRange], bool] = lambda partition, span: True,
) -> Loop:
    def inserts(renewals: LeaseRenewals) -> InsertPool:
        group.writer = Writer(renewals.declare)
        return InsertPool(1, lambda: group.writer, SystemClock())  # type: ignore[arg-type, return-value]

    return Loop(
        "t",
        "events",
        group,  # type: ignore[arg-type]
        settings=Settings(max_inserts=1),
        flush_policy=FlushPolicy(
            Limits(max_wait="1ms"),
            share=alone(max_buffer=2**30, max_inserts=1),
        ),
        inserts=inserts,
        holds_all=holds_all,
        clock=SystemClock(),
        observer=Silent(),
        stop=stop,
        until_end=until_end,
        incarnation=topic,
        ask_topic=Future,
        log_ends=lambda: log_ends or {},
    )


class Silent:
    def stored(self, batches: Sequence[Batch], stored: Stored) -> None: ...

    def note(self, text: str) -> None: ...

    def turned(self, partitions: object, group: object) -> None: ...


def test_a_lost_partition_ends_the_wait_for_its_intent() -> None:
    """Else the thread waits for an answer that is never given, and inserts nothing more."""
    stop = Stop()
    group = Group(stop, lose=True)
    make_loop(group, stop).run()
    assert group.refused_in_time


def test_an_end_while_joining_is_an_orderly_one() -> None:
    stop = Stop()
    make_loop(Group(stop, lose=False), stop).run()


class Grown(Group):
    """Assigns partition 0 and one that was added when the run had begun."""

    fetches = 0

    def fetch(self, most: int, timeout: float) -> list[Any]:
        self.fetches += 1
        if self.fetches == 1:
            self.assigned = {0, 1}
            self._assign({0: Position(7, "e"), 1: Position(0, "e")})
        elif self.fetches > 100:
            self._stop.set()
        return []


def test_a_partition_that_was_added_meanwhile_does_not_hold_up_the_end() -> None:
    stop = Stop()
    loop = make_loop(Grown(stop, lose=True), stop, until_end={0: 7})
    assert loop.run().reason == "the log's end"


class Behind(Grown):
    """The log of partition 0 ended at 7 when it was assigned."""

    def fetch(self, most: int, timeout: float) -> list[Any]:
        self.fetches += 1
        if self.fetches == 1:
            self.assigned = {0}
            self._assign({0: Position(7, "e", log_end=7)})
        time.sleep(0.001)
        return []

    def close(self) -> None: ...


def test_rows_beyond_the_end_of_a_log_are_of_messages_that_kafka_has_lost() -> None:
    stop = Stop()
    with pytest.raises(LostEnd, match=r"rows up to offset 9, but the log ends at 8"):
        make_loop(Behind(stop, lose=True), stop, log_ends={0: 8}).run()


def test_a_log_that_has_grown_since_has_the_messages_of_the_rows() -> None:
    stop = Stop()
    loop = make_loop(Behind(stop, lose=True), stop, until_end={0: 7}, log_ends={0: 10})
    assert loop.run().reason == "the log's end"


class Shared(Grown):
    """Another member has partition 1, of which it has committed an offset of `topic`."""

    def __init__(self, stop: Stop, topic: Incarnation) -> None:
        super().__init__(stop, lose=True)
        metadata = encode_metadata("events", Intent(None, "e", topic=topic.tag))
        self._committed = (9, metadata)

    def committed(self, partitions: Sequence[int]) -> dict[int, tuple[int, str]]:
        return dict.fromkeys(partitions, self._committed)

    def fetch(self, most: int, timeout: float) -> list[Any]:
        self.fetches += 1
        if self.fetches == 1:
            self.assigned = {0}
            self._assign({0: Position(7, "e")})
        elif self.fetches > 10:
            self._stop.set()
        return []


@pytest.mark.parametrize(("id_then", "reason"), [("now", "the log's end"), ("before", "")])
def test_what_others_had_stored_of_an_earlier_topic_is_not_the_end(
    id_then: str, reason: str
) -> None:
    stop, now = Stop(), Incarnation(2, "now")
    group = Shared(stop, Incarnation(1 if id_then == "before" else 2, id_then))
    assert make_loop(group, stop, {0: 7, 1: 9}, now).run().reason == reason
