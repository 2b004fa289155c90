"""Whether the run should end: set in a signal handler, looked at by the loop. No locks."""

from __future__ import annotations


class Stop:
    """Like an Event that nobody waits on; setting it is safe in a signal handler."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set
