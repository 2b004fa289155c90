"""Errors of the operating system and its limits as ours: no other place puts them into words.

Called by `cli.diagnostics` for whatever no command has explained better.
"""

from __future__ import annotations

import errno
import os

from nrtctl.errors import NrtctlError
from nrtctl.net.posix import resource

SPACE = (
    "free some space, or set local.state_dir and TMPDIR, where the local stack and commands "
    "write, to another disk"
)
MACHINE = "other programs use all of it; try again when some of them have ended"


def explained(error: OSError) -> NrtctlError:
    """What it means, about which file, and what mends it where that is known."""
    where = f"{_name(error.filename)}: " if error.filename is not None else ""
    number = error.errno
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return NrtctlError(f"{where}the disk is full: {_small(reason)}", hint=SPACE)
    if number == errno.EROFS:
        return NrtctlError(
            f"{where}the file system is read-only", hint="choose a place that can be written to"
        )
    if number in {errno.EACCES, errno.EPERM} and where:
        return NrtctlError(
            f"{where}permission denied", hint="use another path, or run the command as another user"
        )
    if number == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return NrtctlError(
            f"too many open files and connections: this process may have {limit}",
            hint="`ulimit -n 1024` in the same shell allows more",
        )
    if number in {errno.ENFILE, errno.ENOMEM, errno.EAGAIN}:
        return NrtctlError(f"the machine is out of resources: {_small(reason)}", hint=MACHINE)
    if number == errno.ENOENT and "temporary directory" in reason:
        return NrtctlError(
            "temporary files cannot be written anywhere: " + _small(reason),
            hint="set TMPDIR to a directory that can be written",
        )
    return NrtctlError(f"{where}{_small(reason)}")


def short_of(error: Exception) -> NrtctlError | None:
    """Where Python or a library does not say it as an error of the operating system; None: it is
    something else."""
    said = str(error)
    if isinstance(error, MemoryError) or "failed to map segment" in said:
        return NrtctlError(
            "this process may not have more memory",
            hint="`ulimit -v` shows its limit, and `ulimit -v unlimited` lifts it",
        )
    if isinstance(error, RuntimeError) and said == "can't start new thread":
        return NrtctlError(
            "the system allows no more threads or processes, or no memory for one",
            hint="`ulimit -u` and `ulimit -v` show the limits of this shell; a container has a "
            "limit of its own (pids)",
        )
    return None


def _name(filename: object) -> str:
    return os.fsdecode(filename) if isinstance(filename, bytes) else str(filename)


def _small(reason: str) -> str:
    """As it stands in the middle of a line."""
    return reason[:1].lower() + reason[1:] if reason[1:2].islower() else reason
