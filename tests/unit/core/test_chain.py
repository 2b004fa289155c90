"""What was stored is proved by a look that began later, and told where that finds a loss."""

from __future__ import annotations

import queue
from threading import Event
from typing import Any, cast

import pytest

from nrtctl.clickhouse.client import AccessRefused, ClickHouseGone
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
from nrtctl.store.chain import EVERY, Chain
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


class Mutations:
    """What `system.mutations` and `system.columns` answer."""

    def __init__(self) -> None:
        self.commands: dict[str, list[str]] = {"a": []}
        self.asked = 0

    def query(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
        if "system.columns" in sql:
            return [("events_accepted", "x", "Nullable(UInt32)"), ("events_rejected", "x", "Int8")]
        self.asked += 1
        mutations = [
            (server, "events", f"mutation_{number}.txt", "2026-12-01 10:00:00", command)
            for server, commands in self.commands.items()
            for number, command in enumerate(commands)
        ]
        return [*mutations, *((server, "", "", "", "") for server in self.commands)]


NOBODY = Mutations()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("(DROP COLUMN x)", "without the column x (`DROP COLUMN x` at 2026-12-01 10:00:00)"),
        ("DROP COLUMN IF EXISTS `x`", "without the column x"),
        ("(RENAME COLUMN x TO y)", "without the column x"),
        ("(MODIFY COLUMN `x` Nullable(UInt8) CODEC(ZSTD(1)))", "column x as Nullable(UInt8), whi"),
        ("(MODIFY COLUMN `x` UInt64)", "storing the column x as UInt64, which does not keep every"),
        ("(MODIFY COLUMN `x` Nullable(UInt64) DEFAULT 5 COMMENT 'x')", None),
        ("(DROP COLUMN y)", None),
        ("(CLEAR COLUMN x)", None),
        ("(DELETE WHERE x = 1)", None),
    ],
)
def test_a_column_that_came_back_between_two_looks_is_told(
    monkeypatch: pytest.MonkeyPatch, command: str, said: str | None
) -> None:
    clock, told, mutations = ManualClock(), list[str](), Mutations()
    Looks(monkeypatch, [])
    mutations.commands["a"] = ["(DROP COLUMN x)"]
    chain = make(clock, told)
    assert not chain.broken(mutations)  # before the first insert: that one is no news
    chain.stored([batch(0, 0, 10)])
    mutations.commands["a"] += [command]
    assert not chain.broken(mutations)
    assert not told, "no look was due"
    clock.advance(EVERY)
    assert not chain.broken(mutations)
    assert not chain.unproven
    assert [said is not None and said in each for each in told] == [True] * (said is not None)
    chain.stored([batch(0, 10, 20)])
    mutations.commands["a"] += [command]
    chain.prove(mutations)
    chain.prove(mutations)
    assert len(told) == 2 * (said is not None)
    assert chain.doubted == "\n".join(told), "a later doubt leaves the earlier one"


def test_a_server_that_joins_has_altered_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    told, mutations = list[str](), Mutations()
    Looks(monkeypatch, [])
    chain = Chain(
        Pipeline(fields={"x": "String"}), "d", ManualClock(), cluster="c", tell=told.append
    )
    chain.broken(mutations)
    chain.stored([batch(0, 0, 10)])
    mutations.commands["b"] = ["DROP COLUMN x"]
    chain.prove(mutations)
    assert not told


def test_who_may_not_read_mutations_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(Mutations):
        def query(self, sql: str, parameters: object = None) -> list[tuple[Any, ...]]:
            super().query(sql, parameters)
            raise AccessRefused("not allowed", 497)

    clock, mutations = ManualClock(), Refused()
    Looks(monkeypatch, [])
    chain = make(clock, [])
    for _ in range(3):
        chain.stored([batch(0, 0, 10)])
        assert not chain.broken(mutations)
        assert not chain.unproven
        clock.advance(EVERY)
    assert mutations.asked == 1


def test_a_look_after_each_insert_puts_no_whole_look_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster only a whole look asks the other servers; and what one of them lacks is not
    forgotten because the server that answers lacks nothing."""
    clock, whole = ManualClock(), list[bool]()
    elsewhere = [GONE]

    def look(*_: object, everywhere: bool) -> list[Loss]:
        whole.append(everywhere)
        return elsewhere if everywhere else []

    monkeypatch.setattr(module, "lost", look)
    chain = Chain(Pipeline(fields={"x": "String"}), "d", clock, cluster="c")
    elsewhere.clear()
    assert not chain.broken(NOBODY)
    for _ in range(10):
        clock.advance(EVERY / 4)
        chain.broken(NOBODY, now=True)
    assert whole == [True, *([False] * 3 + [True]) * 2, False, False]
    elsewhere.append(GONE)
    clock.advance(EVERY)
    assert chain.broken(NOBODY)
    assert chain.broken(NOBODY, now=True)
    elsewhere.clear()
    assert not chain.broken(NOBODY)


def test_what_was_stored_since_the_last_good_look_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, told = ManualClock(), list[str]()
    looks = Looks(monkeypatch, [], [], [LOST])
    chain = make(clock, told)
    assert not chain.broken(NOBODY)
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
    assert looks.number == 3  # nothing more was stored
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
    assert pool.start(StartInsert(cast(Any, None), [], None, None, Event())).result(60)
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
