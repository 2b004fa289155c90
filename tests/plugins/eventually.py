"""Wait for a condition, with a deadline and a pause between two looks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def eventually(check: Callable[[], object], *, within: float, pause: float = 0.05) -> None:
    """Return when `check` is true; the test fails if it is not `within` so many seconds."""
    deadline = time.monotonic() + within
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within:g} s: {getattr(check, '__name__', check)}")
        time.sleep(pause)
