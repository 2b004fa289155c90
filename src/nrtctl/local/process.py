"""What both local processes share: one owner per data directory, an endpoint file, a rotated log.

A local process is started as `python -m nrtctl.local.<broker|front> --data-dir D …`.
It holds `D/lock` while it lives, and announces itself in `D/endpoint.json` once it answers.
Exit codes: 0 stopped as asked, 1 failed, 2 wrong arguments, 10 the data directory is in use,
11 the address cannot be bound, 12 the data directory cannot be written (permission, full disk).
The reason is one line on stderr and in the log.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

EXIT_FAILED = 1
EXIT_LOCKED = 10
EXIT_ADDRESS = 11
EXIT_STORAGE = 12

STORAGE_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


class ProcessError(Exception):
    """A reason not to start. `exit_code` is the process's exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a local process answers. `instance_id` names the data directory, for ever."""

    pid: int
    host: str
    port: int
    instance_id: str
    version: str

    @classmethod
    def read(cls, data_dir: Path) -> Endpoint | None:
        """The endpoint announced in `data_dir`; None if there is none, or it is not readable."""
        try:
            return cls(**json.loads((data_dir / "endpoint.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`: readers see the old or the new content, also after a crash."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class DataDir:
    """The data directory of one local process, owned by at most one process at a time.

    Raises:
        ProcessError: the directory is in use (10) or cannot be written (12).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProcessError(f"{path}: {error.strerror}", EXIT_STORAGE) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = Endpoint.read(path)
            by = f" by process {owner.pid}" if owner else ""
            raise ProcessError(f"{path} is in use{by}", EXIT_LOCKED) from error
        with contextlib.suppress(FileNotFoundError):
            (path / "endpoint.json").unlink()

    def announce(self, endpoint: Endpoint) -> None:
        write_atomically(self.path / "endpoint.json", json.dumps(asdict(endpoint)).encode())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            (self.path / "endpoint.json").unlink()
        os.close(self._lock)


class OneLine(logging.Formatter):
    """A record is one line, whatever a request has put into it; a traceback follows on its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- logging's name
        record.message = _visible(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 -- logging's name
        return "\n".join(map(_visible, super().formatException(ei).split("\n")))


def _visible(text: str) -> str:
    """Without a character that steers the terminal on which the log is read."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def log_to(path: Path, *, max_bytes: int = 8_000_000, backups: int = 3) -> None:
    """Send the root logger to `path`, rotated.

    What cannot be written is dropped: no process waits or fails for its log.
    """
    logging.raiseExceptions = False
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=backups)
    handler.setFormatter(OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)


def when_stdin_closes(then: Callable[[], None]) -> None:
    """Call `then` (from another thread) when whoever holds the other end of stdin is gone."""

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        then()

    threading.Thread(target=watch, name="stdin", daemon=True).start()
