"""How long anything may take, and what is said when it takes longer. A hang is a failure."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 120.0
"""Seconds for one step, on a machine that does other things too."""


class Trouble(Exception):
    """A try went wrong in a way that is neither a loss nor a duplicate."""


class Hang(Trouble):
    """Something did not happen in time."""


class NeverReached(Trouble):
    """The fault did not happen: the try shows nothing."""


def wait_until(true: Callable[[], bool], what: str, *, limit: float = LIMIT) -> None:
    """Raises Hang: `what` did not happen within `limit` seconds."""
    deadline = time.monotonic() + limit
    while not true():
        if time.monotonic() > deadline:
            raise Hang(f"{what}: not within {limit:.0f} s")
        time.sleep(0.03)
