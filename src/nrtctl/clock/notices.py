"""What is said of a call that does not come back at once. Said by the command line, if it listens.

A call into a client library waits where nobody can look on; so a thread says what it waits for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Thread

AFTER_SECONDS = 3.0

_listener: Callable[[str], None] | None = None


def listen(listener: Callable[[str], None] | None) -> None:
    """Whom to tell; None: nobody, as where a screen is drawn."""
    global _listener
    _listener = listener


@contextmanager
def if_it_lasts(what: Callable[[], str]) -> Iterator[None]:
    """Say `what()` once if what is within takes longer than a moment, unless it is empty."""

    def tell() -> None:
        if _listener is not None and (text := what()):
            _listener(text)

    _watch.begin(tell)
    try:
        yield
    finally:
        _watch.end(tell)


class _Watch:
    """One thread for all calls, since each insert is one: it sleeps until the oldest has lasted."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._due: dict[Callable[[], None], float] = {}
        """In the order of their begin, so of their time."""
        self._thread: Thread | None = None
        self._wakes = 0.0

    def begin(self, tell: Callable[[], None]) -> None:
        with self._changed:
            self._due[tell] = due = time.monotonic() + AFTER_SECONDS
            if self._thread is None or not self._thread.is_alive():  # as in a fork
                self._thread = Thread(target=self._run, name="notices", daemon=True)
                self._thread.start()
            elif due < self._wakes:
                self._changed.notify()

    def end(self, tell: Callable[[], None]) -> None:
        with self._changed:
            self._due.pop(tell, None)

    def _run(self) -> None:
        """Ends once nothing has been waited for in the length of a moment."""
        with self._changed:
            idle = False
            while self._due or not idle:
                idle = not self._due
                now = time.monotonic()
                tell, due = next(iter(self._due.items()), (None, now + AFTER_SECONDS))
                if tell is not None and due <= now:
                    del self._due[tell]
                    # It may wait for Kafka itself.
                    Thread(target=tell, name="notice", daemon=True).start()
                    continue
                self._wakes = due
                self._changed.wait(due - now)
            self._thread = None


_watch = _Watch()
