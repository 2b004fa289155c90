"""An end that ClickHouse or Kafka holds up: it comes, says what it leaves, and commits nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

import pytest

from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Batch as Limits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer import loop as loop_module
from nrtctl.consumer.budget import alone
from nrtctl.consumer.flush_policy import FlushPolicy
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.insert_pool import InsertPool
from nrtctl.consumer.loop import Loop
from nrtctl.consumer.observer import Summary
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.kafka.fetched import Run
from nrtctl.store.batch import Batch
from nrtctl.store.intents import Position
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.writer import Abandoned
from tests.unit.core.fetched import Message, runs


class Writer:
    """ClickHouse does not take the batch. `deaf`: its answer is waited for, whatever happens."""

    def __init__(self, *, deaf: bool) -> None:
        self.begun = Event()
        self.released = Event()
        self._deaf = deaf

    def write(self, batch: Batch, mode: Mode, declared: float | None, give_up: Event) -> int:
        self.begun.set()
        (self.released if self._deaf else give_up).wait(60)
        raise Abandoned("ClickHouse does not answer")

    def held(self, batch: Batch, give_up: Event) -> int:
        return 0

    def highest(self, give_up: Event) -> dict[int, int]:
        return {}


class Group:
    """One partition with one message; the run is to end once its batch is being sent."""

    def __init__(self, stop: Stop, writer: Writer, *, answers: bool) -> None:
        self.commits = Commits()
        self.assigned: set[int] = {0}
        self.out_of_range: set[int] = set()
        self.joined = True
        self.sent: list[Commit] = []
        self.closed = False
        self._stop = stop
        self._writer = writer
        self._answers = answers
        self._fetched = False

    def subscribe(self, assigned: Any, revoked: Any, lost: Any) -> None:
        self._revoked = revoked
        assigned({0: Position(0, "e")})

    def fetch(self, most: int, timeout: float) -> list[Run]:
        if not self._fetched:
            self._fetched = True
            return runs(Message(0))
        if self._answers:
            for each in self.sent:
                self.commits.answer(each, Verdict.COMMITTED)
        if self._writer.begun.is_set() or (self.sent and not self._answers):
            self._stop.set()
        return []

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        for each in commits:
            self.commits.sent(each, answered(each))
            self.sent.append(each)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self._revoked([0])
        self.closed = True


class Notes:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def turned(self, partitions: object, group: object) -> None: ...


class Refusing(Writer):
    """ClickHouse does not say what is stored, either."""

    def highest(self, give_up: Event) -> dict[int, int]:
        self.begun.set()
        give_up.wait(60)
        raise Abandoned("ClickHouse does not answer")


def ended(
    writer: Writer, watcher: Notes, monkeypatch: pytest.MonkeyPatch, *, answers: bool
) -> tuple[Summary, Group]:
    for name in ("CLOSING_SECONDS", "LAST_COMMITS_SECONDS", "THREADS_SECONDS"):
        monkeypatch.setattr(loop_module, name, 0.2)
    stop = Stop()
    group = Group(stop, writer, answers=answers)
    summary = Loop(
        "t",
        "events",
        group,  # type: ignore[arg-type]
        settings=Settings(max_inserts=1),
        flush_policy=FlushPolicy(
            Limits(max_wait="1ms"),
            share=alone(max_buffer=2**30, max_inserts=1),
        ),
        inserts=lambda renewals: InsertPool(1, lambda: writer, SystemClock()),  # type: ignore[arg-type, return-value]
        holds_all=lambda partition, span: True,
        clock=SystemClock(),
        observer=watcher,
        stop=stop,
    ).run()
    writer.released.set()
    return summary, group


@pytest.mark.parametrize(
    ("deaf", "answers"), [(False, True), (True, True), (False, False)],
    ids=["retrying", "no answer", "no intent"],
)  # fmt: skip
def test_an_end_comes_and_leaves_the_batch_pending(
    deaf: bool, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Notes()
    summary, group = ended(Writer(deaf=deaf), watcher, monkeypatch, answers=answers)
    assert group.closed
    assert summary.records == 0
    assert [each.offset for each in group.sent] == [0]
    assert ["partition 0: 0 " in each and "left pending" in each for each in watcher.notes] == [
        True
    ]


def test_an_end_comes_while_it_is_not_known_what_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary, group = ended(Refusing(deaf=False), Notes(), monkeypatch, answers=True)
    assert group.closed
    assert (summary.records, group.sent) == (0, [])
