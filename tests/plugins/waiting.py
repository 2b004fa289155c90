"""Waiting for a condition, with a deadline and a pause, so that nothing spins and nothing hangs.

The pause is three times as long as the look before it took, within bounds: most of the CPU is for
what is waited for, also where a look is a statement or a whole command.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
_SHORTEST, _LONGEST = 0.02, 0.25
"""Seconds between two looks."""


def eventually(check: Callable[[], Found], what: str, *, within: float = 60) -> Found:
    """The first answer of `check` that is true.

    Args:
        what: is waited for.
        within: seconds; generous, since a machine may do other things too.

    Raises:
        AssertionError: there was none in that time.
    """
    deadline = time.monotonic() + within
    while True:
        began = time.monotonic()
        if found := check():
            return found
        now = time.monotonic()
        assert now < deadline, f"not within {within:g} s: {what}"
        time.sleep(min(max(_SHORTEST, 3 * (now - began)), _LONGEST))
