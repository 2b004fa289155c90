"""The terminal while the view has it: keys without enter, the alternate screen, and everything as
it was before when the view ends, however it ends. Used by `live`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from nrtctl.net.posix import termios, tty
from nrtctl.view.screen import Size
from nrtctl.view.state import keys

ESCAPE_PATIENCE = 0.05
"""Seconds after which an escape byte alone is the escape key."""

HANDLED = tuple(
    getattr(signal, name)
    for name in ("SIGWINCH", "SIGTERM", "SIGHUP", "SIGTSTP")
    if hasattr(signal, name)
)


class Terminal:
    """A context: inside, the view has the terminal. Where stdin is none there are no keys."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.ended = False
        """Whether a signal has asked for the end."""
        self._stdin = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._live: Live | None = None
        self._suspend = False
        self._pending = b""

    def __enter__(self) -> Terminal:
        self._wake_out, self._wake_in = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._handlers: dict[int, Any] = {
            number: signal.signal(number, self._on_signal)
            for number in HANDLED
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        self._take()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_in)
        os.close(self._wake_out)

    def _take(self) -> None:
        if self._stdin is not None:
            self._before = termios.tcgetattr(self._stdin)
            tty.setcbreak(self._stdin)
        self._live = Live(
            console=self.console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._live.start()

    def _give_back(self) -> None:
        try:
            if self._live is not None:
                with contextlib.suppress(OSError):
                    self._live.stop()
                self._live = None
        finally:
            if self._stdin is not None:
                with contextlib.suppress(termios.error):
                    termios.tcsetattr(self._stdin, termios.TCSADRAIN, self._before)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self._suspend = True
        elif number != signal.SIGWINCH:
            self.ended = True
        self.wake()

    def wake(self) -> None:
        """End `wait`; from any thread."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_in, b"x")

    @property
    def size(self) -> Size:
        width, height = self.console.size
        return Size(width, height)

    def show(self, lines: Sequence[Text]) -> None:
        """Write the screen. A terminal that is gone ends the view."""
        if self._live is not None:
            try:
                self._live.update(Text("\n").join(lines), refresh=True)
            except OSError:
                self.ended = True

    def wait(self, seconds: float) -> list[str]:
        """The keys that were pressed; empty after `wake`, a signal, or `seconds`."""
        sources = [self._wake_out] + ([] if self._stdin is None else [self._stdin])
        patience = ESCAPE_PATIENCE if self._pending else seconds
        ready, _, _ = select.select(sources, [], [], patience)
        if self._wake_out in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_out, 4096)
        if self._suspend:
            self._stop_until_continued()
        if self._stdin is not None and self._stdin in ready:
            try:
                data = os.read(self._stdin, 4096)
            except OSError:
                data = b""
            if not data:
                self.ended = True
            found, self._pending = keys(self._pending + data, more=True)
            return found
        if self._pending and not ready:
            found, self._pending = keys(self._pending, more=False)
            return found
        return []

    def _stop_until_continued(self) -> None:
        self._suspend = False
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
