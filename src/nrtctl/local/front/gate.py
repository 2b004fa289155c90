"""Statements pass a gate and are counted. Closed, it lets none in. Used by `keeper`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Closed(Exception):
    """The gate did not open in time."""


class Gate:
    """`turn` is how often it has been opened again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False
        self.turn = 0

    @contextmanager
    def passing(self, timeout: float) -> Iterator[int]:
        """Be inside; the turn. Raises Closed."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._closed, timeout):
                raise Closed
            self._inside += 1
            turn = self.turn
        try:
            yield turn
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True

    def empty(self, timeout: float) -> bool:
        """Whether all that were inside have left, within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._inside, timeout)

    def open(self) -> None:
        with self._changed:
            self._closed = False
            self.turn += 1
            self._changed.notify_all()
