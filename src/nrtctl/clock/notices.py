"""What is said of a call that does not come back at once. Said by the command line, if it listens.

A call into a client library waits where nobody can look on; so a timer says what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

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

    timer = Timer(AFTER_SECONDS, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
