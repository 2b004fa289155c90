"""Named places where a test may kill or stop the process: `NRTCTL_FAULT=name=N[:stop|:sleep:S]`.

Reached between the steps of exactly once; armed by the command line, never by a program that uses
nrtctl as a library. The crash matrix (tests/chaos) goes through all of them. Without the variable a
call costs one comparison.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Mapping

from nrtctl.errors import ConfigError

POINTS = (
    "assigned",
    "batch-taken",
    "intent-sent",
    "intent-declared",
    "insert-sending",
    "insert-answered",
    "probe-answered",
    "repeat-sending",
    "delete-answered",
    "bisect-answered",
    "dead-letter-answered",
    "idle-commit-sent",
    "idle-committed",
    "revoke-begun",
    "revoke-ended",
    "closing",
)

LETTER_POINTS = ("letter-inserted", "letter-noted", "letter-forgotten")
"""Those of `dlq replay`: the row is in, the log says so, the dead letter is gone."""

REPLAY_POINTS = ("replay-resolved", "replay-moving", "replay-moved")
"""Those of `replay offsets`."""

LOAD_POINTS = (
    "load-begun",
    "load-deleting",
    "load-deleted",
    "load-window-done",
    "load-finishing",
)
"""Those of `replay load`, beside the consumer's."""

SWAP_POINTS = (
    "swap-noted",
    "swap-fenced",
    "swap-exchanged",
    "swap-letters-cleared",
    "swap-letters-copied",
    "swap-letters-moved",
    "swap-applied",
    "swap-unfenced",
)
"""Those of `replay load --swap`, in their order."""

_KNOWN = POINTS + LETTER_POINTS + REPLAY_POINTS + LOAD_POINTS + SWAP_POINTS

_FORM = re.compile(r"([a-z-]+)=([1-9][0-9]*)(?::(stop|sleep:([0-9.]+)))?")


class _Fault:
    def __init__(self, text: str) -> None:
        match = _FORM.fullmatch(text)
        if match is None or match[1] not in _KNOWN:
            raise ConfigError(
                f"NRTCTL_FAULT: {text!r} is not name=N, name=N:stop or name=N:sleep:SECONDS",
                hint=f"names: {', '.join(_KNOWN)}",
            )
        self.name = match[1]
        self.left = int(match[2])
        self.pause = float(match[4]) if match[4] else None
        self.signal = signal.SIGSTOP if match[3] == "stop" else signal.SIGKILL


_fault: _Fault | None = None


def arm(environ: Mapping[str, str] = os.environ) -> None:
    """Read NRTCTL_FAULT. Raises ConfigError: it names no point."""
    global _fault
    text = environ.get("NRTCTL_FAULT")
    _fault = _Fault(text) if text else None


def reach(name: str) -> None:
    """The process has come to the point `name`."""
    fault = _fault
    if fault is None or fault.name != name:
        return
    fault.left -= 1
    if fault.left != 0:
        return
    if fault.pause is not None:
        time.sleep(fault.pause)
    else:
        os.kill(os.getpid(), fault.signal)
