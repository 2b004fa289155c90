"""Waiting for a condition, with a deadline and a pause, so that nothing spins and nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(check: Callable[[], Found], what: str, *, within: float = 60) -> Found:
    """The first answer of `check` that is true.

    Args:
        what: is waited for.
        within: seconds; generous, since a machine may do other things too.

    Raises:
        AssertionError: there was none in that time.
    """
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.02)
    return found
