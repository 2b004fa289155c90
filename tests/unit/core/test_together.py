"""Batches of several partitions in one insert: the loop with a group and writers that are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
from nrtctl.consumer.loop import Loop
from nrtctl.errors import NrtctlError
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.kafka.starting_positions import Stopping
from nrtctl.store.batch import Batch
from nrtctl.store.intents import OffsetRange, Position
from nrtctl.store.intents.delivery import Mode
from tests.unit.core.fetched import Message, runs

Step = Callable[[], list[Any] | bool | None]


class Writers:
    """`together` and `alone` say what becomes of an insert; what was sent is kept."""

    def __init__(self) -> None:
        self.sent: list[list[int]] = []
        self.together: Callable[[], bool] = lambda: True
        self.alone: Callable[[], int] = lambda: 0

    def write_together(
        self, batches: Sequence[Batch], declared: float | None, give_up: Event
    ) -> bool:
        assert len({batch.shared for batch in batches}) == 1
        self.sent.append([batch.partition for batch in batches])
        return self.together()

    def write(self, batch: Batch, mode: Mode, declared: float | None, give_up: Event) -> int:
        self.sent.append([batch.partition])
        return self.alone()

    def held(self, batch: Batch, give_up: Event) -> int:
        return 0

    def highest(self, give_up: Event) -> dict[int, int]:
        return {}


class Group:
    """Each fetch runs the next step of the script, again while it gives False. After the last the
    run stops, all answered."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.commits = Commits()
        self.assigned: set[int] = set()
        self.out_of_range: set[int] = set()
        self.joined = True
        self.steps: list[Step] = []
        self.sent: list[Commit] = []

    def subscribe(self, assigned: Any, revoked: Any, lost: Any) -> None:
        self._assign, self._revoke, self._lost = assigned, revoked, lost

    def fetch(self, most: int, timeout: float) -> list[Any]:
        if not self.steps:
            self.stop.set()
            self.answer(Verdict.COMMITTED)
            return []
        found = self.steps[0]()
        if found is False:
            time.sleep(0.005)
            return []
        self.steps.pop(0)
        return runs(*found) if isinstance(found, list) else []

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        for each in commits:
            self.commits.sent(each, answered(each))
            self.sent.append(each)

    def assign(self, *numbers: int) -> list[Message]:
        """Afresh, with a message in each."""
        self.assigned |= set(numbers)
        self._assign({number: Position(0, "e") for number in numbers})
        return [Message(number) for number in numbers]

    def again(self, number: int) -> list[Message]:
        """As whoever gets the partition with its pending intent."""
        self._assign(self.positions([number]))
        return [Message(number)]

    def positions(self, numbers: Sequence[int]) -> dict[int, Position]:
        name = next(each.metadata for each in self.sent if "~" in each.metadata).split("~")[1]
        return {n: Position(0, "e", OffsetRange(0, 1), shared=name) for n in numbers}

    def answer(self, verdict: Verdict, *numbers: int) -> None:
        """To what is open of these partitions, or of all."""
        for number in numbers or range(9):
            for each in reversed(self.sent):
                if each.partition == number:
                    self.commits.answer(each, verdict)
                    break

    def revoke(self, *numbers: int) -> None:
        self._revoke(list(numbers))
        self.commits.forget(numbers)
        self.assigned -= set(numbers)

    def lose(self, *numbers: int) -> None:
        self._lost(list(numbers))
        self.commits.forget(numbers)
        self.assigned -= set(numbers)

    def seek(self, number: int, offset: int) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        if self.assigned:
            self.revoke(*sorted(self.assigned))


class Silent:
    def stored(self, batches: Sequence[Batch], stored: Stored) -> None: ...

    def note(self, text: str) -> None: ...

    def turned(self, partitions: object, group: object) -> None: ...


class Bench:
    def __init__(self, **settings: Any) -> None:
        self.group, self.writers = Group(), Writers()
        self.running, self.go_on = Event(), Event()
        self.loop = Loop(
            "t",
            "events",
            self.group,  # type: ignore[arg-type]
            settings=Settings(max_inserts=2, **settings),
            flush_policy=FlushPolicy(
                Limits(max_wait="1ms"),
                share=alone(max_buffer=2**30, max_inserts=2),
            ),
            inserts=lambda renewals: InsertPool(2, lambda: self.writers, SystemClock()),  # type: ignore[arg-type, return-value]
            holds_all=lambda partition, span: True,
            clock=SystemClock(),
            observer=Silent(),
            stop=self.group.stop,
        )

    def runs(self, *steps: Step) -> list[list[int]]:
        """What was sent, in order."""
        self.group.steps = list(steps)
        self.loop.run()
        return self.writers.sent

    def intents(self, count: int) -> Step:
        """Waits until so many are under way."""
        return self.waits(lambda: len(self.group.commits) >= count)

    def inserts(self, count: int) -> Step:
        """Waits until so many have begun."""
        return self.waits(lambda: len(self.writers.sent) >= count)

    def waits(self, check: Callable[[], bool]) -> Step:
        until = time.monotonic() + 60
        return lambda: check() or time.monotonic() > until

    def held(self, acknowledged: bool) -> Callable[[], bool]:
        """An insert that runs until it is let go on."""

        def insert() -> bool:
            self.running.set()
            self.go_on.wait(60)
            return acknowledged

        return insert

    def declared(self) -> None:
        """All intents are answered well, and time passes for the threads."""
        self.group.answer(Verdict.COMMITTED)
        time.sleep(0.01)

    def declared_and_running(self) -> None:
        self.group.answer(Verdict.COMMITTED)
        assert self.running.wait(60)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def turn() -> None:
    time.sleep(0.01)


