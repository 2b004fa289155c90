"""How many messages are due by now at a given rate. Called by `producer`."""

from __future__ import annotations

from nrtctl.clock import Clock

TICK_SECONDS = 0.01
MAX_DEBT_SECONDS = 0.5


class Pace:
    """A smooth rate: a hundred small steps a second, or one message at a time below that.

    After a stall it catches up half a second's worth at most, and lets the rest go.

    Args:
        rate: messages a second, above 0.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._origin = clock.monotonic()
        self._spent = 0

    def due(self) -> int:
        """How many messages may be sent now."""
        elapsed = self._clock.monotonic() - self._origin
        due = elapsed * self._rate - self._spent
        most = max(1.0, self._rate * MAX_DEBT_SECONDS)
        if due > most:
            self._origin += (due - most) / self._rate
            due = most
        return int(due + 1e-9)

    def spend(self, count: int) -> None:
        self._spent += count

    def wait(self) -> float:
        """Seconds until `due` is worth asking again."""
        elapsed = self._clock.monotonic() - self._origin
        until_next = (self._spent + 1) / self._rate - elapsed
        return max(until_next, TICK_SECONDS if self._rate * TICK_SECONDS > 1 else 0.001)
