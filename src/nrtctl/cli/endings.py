"""The signals that ask for an end, from the first moment on. Called by `cli.main`.

Until a command says what an end is to it (`diagnostics.Interrupts`, the live view), each of them is
what Ctrl-C is: the command is interrupted, what it has begun is cleared away, and it ends with 130.
"""

from __future__ import annotations

import signal


def endings() -> list[signal.Signals]:
    """The signals that ask for an orderly end. The terminal's end is one, unless `nohup` or a
    parent has had it ignored."""
    kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] + [signal.SIGHUP] * (not kept)


def prepare() -> None:
    """Make each of them an interrupt."""
    for number in endings():
        if number != signal.SIGINT:  # Python has done that, unless we run in the background
            signal.signal(number, _interrupt)


def finish() -> None:
    """What is left is Python's own: a signal simply ends that."""
    for number in endings():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _frame: object) -> None:
    if number == signal.SIGHUP:  # a terminal that closes may send it more than once
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt
