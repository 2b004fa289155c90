"""Several consumers in one process, each on a thread of its own.

One that fails stops alone. It is started again after a pause while the others go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nrtctl.clock import Clock
from nrtctl.clock.stop import Stop
from nrtctl.consumer.observer import Summary

FIRST_PAUSE = 1.0
MAX_PAUSE = 60.0
SETTLED_SECONDS = 60.0
"""A consumer that ran so long is started again after the first pause, not a grown one."""

LOOK_SECONDS = 0.1


class Consumer(Protocol):
    """`consumer.consuming.Consuming`."""

    @property
    def summary(self) -> Summary: ...

    def run(self) -> Summary: ...


Make = Callable[[Summary | None], Consumer]
"""Makes a consumer, given the summary of the run that it continues. May raise as its `run`."""


@dataclass(slots=True)
class Ended:
    """What became of one of them.

    Attributes:
        summary: of all its runs; None: it never began.
        failure: why its last run ended; None: in order.
        restarts: how often it was started again.
        seconds: from the first to the last.
    """

    summary: Summary | None = None
    failure: Exception | None = None
    restarts: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Member:
    name: str
    make: Make
    ended: Ended = field(default_factory=Ended)
    pause: float = FIRST_PAUSE


class SideBySide:
    """Args:
    members: what makes the consumer of each name.
    stop: ends all of them; their own `make` must heed it, too.
    again: one that has failed is started again; else the others go on without it.
    failed: told the name, the error, and the seconds until it is started again (None: it is not),
        on the thread of that consumer.
    more: asked again and again, on the thread of `run`, for members that are new; with it, `run`
        goes on where all have ended, until it is stopped.
    """

    def __init__(
        self,
        members: Mapping[str, Make],
        *,
        stop: Stop,
        again: bool,
        clock: Clock,
        failed: Callable[[str, Exception, float | None], None],
        more: Callable[[], Mapping[str, Make]] | None = None,
    ) -> None:
        self._members: list[_Member] = []
        self._threads: list[threading.Thread] = []
        self._first = members
        self._more = more
        self._stop = stop
        self._again = again
        self._clock = clock
        self._failed = failed
        self._failing = threading.Lock()

    def run(self) -> dict[str, Ended]:
        """Return when all have ended. Where none could begin at first, nothing is tried again."""
        self._start(self._first)
        while (alive := [each for each in self._threads if each.is_alive()]) or self._open():
            if alive:
                alive[0].join(LOOK_SECONDS)  # in between, signals are handled
            else:
                self._clock.sleep(LOOK_SECONDS)
            if self._more is not None and self._open():
                self._start(self._more())
        return {each.name: each.ended for each in self._members}

    def _start(self, members: Mapping[str, Make]) -> None:
        new = [_Member(name, make) for name, make in members.items()]
        self._members += new
        for each in new:
            thread = threading.Thread(
                target=self._consume, args=(each,), name=each.name, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _open(self) -> bool:
        """Whether there may be more members."""
        return self._more is not None and not self._stop.is_set()

    def _hopeless(self) -> bool:
        none_began = all(each.ended.failure and not each.ended.summary for each in self._members)
        return none_began and len(self._members) == len(self._first)

    def _consume(self, member: _Member) -> None:
        began = self._clock.monotonic()
        while self._once(member):
            member.ended.restarts += 1
        member.ended.seconds = self._clock.monotonic() - began

    def _once(self, member: _Member) -> bool:
        """Returns: whether to do it again."""
        began, consumer = self._clock.monotonic(), None
        try:
            consumer = member.make(member.ended.summary)
            member.ended.summary = consumer.summary
            member.ended.failure = None
            member.ended.summary = consumer.run()
        except Exception as error:  # noqa: BLE001 -- the others go on, and the user is told
            if consumer is not None:
                member.ended.summary = consumer.summary
            return self._goes_on(member, error, self._clock.monotonic() - began)
        return False

    def _goes_on(self, member: _Member, error: Exception, seconds: float) -> bool:
        with self._failing:
            member.ended.failure = error
            if self._hopeless():
                self._stop.set()
        if self._stop.is_set() or not self._again:
            self._failed(member.name, error, None)
            return False
        if seconds > SETTLED_SECONDS:
            member.pause = FIRST_PAUSE
        self._failed(member.name, error, member.pause)
        until = self._clock.monotonic() + member.pause
        member.pause = min(MAX_PAUSE, 2 * member.pause)
        while not self._stop.is_set() and self._clock.monotonic() < until:
            self._clock.sleep(LOOK_SECONDS)
        return not self._stop.is_set()
