"""Whether a command is alive and ready. Set by what measures, read by `server`'s threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nrtctl.clock import Clock


class TurningHealth:
    """Of a command whose main loop turns.

    Args:
        stale: seconds without a turn after which it counts as hung; None: it may wait for ever.
        complaints: why it is not ready.
    """

    def __init__(
        self, clock: Clock, stale: float | None, complaints: Callable[[], Sequence[str]]
    ) -> None:
        self._clock = clock
        self._stale = stale
        self._complaints = complaints
        self._turned = clock.monotonic()

    def turned(self) -> None:
        self._turned = self._clock.monotonic()

    def alive(self) -> Sequence[str]:
        since = self._clock.monotonic() - self._turned
        if self._stale is None or since <= self._stale:
            return []
        return [f"the main loop has not turned for {since:.0f} s"]

    def ready(self) -> Sequence[str]:
        return self._complaints()
