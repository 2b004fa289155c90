"""Time as an argument: logic takes a `Clock`, never `time.time()` itself.

`SystemClock` is what the commands use; tests pass a `ManualClock`.
"""

from __future__ import annotations

import sys
import time
from typing import Protocol


class Clock(Protocol):
    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back, from an arbitrary start. It goes on while the
        machine sleeps: what is promised to others for a time must not outlive it."""
        ...

    def sleep(self, seconds: float) -> None: ...


def _going_on() -> int | None:
    """The clock that goes on in sleep, which `time.monotonic` does not on Linux and macOS."""
    name = "CLOCK_MONOTONIC" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    clock: int | None = getattr(time, name, None)
    if clock is not None:
        try:
            time.clock_gettime(clock)
        except OSError:  # a system that has the name only
            return None
    return clock


_GOES_ON = _going_on()


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() if _GOES_ON is None else time.clock_gettime(_GOES_ON)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock that only moves when told to, or slept on. `start`: seconds since the epoch."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start

    def time(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    advance = sleep
