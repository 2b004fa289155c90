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
Members = dict[str, side_by_side.Make]


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
        self.new: list[dict[str, list[Do | str]]] = []
        """Members that are told of later, one look after the other."""

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
            more=self._more(maker) if self.new else None,
        ).run()

    def _more(self, maker: Callable[[list[Do | str]], side_by_side.Make]) -> Callable[[], Members]:
        def more() -> Members:
            new = self.new.pop(0) if self.new else {}
            return {name: maker(todo) for name, todo in new.items()}

        return more

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


def test_members_may_come_later_and_none_need_be_there_at_first() -> None:
    world = World()
    world.new = [{}, {"one": [lambda: None]}, {"two": ["not yet", world.stop.set]}]
    ended = world.run()
    assert list(ended) == ["one", "two"]
    assert world.said == [("two", "not yet", 1.0)]
    assert [each.restarts for each in ended.values()] == [0, 1]


def test_one_that_comes_later_is_tried_again_though_none_has_begun() -> None:
    world = World()
    world.new = [{"late": ["no table", world.stop.set]}]
    ended = world.run()
    assert (ended["late"].restarts, ended["late"].failure) == (1, None)


def test_with_more_to_come_those_that_cannot_begin_at_first_still_end_it() -> None:
    world = World()
    world.new = [{}]
    ended = world.run(one=["no table", "never"])
    assert str(ended["one"].failure) == "no table"
