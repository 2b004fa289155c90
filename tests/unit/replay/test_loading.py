"""A load from what is asked to its end: what goes on, what is refused, what is forgotten."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.replay.job import Span
from nrtctl.replay.loading import Loading
from nrtctl.replay.ranges import Check, Part

SPAN = Span(100, 200, 50, "")
GOOD = Check(0, 0)


@dataclass
class Work:
    """A load, and what is called of it."""

    begun: dict[int, Span] = field(default_factory=dict)
    other: bool = False
    finishes: bool = True
    loaded: int = 0
    called: list[str] = field(default_factory=list)
    pipeline: Any = field(default_factory=lambda: SimpleNamespace(table="events"))
    again: str = "nrtctl replay load --resume --execute"

    def unfinished(self) -> dict[int, Span]:
        return self.begun

    def refuse_change(self, spans: object) -> None:
        self.called.append("refuse_change")

    def plan(self, first: object, last: object, partitions: object) -> list[Part]:
        return [Part(0, SPAN, ""), Part(1, None, "nothing is stored")]

    def begin(self, spans: object) -> None:
        self.called.append("begin")

    def done(self, spans: object) -> int:
        return self.loaded

    def run(self, spans: object) -> bool:
        self.called.append("run")
        return self.finishes

    def check(self, spans: object) -> Check:
        self.called.append("check")
        return GOOD

    def mend_states(self) -> None:
        self.called.append("mend_states")

    def finish(self) -> None:
        self.called.append("finish")


@dataclass
class Exchange:
    work: Work
    late: bool = False
    checked: Check | None = GOOD

    def begun(self, spans: object) -> bool:
        return self.late

    def refuse(self, spans: object) -> None:
        self.work.called.append("refuse")

    def run(self, spans: object) -> bool:
        self.work.called.append("exchange")
        return self.work.finishes


def load(
    work: Work, exchange: Exchange | None = None, *, swap: bool = False, resume: bool = False
) -> tuple[str, list[int]]:
    """The state at the end, and what was told of the beginning."""
    loading = Loading(work, exchange, swap=swap)  # type: ignore[arg-type]
    loading.parts(":", (), now=0.0, resume=resume)
    told: list[int] = []
    state, check = loading.run(told.append, nullcontext())
    assert (check is None) == (state == "stopped" and exchange is None)
    return state, told


def test_a_new_load_is_written_down_run_checked_and_forgotten() -> None:
    work = Work()
    assert load(work) == ("loaded", [0])
    assert work.called == ["begin", "run", "check", "mend_states", "finish"]


def test_one_that_is_stopped_is_not_forgotten() -> None:
    work = Work(finishes=False)
    assert load(work)[0] == "stopped"
    assert work.called == ["begin", "run"]


def test_another_table_waits_for_its_exchange() -> None:
    work = Work(other=True)
    assert load(work, Exchange(work))[0] == "loaded"
    assert work.called == ["begin", "run", "check"]


def test_an_exchange_refuses_first_and_checks_itself() -> None:
    work = Work(other=True)
    assert load(work, Exchange(work), swap=True)[0] == "swapped"
    assert work.called == ["refuse", "begin", "exchange", "finish"]


def test_what_was_begun_goes_on_as_it_was_and_is_not_begun_again() -> None:
    work = Work(begun={0: SPAN}, loaded=60)
    assert load(work, resume=True) == ("loaded", [60])
    assert work.called == ["refuse_change", "run", "check", "mend_states", "finish"]


def test_an_exchange_under_way_goes_on_where_it_is_asked_for_once_more() -> None:
    work = Work(begun={0: SPAN}, other=True)
    assert load(work, Exchange(work, late=True), swap=True)[0] == "swapped"
    assert "refuse" not in work.called
    assert "begin" not in work.called


@pytest.mark.parametrize(
    ("work", "said", "hint"),
    [
        (Work({0: SPAN}), "events is not finished, and rows are missing until it is", "--execute`"),
        (Work({0: SPAN}, other=True), "a load of events is not finished", "--execute`"),
        (Work({0: SPAN}, other=True, loaded=100), "loaded, but not exchanged", "--swap`"),
    ],
)
def test_another_load_is_refused_while_one_is_unfinished(work: Work, said: str, hint: str) -> None:
    with pytest.raises(NrtctlError, match=said) as refused:
        load(work)
    assert f"{hint} continues it" in (refused.value.hint or "")
    assert "run" not in work.called


def test_nothing_goes_on_where_nothing_was_begun_and_a_range_must_be_one() -> None:
    with pytest.raises(NrtctlError, match="there is no interrupted load"):
        load(Work(), resume=True)
    loading = Loading(Work(), None, swap=False)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        loading.parts("nonsense", (), now=0.0, resume=False)
    assert loading.run(lambda before: None, nullcontext()) == ("dry", None)
