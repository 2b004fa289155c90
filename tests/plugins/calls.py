"""Counting calls instead of timing them: what the shape guards stand on."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nrtctl

_PACKAGE = f"{Path(nrtctl.__file__).parent}/"


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Calls of Python functions of nrtctl, and of C functions from within them, by name.

    Also in threads that start meanwhile.
    """
    found: Counter[str] = Counter()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "return" or (event.startswith("c_") and event != "c_call"):
            return
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return
        if event == "call":
            found[f"{code.co_filename.removeprefix(_PACKAGE)}:{code.co_qualname}"] += 1
        elif event == "c_call":
            found[f"c:{argument.__qualname__}"] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def per_message(found: Counter[str], messages: int) -> dict[str, float]:
    """The functions that are called for every message or so, with how often for each.

    What a loop calls every few milliseconds stays far below and is left out.
    """
    return {name: calls / messages for name, calls in found.items() if calls >= messages / 4}
