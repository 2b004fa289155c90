"""A command in a pseudo-terminal of its own, whose screen can be read and whose keys be pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyte
import pytest

from tests.plugins.forks import COMMAND, Forks

ALTERNATE_OFF = b"\x1b[?1049l"
CURSOR_ON = b"\x1b[?25h"


class Terminal:
    """A context; the command ends with it. `raw`: all that the command has written."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        width: int = 80,
        height: int = 24,
        forks: Forks | None = None,
    ) -> None:
        """
        Args:
            forks: the command is the arguments of an `nrtctl` that is forked.
        """
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self._master, self._slave = os.openpty()
        self._ends = [self._master, self._slave]
        self._set_size(width, height)
        self._before = termios.tcgetattr(self._slave)
        self.raw = b""
        # Test workers have these of a terminal that is not this one; a shell does not hand them on.
        own = {name: text for name, text in environ.items() if name not in {"COLUMNS", "LINES"}}
        own["TERM"] = "xterm-256color"
        if forks is not None:
            self.process = forks.start(
                COMMAND, command, cwd=cwd, environ=own, stdin=self._slave, stdout=self._slave,
                stderr=self._slave,
            )  # fmt: skip
            return
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**own, "LC_ALL": "C.UTF-8"},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal, as a window does."""
        while self._ends:
            os.close(self._ends.pop())

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def resize(self, width: int, height: int) -> None:
        self._screen.resize(height, width)
        self._screen.reset()
        self._set_size(width, height)
        self.process.send_signal(signal.SIGWINCH)

    def wait_for(self, what: str | Callable[[str], Any], seconds: float = 60) -> str:
        """The screen's text when it holds `what`, or when `what` is true of it."""
        holds = what if callable(what) else lambda text: what in text
        deadline = time.monotonic() + seconds
        while not holds(self.text):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self._read(0)
                if holds(self.text):
                    break
                pytest.fail(f"{what} did not come; ended: {self.process.poll()}\n{self.text}")
            self._read(0.2)
        return self.text

    def wait_for_end(self, seconds: float = 90) -> int:
        """The exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end\n{self.text}"
            self._read(0.1)
        self._read(0)
        return self.process.returncode

    def assert_restored(self) -> None:
        """Lines and echo, the usual screen and the cursor are back."""
        assert termios.tcgetattr(self._slave) == self._before
        assert self.raw.rfind(ALTERNATE_OFF) > self.raw.rfind(b"\x1b[?1049h") > -1
        assert self.raw.rfind(CURSOR_ON) > self.raw.rfind(b"\x1b[?25l") > -1

    def _set_size(self, width: int, height: int) -> None:
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def _read(self, seconds: float) -> None:
        while select.select([self._master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                data = os.read(self._master, 65536)
                self.raw += data
                self._stream.feed(data)
            seconds = 0
