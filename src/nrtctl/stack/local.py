"""The local stack's two processes: start, wait until they answer, stop, look.

Called by `up`, `down`, `status`, `doctor` and `demo`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nrtctl.config.model import Config
from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout
from nrtctl.local.process import (
    EXIT_ADDRESS,
    EXIT_LOCKED,
    EXIT_STORAGE,
    Endpoint,
)
from nrtctl.stack.addresses import CLICKHOUSE, KAFKA

READY_WITHIN = 60.0
STOP_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """One of the two processes."""

    name: str
    title: str
    module: str
    needs: tuple[str, ...]
    address_setting: str


BROKER = Part(KAFKA, "broker", "nrtctl.local.broker", ("kio", "crc32c"), "kafka.bootstrap_servers")
FRONT = Part(
    CLICKHOUSE,
    "ClickHouse",
    "nrtctl.local.front",
    ("chdb", "starlette", "uvicorn"),
    "clickhouse.url",
)
PARTS = (BROKER, FRONT)


@dataclass(frozen=True, slots=True)
class Running:
    part: Part
    endpoint: Endpoint
    started: bool


def running(state_dir: Path, part: Part) -> Endpoint | None:
    """The part's endpoint if its process lives (it holds the lock of its data directory)."""
    endpoint = Endpoint.read(state_dir / part.name)
    return endpoint if endpoint is not None and _locked(state_dir / part.name / "lock") else None


def start(config: Config, state_dir: Path) -> list[Running]:
    """Start what does not run, and wait until both have announced themselves.

    Raises:
        ConfigError: the extra `local` is not installed, or another stack owns the directory.
        ConnectError: an address is taken.
        NrtctlError: the directory cannot be written.
        WaitTimeout: a process did not answer within 60 s.
    """
    for part in PARTS:
        absent = [name for name in part.needs if find_spec(name) is None]
        if absent:
            raise ConfigError(
                f"the local stack needs {', '.join(absent)}, which is not installed",
                hint="pip install 'nrtctl[local]'",
            )
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unwritable(state_dir, error.strerror or str(error)) from error
    with _one_at_a_time(state_dir):
        going: list[tuple[Part, subprocess.Popen[bytes] | None]] = []
        for part in PARTS:
            live = running(state_dir, part)
            going.append((part, None if live else _spawn(part, config, state_dir)))
        try:
            return [
                Running(part, _announced(part, process, state_dir), process is not None)
                for part, process in going
            ]
        except BaseException:
            for _, process in going:
                if process is not None and process.poll() is None:
                    process.terminate()
            raise


def stop(state_dir: Path) -> list[tuple[Part, int]]:
    """Stop both; the parts that were running, with their process ids.

    Raises:
        WaitTimeout: one did not end within 30 s.
    """
    stopped = []
    for part in reversed(PARTS):
        endpoint = running(state_dir, part)
        if endpoint is None:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(endpoint.pid, signal.SIGTERM)
        stopped.append((part, endpoint.pid))
    deadline = time.monotonic() + STOP_WITHIN
    for part, pid in stopped:
        while _locked(state_dir / part.name / "lock"):
            if time.monotonic() > deadline:
                raise WaitTimeout(
                    f"{part.title} (process {pid}) did not stop within {STOP_WITHIN:.0f} s",
                    hint=f"see {log_file(state_dir, part)}; `kill -9 {pid}` loses no stored data",
                )
            time.sleep(0.02)
    return stopped


def delete(state_dir: Path) -> None:
    """Delete the data of a stopped stack, and nothing else.

    Raises:
        NrtctlError: it still runs.
    """
    for part in PARTS:
        if running(state_dir, part) is not None:
            raise NrtctlError(f"{part.title} is still running", hint="`nrtctl down`")
    for name in (*(part.name for part in PARTS), "logs"):
        shutil.rmtree(state_dir / name, ignore_errors=True)
    for name in ("up.lock",):
        (state_dir / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        state_dir.rmdir()


def log_file(state_dir: Path, part: Part) -> Path:
    return state_dir / "logs" / f"{part.name}.log"


def _locked(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


class _one_at_a_time(contextlib.AbstractContextManager[None]):  # noqa: N801
    """Two `up` at once: the second waits, then finds everything running."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "up.lock"

    def __enter__(self) -> None:
        try:
            self._file = self._path.open("w")
        except OSError as error:
            raise _unwritable(self._path.parent, error.strerror or str(error)) from error
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _spawn(part: Part, config: Config, state_dir: Path) -> subprocess.Popen[bytes]:
    log = log_file(state_dir, part)
    output = state_dir / "logs" / f"{part.name}.out"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if part is FRONT:
            _write_password(config, state_dir)
        with output.open("wb") as file:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", part.module, *_arguments(part, config, state_dir, log)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd=state_dir,
            )
    except OSError as error:
        raise _unwritable(state_dir, error.strerror or str(error)) from error


def _write_password(config: Config, state_dir: Path) -> None:
    """The configured password, or one made here; readable by its owner only."""
    path = state_dir / FRONT.name / "password"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = config.clickhouse.password
    if given is None and path.exists() and path.read_text().strip():
        return
    text = given.get_secret_value() if given is not None else secrets.token_urlsafe(24)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _arguments(part: Part, config: Config, state_dir: Path, log: Path) -> Sequence[str]:
    common = ["--data-dir", str(state_dir / part.name), "--log", str(log)]
    if part is BROKER:
        host, port = config.kafka.hosts()[0], config.kafka.port()
        common += ["--fsync", config.local.fsync]
    else:
        host, port = config.clickhouse.host(), config.clickhouse.port()
        common += ["--password-file", str(state_dir / part.name / "password")]
        common += ["--max-memory", str(config.local.max_memory)]
    return [*common, "--host", host, "--port", str(port)]


def _announced(part: Part, process: subprocess.Popen[bytes] | None, state_dir: Path) -> Endpoint:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        endpoint = Endpoint.read(state_dir / part.name)
        if endpoint is not None and (process is None or endpoint.pid == process.pid):
            return endpoint
        if process is not None and process.poll() is not None:
            raise _why_ended(part, process.returncode, state_dir)
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"{part.title} did not get ready within {READY_WITHIN:.0f} s",
                hint=f"see {log_file(state_dir, part)}",
            )
        time.sleep(0.02)


def _why_ended(part: Part, code: int, state_dir: Path) -> NrtctlError:
    output = state_dir / "logs" / f"{part.name}.out"
    lines = output.read_text(errors="replace").strip().splitlines() if output.exists() else []
    said = lines[-1] if lines else f"exit code {code}"
    if code == EXIT_ADDRESS:
        return ConnectError(
            f"{part.title} cannot listen: {said}",
            hint=f"set {part.address_setting} to another port (0: any free one); if your own "
            "server answers there, set stack.kind = 'external'",
        )
    if code == EXIT_LOCKED:
        return ConfigError(
            f"{part.title}: {said}",
            hint="set local.state_dir to a directory of this stack's own",
        )
    if code == EXIT_STORAGE:
        return _unwritable(state_dir, said)
    return NrtctlError(
        f"{part.title} ended as it started (exit code {code}): {said}",
        hint=f"see {log_file(state_dir, part)}",
    )


def _unwritable(state_dir: Path, why: str) -> NrtctlError:
    return NrtctlError(
        f"the state directory {state_dir} cannot be written: {why}",
        hint="free some space or mend its permissions, or set local.state_dir to another",
    )
