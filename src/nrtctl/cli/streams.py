"""Owns the three standard streams: whatever they are, writing to them never fails in the middle.

Called by `cli.main`. A stream may be closed, full, or a pipe whose reader has gone; a locale may
know ASCII only. What is said on stderr is then lost, and nothing else. What stdout does not take is
remembered: whoever goes on writing asks `stdout_failed`, and `finish` makes it the command's end.
So a command that has something to finish or to judge does so, and its exit code is that.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import sys
from typing import Any

STDIN, STDOUT, STDERR = 0, 1, 2
BUFFER = 64 * 1024
UNWRITTEN = 1
MAX_SIZE = 10_000
"""More columns or lines than any terminal has."""


class _Raw(io.FileIO):
    """A descriptor that takes all that is written, and keeps what went wrong in `error`."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.error is None:
            try:
                written = super().write(left)
                if written is None:  # somebody else has made it non-blocking
                    select.select([], [self], [])
                else:
                    left = left[written:]
            except OSError as error:
                self.error = error
        return size


_stdout: _Raw | None = None


def prepare() -> None:
    """Give the process three streams that can be used, and a size of the terminal that is one."""
    global _stdout
    for name in ("COLUMNS", "LINES"):
        given = os.environ.get(name, "")
        if not (given.isascii() and given.isdigit() and 0 < int(given) <= MAX_SIZE):
            os.environ.pop(name, None)
    _occupy()
    _stdout = _Raw(STDOUT)
    sys.stdout = _text(_stdout, sys.stdout, buffered=True)
    sys.stderr = _text(_Raw(STDERR), sys.stderr, buffered=False)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(STDIN, closefd=False)))


def _occupy() -> None:
    """Where a descriptor is closed, the next file or connection would get its number. What takes
    its place is no more readable, or writable, than before; on stderr all is lost."""
    for number, flags in (
        (STDIN, os.O_WRONLY),
        (STDOUT, os.O_RDONLY),
        (STDERR, os.O_WRONLY),
    ):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, flags), True)


def _text(raw: _Raw, before: Any, *, buffered: bool) -> io.TextIOWrapper:
    """What the encoding does not have is written as an escape. stderr goes out at once, so that a
    signal's handler may write while something else does."""
    binary: Any = io.BufferedWriter(raw, BUFFER) if buffered else raw
    return io.TextIOWrapper(
        binary,
        encoding=getattr(before, "encoding", None),
        errors="backslashreplace",
        line_buffering=raw.isatty(),
        write_through=not buffered,
    )


def stdout_failed() -> bool:
    """Whether nobody gets what is written to stdout from here on."""
    return _stdout is not None and _stdout.error is not None


def _is_device() -> bool:
    """Whether stdout is or was a terminal; one that was closed does not say so any more."""
    return stat.S_ISCHR(os.fstat(STDOUT).st_mode)


def finish(code: int) -> int:
    """Write what is left; the exit code. A reader that has had enough, or a terminal that was
    closed, is no failure."""
    if _stdout is None:
        return code
    sys.stdout.flush()
    error = _stdout.error
    if error is None or error.errno == errno.EPIPE or (error.errno == errno.EIO and _is_device()):
        return code
    why = "it is closed" if error.errno == errno.EBADF else os.strerror(error.errno or 0)
    sys.stderr.write(f"error: the output cannot be written to stdout: {why}\n")
    return code or UNWRITTEN
