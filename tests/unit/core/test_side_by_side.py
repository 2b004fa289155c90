"""Several consumers in one process: which of them goes on, and which is started again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.consumer import side_by_side
from nrtctl.consumer.observer import Summary
from nrtctl.consumer.side_by_side import Ended, SideBySide
from nrtctl.errors import NrtctlError
from tests.plugins.waiting import eventually

Do = Callable[[], None]


class Consumer:
    def __init__(self, summary: Summary | None, do: Do) -> None:
        self.summary = summary or Summary()
        self._do = do

    def run(self) -> Summary:
        self.summary.records += 1
        self._do()
        return self.summary


class World:
    """Consumers that do what they are told, and what was said of them."""

    def __init__(self, *, again: bool = True) -> None:
        self.stop = Stop()
        self.said: list[tuple[str, str, float | None]] = []
        self._again = again

    def run(self, **members: list[Do | str]) -> dict[str, Ended]:
        """Args: members: what each does in its runs, one after the other; a text is an error of
        its making."""

        def maker(todo: list[Do | str]) -> side_by_side.Make:
            def make(summary: Summary | None) -> Consumer:
                do = todo.pop(0)
                if isinstance(do, str):
                    raise NrtctlError(do)
                return Consumer(summary, do)

            return make

        return SideBySide(
            {name: maker(todo) for name, todo in members.items()},
            stop=self.stop,
            again=self._again,
            clock=SystemClock(),
            failed=lambda name, error, pause: self.said.append((name, str(error), pause)),
        ).run()

    def until_stopped(self) -> None:
        eventually(self.stop.is_set, "the end")


def fail() -> None:
    raise ValueError("a surprise")


def test_one_that_fails_is_begun_again_and_goes_on_counting() -> None:
    world = World()
    ended = world.run(bad=[fail, "no table", world.stop.set], good=[world.until_stopped])
    assert world.said == [("bad", "a surprise", 1.0), ("bad", "no table", 2.0)]
    bad, good = ended["bad"], ended["good"]
    assert (bad.restarts, bad.failure) == (2, None)
    assert (good.restarts, good.failure) == (0, None)
    assert bad.summary is not None
    assert bad.summary.records == 2


def test_where_the_end_is_asked_for_the_failure_stays() -> None:
    world = World()
    failing = threading.Event()

    def stop_once_it_has_failed() -> None:
        failing.wait(60)
        world.stop.set()

    def fail_and_say_so() -> None:
        failing.set()
        fail()

    ended = world.run(bad=[fail_and_say_so] * 9, good=[stop_once_it_has_failed])
    assert isinstance(ended["bad"].failure, ValueError)
    assert ended["good"].failure is None


def test_with_an_end_in_sight_nothing_is_begun_again() -> None:
    world = World(again=False)
    ended = world.run(bad=[fail], good=[lambda: None])
    assert world.said == [("bad", "a surprise", None)]
    assert (ended["bad"].restarts, ended["good"].failure) == (0, None)


def test_where_none_could_begin_nothing_is_tried_again() -> None:
    world = World()
    ended = world.run(one=["no table", "never"], two=["no topic", "never"])
    assert {name: str(each.failure) for name, each in ended.items()} == {
        "one": "no table", "two": "no topic",
    }  # fmt: skip
    assert [each.summary for each in ended.values()] == [None, None]
    assert world.said[-1][2] is None
