"""What is said of a consumer at work: a line that lives on a terminal, and one line a change."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console

from nrtctl.cli import progress, waits
from nrtctl.cli.diagnostics import Diagnostics
from nrtctl.cli.living_line import ERASE
from nrtctl.cli.progress import ConsumerProgress
from nrtctl.cli.waits import Waits

AWAY = "Kafka does not answer at 127.0.0.1:9092: Connection refused"
CLICKHOUSE = "ClickHouse at http://127.0.0.1:8123 does not answer: "


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    localtime = staticmethod(lambda seconds: seconds)
    strftime = staticmethod(lambda form, seconds: f"at {seconds:.0f}")


@dataclass
class Group:
    joined: bool = True
    rests: bool = False


@dataclass
class Part:
    batch: object = None
    buffer: list[int] = field(default_factory=list)


class Stored:
    before, seconds = 0, 0.05


class Batch:
    offsets = range(10)


Say = Callable[..., tuple[Diagnostics, io.StringIO]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(waits, "time", clock)
    return clock


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    def made(*, terminal: bool) -> tuple[Diagnostics, io.StringIO]:
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        found, written = Diagnostics(color="never"), io.StringIO()
        found._console = Console(file=written, width=80, highlight=False, color_system=None)
        return found, written

    return made


def turn(shown: ConsumerProgress, clock: Clock, partitions: Any, group: Group, count: int) -> None:
    for _ in range(count):
        clock.now += 1
        shown.turned(partitions, group)  # type: ignore[arg-type]


def test_when_piped_each_change_is_a_line_and_none_is_repeated(clock: Clock, say: Say) -> None:
    told, written = say(terminal=False)
    shown = ConsumerProgress(told, lasting=True)
    both, one = {0: Part(), 1: Part()}, {1: Part()}
    turn(shown, clock, {}, Group(joined=False), 5)
    turn(shown, clock, both, Group(), 100)
    turn(shown, clock, one, Group(), 100)
    for _ in range(20):
        shown.waiting(AWAY, 3.0)
        shown.waiting("Kafka does not say whether topic 't' is still the same one", 0.2)
        turn(shown, clock, one, Group(), 3)
    shown.note("Kafka answers again, after 60 s")
    shown.stored([Batch()], Stored())  # type: ignore[list-item, arg-type]
    turn(shown, clock, one, Group(), 100)
    shown.done()
    assert written.getvalue().splitlines() == [
        "reading partitions 0-1",
        "the group has rebalanced: reading partition 1, before 0-1",
        f"warning: waiting, nothing is lost: {AWAY} (trying again in 3.0 s)",
        "Kafka answers again, after 60 s",
    ]


def test_on_a_terminal_the_last_line_says_what_it_does(clock: Clock, say: Say) -> None:
    told, written = say(terminal=True)
    shown = ConsumerProgress(told)

    def last() -> str:
        return written.getvalue().rpartition(ERASE)[2]

    turn(shown, clock, {}, Group(joined=False), 1)
    assert last() == "waiting for the group to assign its partitions"
    turn(shown, clock, {}, Group(), 1)
    assert last() == "waiting for a partition: other consumers of the group have all of them"
    turn(shown, clock, {0: Part()}, Group(), 3)
    assert last() == "waiting for messages since at 1003"
    shown.stored([Batch()], Stored())  # type: ignore[list-item, arg-type]
    assert last() == "10 stored, 10/s, 10 in 50 ms"
    turn(shown, clock, {0: Part(buffer=[1])}, Group(), 1)
    assert last() == "10 stored, 10/s, 10 in 50 ms"
    turn(shown, clock, {0: Part()}, Group(rests=True), 1)
    assert last() == "10 stored; paused until `nrtctl resume`"
    shown.waiting(AWAY, 3.0)
    turn(shown, clock, {0: Part()}, Group(), 2)
    assert last() == "10 stored; Kafka away since at 1007, nothing is lost"
    turn(shown, clock, {0: Part()}, Group(), 9)
    assert last() == "10 stored; waiting for messages since at 1016"
    shown.note("a line above")
    assert f"{ERASE}a line above\n{ERASE}10 stored; waiting" in written.getvalue()
    shown.done()
    assert written.getvalue().endswith(ERASE)


def test_a_line_that_lives_is_no_wider_than_the_terminal(say: Say) -> None:
    told, written = say(terminal=True)
    told.live("x" * 200)
    assert written.getvalue() == ERASE + "x" * 78 + "…"


def test_that_clickhouse_answers_again_is_told(clock: Clock, say: Say) -> None:
    told, written = say(terminal=False)
    wait = Waits(told)
    for why in ("Connection refused", "Remote end closed", "Connection refused"):
        wait.waiting(CLICKHOUSE + why, 0.1)
        clock.now += 10
    wait.over()
    wait.over()
    wait.waiting(CLICKHOUSE + "Connection refused", 0.1)
    said = f"{CLICKHOUSE}Connection refused (trying again in 0.1 s)"
    away = f"warning: waiting, nothing is lost: {said}"
    assert written.getvalue().splitlines() == [
        away,
        "ClickHouse answers again, after 30 s",
        away,
    ]


def test_a_process_beside_others_has_no_line_that_lives(say: Say) -> None:
    told, written = say(terminal=True)
    told.lives = False
    told.about("eu").live("10 stored")
    assert written.getvalue() == ""
