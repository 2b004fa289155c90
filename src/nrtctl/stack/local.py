"""The local stack: start its processes, wait until they answer, stop them.

Called by `up`, `down`, `status`, `doctor` and `demo`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError, NrtctlError, WaitTimeout
from nrtctl.local.process import Endpoint, joined
from nrtctl.stack.spawn import (
    ALL_PARTS,
    PARTS,
    SAY_AFTER,
    AddressTaken,
    Part,
    announced,
    check_installed,
    of_whom,
    place,
    spawn,
)
from nrtctl.stack.state_dir import claim, held, identify, live, locked
from nrtctl.stack.uninterrupted import uninterrupted

STOP_WITHIN = 30.0
CLAIMS = 10
"""How often `down --volumes` of somebody else may come between."""


@dataclass(frozen=True, slots=True)
class Running:
    """One of its processes.

    `process`: None if it ran before. `instead`: why it answers at another address than the default
    one; empty where it does not.
    """

    part: Part
    endpoint: Endpoint
    process: subprocess.Popen[bytes] | None
    instead: str = ""


Say = Callable[[str], None]


def _nothing(_: str) -> None:
    return None


def parts_for(configs: Iterable[Config]) -> Sequence[Part]:
    """The processes that these pipelines need."""
    return ALL_PARTS if any(each.has_local_registry for each in configs) else PARTS


def start(
    config: Config,
    state_dir: Path,
    *,
    parts: Sequence[Part] | None = None,
    attached: bool = False,
    say: Say = _nothing,
) -> list[Running]:
    """Start what does not run, and wait until all have announced themselves.

    Args:
        parts: which ones; None: those that the pipeline needs.
        attached: they end when this process does, or drops what is returned.
        say: told what is waited for, where that takes long, and what is new.

    Raises:
        ConfigError: the extra `local` is not installed, the directory is no stack's, or what runs
            in it answers at another address than the configured one.
        ConnectError: an address that was asked for is taken.
        NrtctlError: the directory cannot be written.
        WaitTimeout: a process did not answer within 60 s.
    """
    check_installed()
    parts = parts_for([config]) if parts is None else parts
    for _ in range(CLAIMS):
        claim(state_dir)
        with held(state_dir, say) as still:
            if still:
                return _start(config, state_dir, parts, attached, say)
    raise NrtctlError(f"{state_dir} keeps being deleted", hint="run `nrtctl up` once more")


def _start(
    config: Config, state_dir: Path, parts: Sequence[Part], attached: bool, say: Say
) -> list[Running]:
    stack_id = identify(state_dir, say)
    begun: list[_Begun] = []
    try:
        for part in parts:
            there = live(state_dir, part.name)
            if there is not None:
                check_address(part, there, config, state_dir)
                begun.append(_Begun(part))
            else:
                with uninterrupted():
                    begun.append(_begin(part, config, state_dir, stack_id, attached))
        ready = []
        for at, each in enumerate(begun):
            try:
                endpoint = announced(each.part, each.process, state_dir, say)
            except AddressTaken:
                if not each.part.movable(config):
                    raise
                with uninterrupted():
                    each = begun[at] = _begin(each.part, config, state_dir, stack_id, attached)
                endpoint = announced(each.part, each.process, state_dir, say)
            ready.append(Running(each.part, endpoint, each.process, each.instead))
    except BaseException:
        for each in begun:
            _end(each.process)
        raise
    return ready


@dataclass(frozen=True, slots=True)
class _Begun:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    instead: str = ""


def _begin(part: Part, config: Config, state_dir: Path, stack_id: str, attached: bool) -> _Begun:
    port, whose = place(part, config, state_dir)
    process = spawn(part, config, state_dir, port, stack_id, attached=attached)
    if whose is None:
        return _Begun(part, process)
    return _Begun(part, process, f"{joined(*part.address(config))} is taken by {of_whom(whose)}")


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()


def check_address(part: Part, there: Endpoint, config: Config, state_dir: Path) -> None:
    """Raises ConfigError: it runs at another address than the one that was asked for."""
    host, port = part.address(config)
    if part.movable(config) or (port in (0, there.port) and _answers(there.host, host)):
        return
    raise ConfigError(
        f"the {part.title} of {state_dir} runs at {there.address}, but {part.address_setting} says "
        f"{joined(host, port)}",
        hint="`nrtctl down`, then `nrtctl up` start it there; if another stack has that address, "
        "set local.state_dir to its directory, and if your own server has it, set stack.kind = "
        "'external'",
    )


def _answers(there: str, host: str) -> bool:
    """Whether a process that listens at the one host is meant by the other."""
    return host == there or "localhost" in (host, there) or there in ("0.0.0.0", "::")  # noqa: S104


def stop(state_dir: Path, say: Say = _nothing) -> list[tuple[Part, int]]:
    """Stop them all; the parts that were running, with their process ids.

    Args:
        say: told what is waited for, where that takes long.

    Raises:
        NrtctlError: one runs, and does not say its process id, or is another user's.
        WaitTimeout: one did not end within 30 s.
    """
    stopped = []
    for part in reversed(ALL_PARTS):
        if not locked(state_dir / part.name):
            continue
        pid = _pid(part, state_dir)
        if pid is None:
            continue
        try:
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)  # somebody may have stopped it, and then it hears nothing
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise NrtctlError(f"{part.title} (process {pid}) belongs to another user") from error
        stopped.append((part, pid))
    began = time.monotonic()
    deadline = began + STOP_WITHIN
    for part, pid in stopped:
        said = False
        while locked(state_dir / part.name) or _is_our_child(pid):
            if not said and time.monotonic() > began + SAY_AFTER:
                say(f"waiting up to {STOP_WITHIN:.0f} s for {part.title} (process {pid}) to stop")
                said = True
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
                f"a process uses {lock}, but its process id is not known",
                hint=f"`fuser {lock}` shows it",
            )
        time.sleep(0.02)
    return None