def test_small_batches_share_an_insert_and_each_has_its_intent(bench: Bench) -> None:
    group = bench.group
    sent = bench.runs(
        lambda: group.assign(0, 1, 2), bench.intents(3), bench.declared, bench.inserts(1), turn
    )
    assert sent == [[0, 1, 2]]
    intents = [each for each in group.sent if "~" in each.metadata]
    assert [each.partition for each in intents] == [0, 1, 2]
    assert len({each.metadata for each in intents}) == 1
    assert (bench.loop.summary.batches, bench.loop.summary.inserts) == (3, 1)


def test_nothing_goes_before_the_last_intent_is_declared(bench: Bench) -> None:
    group = bench.group

    def most() -> None:
        group.answer(Verdict.COMMITTED, 0, 2)
        group.answer(Verdict.AGAIN, 1)

    seen: list[int] = []

    def look() -> None:
        turn()
        seen.append(len(bench.writers.sent))

    sent = bench.runs(
        lambda: group.assign(0, 1, 2), bench.intents(3), most, look, look,
        lambda: time.sleep(0.06), turn, bench.declared, bench.inserts(1),
    )  # fmt: skip
    assert seen == [0, 0]
    assert [sorted(each) for each in sent] == [[0, 1, 2]]


def test_what_was_not_acknowledged_goes_again_alone(bench: Bench) -> None:
    bench.writers.together = lambda: False
    sent = bench.runs(
        lambda: bench.group.assign(0, 1), bench.intents(2), bench.declared, bench.inserts(3)
    )
    assert sent[0] == [0, 1]
    assert sorted(sent[1:]) == [[0], [1]]


def test_one_whose_intent_is_refused_leaves_the_others_to_go_alone(bench: Bench) -> None:
    def refuse() -> None:
        bench.group.answer(Verdict.REFUSED, 0)
        bench.group.answer(Verdict.COMMITTED, 1, 2)

    sent = bench.runs(
        lambda: bench.group.assign(0, 1, 2), bench.intents(3), refuse, bench.inserts(2)
    )
    assert sorted(sent) == [[1], [2]]


def test_an_acknowledgement_says_nothing_after_a_partition_has_left() -> None:
    """Its next owner may have spent the token first: then the rows of the others were dropped."""
    bench = Bench(session_timeout="6s")
    group = bench.group
    bench.writers.together = bench.held(True)
    bench.loop._settings = bench.loop._settings.model_copy(update={"session_timeout": 0.03})

    def back() -> list[Message]:
        return group.again(0)

    def let_go() -> None:
        bench.go_on.set()
        time.sleep(0.02)

    sent = bench.runs(
        lambda: group.assign(0, 1), bench.intents(2), bench.declared_and_running,
        lambda: group.revoke(0), back, bench.intents(1), bench.declared, let_go, turn, turn,
        bench.declared, bench.inserts(3),
    )  # fmt: skip
    assert sent[0] == [0, 1]
    assert sorted(sent[1:]) == [[0], [1]]
    assert not bench.loop._assignment._inserts


def test_nothing_is_kept_of_an_insert_whose_partitions_are_all_lost(bench: Bench) -> None:
    bench.writers.together = bench.held(True)

    def lose() -> None:
        bench.group.lose(0, 1)
        bench.go_on.set()

    sent = bench.runs(
        lambda: bench.group.assign(0, 1),
        bench.intents(2),
        bench.declared_and_running,
        lose,
        bench.waits(lambda: not bench.loop._assignment._inserts),
    )
    assert sent == [[0, 1]]
    assert not bench.loop._assignment._inserts
    assert bench.loop.summary.records == 0


def test_the_end_begins_nothing_more(bench: Bench) -> None:
    """The client serves a last rebalance after the threads have ended."""
    bench.writers.together = bench.held(False)

    def stopping() -> None:
        bench.go_on.set()
        raise Stopping

    sent = bench.runs(
        lambda: bench.group.assign(0, 1), bench.intents(2), bench.declared_and_running, stopping
    )
    assert sent == [[0, 1]]


def test_an_intent_that_is_answered_at_the_end_begins_nothing(bench: Bench) -> None:
    close = bench.group.close

    def answered() -> None:
        bench.group.answer(Verdict.COMMITTED)
        close()

    def stopping() -> None:
        assert len(bench.group.commits) == 2
        raise Stopping

    bench.group.close = answered  # type: ignore[method-assign]
    assert bench.runs(lambda: bench.group.assign(0, 1), bench.intents(2), stopping) == []


def test_the_error_of_another_batch_is_the_one_that_is_told(bench: Bench) -> None:
    group = bench.group
    bench.writers.together = bench.held(False)

    def fail() -> int:
        bench.running.wait(60)
        bench.go_on.set()
        raise NrtctlError("partition 2 cannot be stored")

    def begin() -> list[Message]:
        messages = group.assign(0, 1)
        group._assign({2: Position(0, "e", OffsetRange(0, 1))})
        group.assigned.add(2)
        return [*messages, Message(2)]

    bench.writers.alone = fail
    with pytest.raises(NrtctlError, match="partition 2"):
        bench.runs(begin, bench.intents(3), bench.declared_and_running, turn, turn)


def test_at_least_once_goes_together_too() -> None:
    bench = Bench(delivery="at-least-once")
    bench.writers.together = lambda: False
    sent = bench.runs(lambda: bench.group.assign(0, 1), bench.inserts(3))
    assert sent[0] == [0, 1]
    assert sorted(sent[1:]) == [[0], [1]]
    assert bench.loop.summary.records == 2
