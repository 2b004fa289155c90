"""Processes that are measured: their time, CPU and memory, from the kernel. Used by `bench`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nrtctl.errors import NrtctlError

LOOK_SECONDS = 0.02
GIVEN = "BENCH_GIVEN"
"""The variable with what a measured program is told: there are passwords in it."""
NRTCTL = (sys.executable, "-P", "-m", "nrtctl")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process that has ended: seconds, CPU-seconds (user and system, with those of its
    children that it waited for), bytes of memory, and with what it ended (negative: a signal).

    On Linux the memory is that of `LOOK_SECONDS` before the end.
    """

    seconds: float
    cpu: float
    peak_memory: int
    output: bytes
    code: int = 0
    errors: bytes = b""


class Child:
    """A process that does not outlive the block it is used in.

    It gets no Ctrl-C of the terminal's (its parent does), and its stdin closes with its parent.
    """

    def __init__(
        self, title: str, command: Sequence[str], directory: Path, environ: dict[str, str]
    ) -> None:
        self._title = title
        self._out = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        self._errors = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        self._began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603
            list(command), cwd=directory, env=environ, stdin=subprocess.PIPE,
            stdout=self._out, stderr=self._errors, start_new_session=True,
        )  # fmt: skip
        self._ended = False

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._out.close()
        self._errors.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def signal(self, number: int) -> None:
        """Only before `ended` has returned. Popen's own would take the process's usage away."""
        os.kill(self._process.pid, number)

    def close_stdin(self) -> None:
        """What tells a member of a group to drain and end."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, meanwhile: Callable[[], None] = lambda: None) -> Usage:
        """Its usage once it has ended.

        Raises:
            NrtctlError: it failed; with what it said.
        """
        used = self.ended(meanwhile)
        if used.code:
            said = used.errors.decode(errors="replace").strip()
            raise NrtctlError(f"`{self._title}` ended with {used.code}: {said[-2000:]}")
        return used

    def ended(self, meanwhile: Callable[[], None] = lambda: None) -> Usage:
        """Its usage once it has ended, however it did."""
        peak = 0
        while True:
            peak = peak_memory(self._process.pid) or peak
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                break
            meanwhile()
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - self._began
        self._ended = True
        self._process.returncode = code = os.waitstatus_to_exitcode(status)
        self._errors.seek(0)
        self._out.seek(0)
        cpu = used.ru_utime + used.ru_stime
        memory = peak or used.ru_maxrss
        return Usage(seconds, cpu, memory, self._out.read(), code, self._errors.read())


def peak_memory(pid: int) -> int:
    """Bytes, so far; 0: not told here, or it has ended.

    Linux counts the memory of the process that started it into a child's `ru_maxrss` (it is kept
    over exec), so what is asked there is VmHWM, which begins with the program.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            line = next((each for each in file if each.startswith(b"VmHWM:")), None)
    except OSError:
        return 0
    return int(line.split()[1]) * 1024 if line else 0


def cpu_seconds(pid: int) -> float | None:
    """Of a running process and all its threads, user and system; None: not told here."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
