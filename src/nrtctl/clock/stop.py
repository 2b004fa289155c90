"""Whether the run should end: set in a signal handler, looked at by the loop. No locks."""

from __future__ import annotations

from threading import Event


class Stop:
    """Like an Event that nobody waits on; setting it is safe in a signal handler.

    Args:
        event: somebody else's, which stops the run as well, and is never set here.
    """

    def __init__(self, event: Event | None = None) -> None:
        self._set = False
        self._event = event

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set or (self._event is not None and self._event.is_set())
