"""The local stack: start both processes, wait until they answer, stop them.

Called by `up`, `down`, `status`, `doctor` and `demo`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError, NrtctlError, WaitTimeout
from nrtctl.local.process import Endpoint
from nrtctl.stack.spawn import PARTS, Part, announced, check_installed, spawn
from nrtctl.stack.state_dir import claim, live, locked, unwritable

STOP_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """One half. `process`: None if it ran before."""

    part: Part
    endpoint: Endpoint
    process: subprocess.Popen[bytes] | None


def start(config: Config, state_dir: Path, *, attached: bool = False) -> list[Running]:
    """Start what does not run, and wait until both have announced themselves.

    Args:
        attached: they end when this process does, or drops what is returned.

    Raises:
        ConfigError: the extra `local` is not installed, the directory is no stack's, or what runs
            in it answers at another address than the configured one.
        ConnectError: an address is taken.
        NrtctlError: the directory cannot be written.
        WaitTimeout: a process did not answer within 60 s.
    """
    check_installed()
    claim(state_dir)
    with _one_at_a_time(state_dir):
        going: list[tuple[Part, subprocess.Popen[bytes] | None]] = []
        try:
            for part in PARTS:
                there = live(state_dir, part.name)
                if there is not None:
                    _same_address(part, there, config, state_dir)
                going.append(
                    (part, None if there else spawn(part, config, state_dir, attached=attached))
                )
            return [
                Running(part, announced(part, process, state_dir), process)
                for part, process in going
            ]
        except BaseException:
            for _, process in going:
                _end(process)
            raise


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()


def _same_address(part: Part, there: Endpoint, config: Config, state_dir: Path) -> None:
    host, port = part.address(config)
    if port in (0, there.port):
        return
    raise ConfigError(
        f"the {part.title} of {state_dir} runs at {there.host}:{there.port}, "
        f"and {part.address_setting} says {host}:{port}",
        hint="`nrtctl down` stops it, or it is another stack's: then set local.state_dir",
    )


def stop(state_dir: Path) -> list[tuple[Part, int]]:
    """Stop both; the parts that were running, with their process ids.

    Raises:
        NrtctlError: one runs, and does not say its process id, or is another user's.
        WaitTimeout: one did not end within 30 s.
    """
    stopped = []
    for part in reversed(PARTS):
        if not locked(state_dir / part.name):
            continue
        pid = _pid(part, state_dir)
        if pid is None:
            continue
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise NrtctlError(f"{part.title} (process {pid}) belongs to another user") from error
        stopped.append((part, pid))
    deadline = time.monotonic() + STOP_WITHIN
    for part, pid in stopped:
        while locked(state_dir / part.name) or _is_our_child(pid):
            if time.monotonic() > deadline:
                raise WaitTimeout(
                    f"{part.title} (process {pid}) did not stop within {STOP_WITHIN:.0f} s",
                    hint=f"see {part.log(state_dir)}; `kill -9 {pid}` loses no stored data",
                )
            time.sleep(0.02)
    return stopped


def _is_our_child(pid: int) -> bool:
    """Whether it is a child that has not ended; one that has is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def _pid(part: Part, state_dir: Path) -> int | None:
    """Of the process that holds the directory; it announces itself when it is ready."""
    deadline = time.monotonic() + STOP_WITHIN
    while locked(state_dir / part.name):
        endpoint = Endpoint.read(state_dir / part.name)
        if endpoint is not None:
            return endpoint.pid
        if time.monotonic() > deadline:
            lock = state_dir / part.name / "lock"
            raise NrtctlError(
                f"a process holds {lock}, and does not say its process id",
                hint=f"`fuser {lock}` names it",
            )
        time.sleep(0.02)
    return None


@contextlib.contextmanager
def _one_at_a_time(state_dir: Path) -> Iterator[None]:
    """Two `up` at once: the second waits, then finds everything running."""
    try:
        file = (state_dir / "up.lock").open("w")
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
