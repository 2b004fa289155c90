"""One command at a time that changes dead letters, on one machine. Called by `cli.dlq_replaying`.

The lock is the process's: it goes with it, however it ends. Its file stays where that was a kill,
and goes with the next command that takes such a lock. Two machines are not kept apart; there
the same tokens, and the look after each insert, see to it that a letter is stored once.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from nrtctl.errors import NrtctlError
from nrtctl.net.posix import fcntl

LOCKED_WITHIN = 0.2
"""Seconds: who removes the files of others holds their locks for a moment."""


@contextmanager
def alone(*what: str) -> Iterator[None]:
    """Hold the lock of `what` (address, database, table).

    Raises:
        NrtctlError: another process holds it, or it cannot be made.
    """
    digest = blake2b("\0".join(what).encode(), digest_size=8).hexdigest()
    directory, prefix = Path(tempfile.gettempdir()), f"nrtctl-{os.getuid()}-dlq-"
    path = directory / f"{prefix}{digest}.lock"
    descriptor = _locked(path, what[-1])
    try:
        for other in directory.glob(f"{prefix}*.lock"):
            if other != path:
                _remove_left(other)
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held: see _locked
        os.close(descriptor)


def _opened(path: Path, create: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | create, 0o600)


def _locked(path: Path, table: str) -> int:
    """An open file that is locked, and is still the one of that path: whoever had it before has
    removed it."""
    deadline = time.monotonic() + LOCKED_WITHIN
    while True:
        try:
            descriptor = _opened(path, os.O_CREAT)
        except OSError as error:
            raise NrtctlError(f"{path} cannot be created: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            raise NrtctlError(
                f"another nrtctl process is changing the dead letters of {table}",
                hint="run the same command again when it has ended",
            ) from error
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        os.close(descriptor)


def _remove_left(path: Path) -> None:
    """Remove the file of a process that was killed; one that is held stays."""
    with suppress(OSError):
        descriptor = _opened(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                path.unlink()
        finally:
            os.close(descriptor)
