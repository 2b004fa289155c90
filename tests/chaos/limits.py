"""How long anything may take, and what is said when it takes longer. A hang is a failure."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 120.0
"""Seconds for one step, on a machine that does other things too."""

_SHORTEST, _LONGEST = 0.03, 0.25
"""Seconds between two looks."""


class Trouble(Exception):
    """A try went wrong in a way that is neither a loss nor a duplicate."""


class Hang(Trouble):
    """Something did not happen in time."""


class NeverReached(Trouble):
    """The fault did not happen: the try shows nothing."""


def wait_until(true: Callable[[], bool], what: str, *, limit: float = LIMIT) -> None:
    """Raises Hang: `what` did not happen within `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        began = time.monotonic()
        if true():
            return
        now = time.monotonic()
        if now > deadline:
            raise Hang(f"{what}: not within {limit:.0f} s")
        time.sleep(min(max(_SHORTEST, 3 * (now - began)), _LONGEST))
