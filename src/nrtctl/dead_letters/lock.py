"""One command at a time that changes dead letters, on one machine. Called by `cli.dlq_command`.

The lock is the process's: it goes with it, however it ends. Two machines are not kept apart; there
the same tokens, and the look after each insert, see to it that a letter is stored once.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from nrtctl.errors import NrtctlError


@contextmanager
def alone(*what: str) -> Iterator[None]:
    """Hold the lock of `what` (address, database, table).

    Raises:
        NrtctlError: another process holds it, or it cannot be made.
    """
    digest = blake2b("\0".join(what).encode(), digest_size=8).hexdigest()
    path = Path(tempfile.gettempdir()) / f"nrtctl-{os.getuid()}-dlq-{digest}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NrtctlError(f"{path} cannot be created: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NrtctlError(
                f"another nrtctl process is changing the dead letters of {what[-1]}",
                hint="run the same command again when it has ended",
            ) from error
        yield
    finally:
        os.close(descriptor)
