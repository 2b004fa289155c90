"""What both local processes share: one owner per data directory, an endpoint file, a rotated log.

A local process is started as `python -m nrtctl.local.<broker|front> --data-dir D …`.
It holds `D/lock` while it lives, and announces itself in `D/endpoint.json` once it answers.
`D` is its working directory, and it reaches its files from there: whatever becomes of the path `D`,
it never touches what another process has at that path. Once `D` no longer leads to its own
directory, it ends at once, with nothing written and nothing acknowledged.
Exit codes: 0 stopped as asked, 1 failed, 2 wrong arguments, 10 the data directory is in use,
11 the address cannot be bound, 12 the data directory cannot be written (permission, full disk),
13 the data directory is gone, or another one is in its place.
The reason is one line on stderr and in the log.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from nrtctl.net.posix import fcntl

EXIT_FAILED = 1
EXIT_LOCKED = 10
EXIT_ADDRESS = 11
EXIT_STORAGE = 12
EXIT_NOT_OURS = 13

ENDPOINT = "endpoint.json"

LOCK_WITHIN = 1.0
"""Seconds: a command that asks whether the directory is in use holds the lock for a moment."""
LOOK_EVERY, ASKED_AGAIN_AFTER = 0.1, 0.01
"""Seconds between two looks whether the directory is still there: by itself, and where answers
depend on it."""

STORAGE_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


class ProcessError(Exception):
    """A reason not to start. `exit_code` is the process's exit code."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a local process answers.

    `instance_id` names the data directory, for ever. `lock` is the inode of its lock, so that a
    copy of the directory announces nobody; None: a version before has written it.
    """

    pid: int
    host: str
    port: int
    instance_id: str
    version: str
    lock: int | None = None

    @property
    def address(self) -> str:
        return joined(self.host, self.port)

    @classmethod
    def read(cls, data_dir: Path) -> Endpoint | None:
        """The endpoint announced in `data_dir`; None if there is none, or it is not readable."""
        try:
            found = cls(**json.loads((data_dir / ENDPOINT).read_text()))
            if found.lock not in (None, os.stat(data_dir / "lock").st_ino):
                return None
        except (OSError, ValueError, TypeError):
            return None
        whole = isinstance(found.host, str) and all(
            isinstance(number, int) and number > 0 for number in (found.pid, found.port)
        )
        return found if whole else None


def joined(host: str, port: int) -> str:
    """Host and port as one address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data`: readers see the old or the new content, also after a crash."""
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


class DataDir:
    """The data directory of one local process, owned by at most one process at a time.

    It becomes the working directory.

    Raises:
        ProcessError: the directory is in use (10), cannot be written (12), or has been replaced
            while it was opened (13).
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock_path = str(self.path / "lock")
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.chdir(path)
            self._lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProcessError(f"{path}: {error.strerror}", EXIT_STORAGE) from error
        self._announced = b""
        self._announcing = threading.Lock()
        self._take_lock()
        self._own = os.fstat(self._lock)
        self._checked = time.monotonic()
        if not self.is_ours():
            raise ProcessError(self._why_not_ours(), EXIT_NOT_OURS)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ENDPOINT)

    def _take_lock(self) -> None:
        deadline = time.monotonic() + LOCK_WITHIN
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                owner = Endpoint.read(Path())
                by = f" by process {owner.pid}" if owner else ""
                raise ProcessError(f"{self.path} is in use{by}", EXIT_LOCKED) from error
            return

    def announce(self, host: str, port: int, instance_id: str, version: str) -> None:
        """Say where this process answers. Raises OSError."""
        endpoint = Endpoint(os.getpid(), host, port, instance_id, version, self._own.st_ino)
        text = json.dumps(asdict(endpoint)).encode()
        write_atomically(Path(ENDPOINT), text)
        self._announced = text

    def announce_again(self) -> None:
        """Where the announcement is gone or damaged, as a repaired disk or a person may leave it:
        without it no command finds the process."""
        text = self._announced
        try:
            if not text or Path(ENDPOINT).read_bytes() == text:
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        with self._announcing, contextlib.suppress(OSError):
            if self._announced:
                write_atomically(Path(ENDPOINT), text)

    def is_ours(self) -> bool:
        """Whether the path still leads to the directory that this process has locked.

        Where that cannot be told (no right to look, an error of the disk) it does.
        """
        try:
            found = os.stat(self._lock_path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return os.path.samestat(found, self._own)

    def check(self) -> None:
        """End the process if the directory is no longer its own: whoever asks gets no answer.

        Called before each answer, it looks once in 10 ms; what was acknowledged in between is lost
        no more than what was acknowledged just before.
        """
        now = time.monotonic()
        if now - self._checked < ASKED_AGAIN_AFTER:
            return
        self._checked = now
        if not self.is_ours():
            why = self._why_not_ours()
            logging.getLogger("nrtctl.local").critical("%s: this process ends", why)
            with contextlib.suppress(OSError):
                os.write(2, f"{why}\n".encode())
            os._exit(EXIT_NOT_OURS)

    def _why_not_ours(self) -> str:
        return f"{self.path} is gone, or another directory is in its place"

    def watch(self) -> None:
        """`check` from now on, in a thread of its own."""

        def look() -> None:
            while True:
                time.sleep(LOOK_EVERY)
                self.check()
                self.announce_again()

        threading.Thread(target=look, name="directory", daemon=True).start()

    def close(self) -> None:
        with self._announcing:
            self._announced = b""
            with contextlib.suppress(OSError):
                os.unlink(ENDPOINT)
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


class OwnLog(RotatingFileHandler):
    """Rotates only the file that it writes: another process may have made one at its path."""

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802
        if self.stream is not None:
            try:
                there = os.stat(self.baseFilename)
                if not os.path.samestat(there, os.fstat(self.stream.fileno())):
                    return False
            except (OSError, ValueError):
                return False
        return bool(super().shouldRollover(record))


def log_to(path: Path, *, max_bytes: int = 8_000_000, backups: int = 3) -> None:
    """Send the root logger to `path`, rotated.

    What cannot be written is dropped: no process waits or fails for its log.
    """
    logging.raiseExceptions = False
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = OwnLog(path, maxBytes=max_bytes, backupCount=backups)
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
