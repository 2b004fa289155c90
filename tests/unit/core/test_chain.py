"""What was stored is proved by a look that began later, and told where that finds a loss."""

from __future__ import annotations

import queue
from threading import Event
from typing import Any, cast

import pytest

from nrtctl.clickhouse.client import ClickHouseGone
from nrtctl.clock import ManualClock, SystemClock
from nrtctl.consumer import insert_pool
from nrtctl.consumer.effects import StartInsert
from nrtctl.consumer.insert_pool import InsertPool
from nrtctl.consumer.result import Consumed, NotStored
from nrtctl.errors import ConnectError
from nrtctl.pipeline import Pipeline
from nrtctl.schema.drift import UP, Loss
from nrtctl.store import chain as module
from nrtctl.store.batch import Batch
from nrtctl.store.chain import Chain
from nrtctl.store.intents import OffsetRange

LOST = Loss("d.events has lost the column x: its values would not be stored", UP)
GONE = Loss("d.events does not exist: nothing could be stored", UP, counted=True)


class Looks:
    """Answers to looks, in their order; the last one stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[Loss] | Exception) -> None:
        self.answers = list(answers)
        self.number = 0
        monkeypatch.setattr(module, "lost", self.look)

    def look(self, *_: object, **__: object) -> list[Loss]:
        self.number += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def batch(partition: int, start: int, end: int) -> Batch:
    return Batch(partition, "e", OffsetRange(start, end), list(range(start, end)), [b""], [0])


def make(clock: ManualClock, told: list[str]) -> Chain:
    return Chain(Pipeline(fields={"x": "String"}), "d", clock, tell=told.append)


NOBODY = cast(Any, None)


def test_what_was_stored_since_the_last_good_look_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = ManualClock(), list[str]()
    looks = Looks(monkeypatch, [], [LOST])
    chain = make(clock, told)
    chain.stored([batch(0, 0, 10), batch(1, 0, 5)])
    clock.advance(6)
    assert not chain.broken(NOBODY)
    assert not chain.unproven
    chain.stored([batch(1, 5, 9)])
    chain.stored([batch(1, 9, 12)])
    chain.prove(NOBODY)
    (text,) = told
    assert text == chain.doubted
    assert "lost the column x" in text
    assert "(partition 1: 5\u201311)" in text
    assert "`nrtctl replay load --partition 1 --offset 5:12 --execute`" in text
    chain.prove(NOBODY)
    assert looks.number == 2  # nothing more was stored
    assert chain.broken(NOBODY)
    assert len(told) == 1


def test_many_partitions_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[str]()
    Looks(monkeypatch, [LOST])
    chain = make(ManualClock(), told)
    chain.stored([batch(number, 0, 1) for number in range(5)])
    chain.prove(NOBODY)
    assert "0: 0; 1: 0; 2: 0 and 2 more" in told[0]


def test_what_is_stored_while_a_look_goes_on_waits_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = ManualClock(), list[str]()
    chain = make(clock, told)

    def look(*_: object, **__: object) -> list[Loss]:
        clock.advance(1)
        chain.stored([batch(0, 0, 10)])
        return []

    monkeypatch.setattr(module, "lost", look)
    chain.broken(NOBODY, now=True)
    assert chain.unproven


@pytest.mark.parametrize("answer", [[GONE], ClickHouseGone("away"), ConnectError("refused")])
def test_a_table_that_is_gone_is_no_doubt_and_no_answer_is_none(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Rows that reach no table are missed when they are counted."""
    told = list[str]()
    Looks(monkeypatch, answer)
    chain = make(ManualClock(), told)
    chain.stored([batch(0, 0, 10)])
    chain.prove(NOBODY)
    assert not told
    assert chain.unproven is isinstance(answer, Exception)


def test_a_thread_without_work_and_one_that_ends_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insert_pool, "EVERY", 0.001)
    stored, looks = [False], queue.SimpleQueue[bool]()

    class Writing:
        def write_together(self, *_: object) -> bool:
            stored[0] = True
            return True

    def prove() -> None:
        looks.put(stored[0])
        stored[0] = False

    pool = InsertPool(
        1, lambda: cast(Any, Writing()), SystemClock(), unproven=lambda: stored[0], prove=prove
    )
    assert pool.start(StartInsert(NOBODY, [], None, None, Event())).result(60)
    assert looks.get(timeout=60) is True
    pool.close(60.0)
    assert looks.get(timeout=60) is False


def test_a_run_that_may_have_lost_values_fails() -> None:
    fields = dict.fromkeys(Consumed.__annotations__)
    doubtful = Consumed(**{**fields, "failure": "", "doubted": "perhaps"})  # type: ignore[arg-type]
    failure = NotStored.of(doubtful)
    assert failure is not None
    assert failure.message == "perhaps"
    assert NotStored.of(Consumed(**{**fields, "failure": "", "doubted": ""})) is None  # type: ignore[arg-type]
