"""The signals that ask for an end, from the first moment on. Called by `cli.main`.

Until a command says what an end is to it (`diagnostics.Interrupts`, the live view), each of them is
what Ctrl-C is: the command is interrupted, what it has begun is cleared away, and it ends with 130.
"""

from __future__ import annotations

import _thread
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN_SECONDS = 0.01
"""How long after an interrupt that Python has dropped it is sent once more."""


def endings() -> list[signal.Signals]:
    """The signals that ask for an orderly end. The terminal's end is one, unless `nohup` or a
    parent has had it ignored."""
    kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] + [signal.SIGHUP] * (not kept)


def prepare() -> None:
    """Make each of them an interrupt, also one that comes while Python runs what it drops the
    exceptions of: callbacks of weak references, which each import has, and `__del__`."""
    for number in endings():
        if number != signal.SIGINT:  # Python has done that, unless we run in the background
            signal.signal(number, _interrupt)
    sys.unraisablehook = _again_after(sys.unraisablehook)


def finish() -> None:
    """What is left is Python's own: a signal simply ends that."""
    for number in endings():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _frame: object) -> None:
    if number == signal.SIGHUP:  # a terminal that closes may send it more than once
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt(number)


def _again_after(
    hook: Callable[[sys.UnraisableHookArgs], object],
) -> Callable[[sys.UnraisableHookArgs], None]:
    def dropped(what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, KeyboardInterrupt):
            hook(what)
            return
        number = next(iter(what.exc_value.args), signal.SIGINT)
        if number == signal.SIGHUP:  # which comes but once, see above
            number = signal.SIGTERM
        _thread.start_new_thread(_send, (_thread.get_ident(), number))

    return dropped


def _send(thread: int, number: int) -> None:
    time.sleep(AGAIN_SECONDS)
    signal.pthread_kill(thread, number)
