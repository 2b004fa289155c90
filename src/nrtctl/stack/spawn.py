"""One process of the local stack: starting it, and why it ended. Called by `stack.local`."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
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
    joined,
    write_atomically,
)
from nrtctl.net.kept import kept
from nrtctl.stack import started_with
from nrtctl.stack.login import broker_arguments
from nrtctl.stack.ports import gets_free, is_free, last_port, stack_at
from nrtctl.stack.state_dir import CLICKHOUSE, KAFKA, LOGS, REGISTRY, unwritable

READY_WITHIN = 60.0
REGISTRY_ADDRESS = ("127.0.0.1", 8081)
"""Nobody sets another: `schema_registry.url` is the address of a registry of one's own."""
ROOM_FOR_WORDS = 2**16
"""Free bytes with less of which a process may be unable to say why it ends."""
SAY_AFTER = 4.0
"""Seconds after which it is said what is waited for."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of the processes."""

    name: str
    title: str
    role: str
    module: str
    needs: tuple[str, ...]
    address_setting: str

    def address(self, config: Config) -> tuple[str, int]:
        """Host and port as configured; port 0: any free one."""
        if self.name == KAFKA:
            return config.kafka.hosts()[0], config.kafka.port()
        if self.name == REGISTRY:
            return REGISTRY_ADDRESS
        return config.clickhouse.host(), config.clickhouse.port()

    def movable(self, config: Config) -> bool:
        """Whether the address is the default one, which nobody has asked for."""
        section, _, key = self.address_setting.partition(".")
        return key not in getattr(config, section).model_fields_set

    def log(self, state_dir: Path) -> Path:
        return state_dir / LOGS / f"{self.name}.log"


BROKER = Part(
    KAFKA,
    "broker",
    "broker",
    "nrtctl.local.broker",
    ("kio", "crc32c"),
    "kafka.bootstrap_servers",
)
FRONT = Part(
    CLICKHOUSE,
    "ClickHouse",
    "ClickHouse front",
    "nrtctl.local.front",
    ("chdb", "starlette", "uvicorn"),
    "clickhouse.url",
)
SCHEMAS = Part(
    REGISTRY,
    "registry",
    "schema registry",
    "nrtctl.local.registry",
    ("httptools", "starlette", "uvicorn"),
    "schema_registry.url",
)
PARTS = (BROKER, FRONT)
"""Of every stack."""
ALL_PARTS = (*PARTS, SCHEMAS)
"""Of one with a pipeline whose format needs a registry."""


def check_installed() -> None:
    """Raises ConfigError: the extra `local` is not installed."""
    absent = [name for part in PARTS for name in part.needs if find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"the local stack is not installed: {', '.join(absent)} missing",
            hint="run `pip install '.[local]'` in the directory of nrtctl's source",
        )


class AddressTaken(ConnectError):
    """Somebody else has the address, or it may not be had."""


def place(part: Part, config: Config, state_dir: Path) -> tuple[int, Path | str | None]:
    """The port to start it at (0: any free one), and who has the one that it would have had.

    An address that was asked for is never changed. Else it answers where it did before, so that
    its clients find it there: always after a crash, and where the default port is taken.

    Raises:
        AddressTaken: somebody has the address that was asked for.
    """
    host, wanted = part.address(config)
    before = last_port(state_dir / part.name)
    crashed = Endpoint.read(state_dir / part.name) is not None
    if before and (wanted == 0 or (part.movable(config) and crashed)) and is_free(host, before):
        return before, None
    if wanted == 0:
        return 0, None
    if gets_free(host, wanted):
        return wanted, None
    whose: Path | str = stack_at(wanted) or "another program"
    if not part.movable(config):
        raise taken(part, f"{joined(host, wanted)} is taken by {of_whom(whose)}")
    return (before if before and is_free(host, before) else 0), whose


def of_whom(whose: Path | str) -> str:
    return f"the stack in {whose}" if isinstance(whose, Path) else whose


def taken(part: Part, why: str) -> AddressTaken:
    return AddressTaken(
        f"{part.title} cannot listen: {why}",
        hint=f"set {part.address_setting} to another port (0: any free one), or leave it out; if "
        "your own server answers there, set stack.kind = 'external'",
    )


def spawn(
    part: Part, config: Config, state_dir: Path, port: int, stack_id: str, *, attached: bool = False
) -> subprocess.Popen[bytes]:
    """Start it in the background, in a session of its own.

    Args:
        port: 0 takes any free one.
        stack_id: see `state_dir.identify`.
        attached: it ends when this process does, however that ends.

    Raises:
        NrtctlError: the state directory cannot be written.
    """
    log = part.log(state_dir)
    host, _ = part.address(config)
    arguments = ["--data-dir", str(state_dir / part.name), "--log", str(log)]
    arguments += ["--host", host, "--port", str(port), "--stack-id", stack_id]
    arguments += ["--until-stdin-closes"] if attached else []
    if part is BROKER:
        arguments += ["--fsync", config.local.fsync, *broker_arguments(config, state_dir)]
        if config.local.auto_create_topics:
            arguments.append("--auto-create-topics")
    else:
        arguments += ["--password-file", str(state_dir / part.name / "password")]
    if part is FRONT:
        arguments += ["--max-memory", str(config.local.max_memory)]
        arguments += ["--system-logs"] if config.local.system_logs else []
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if part is FRONT:
            _write_password(config, state_dir)
        started_with.note_down(config, state_dir, part.name)
        with _output(part, state_dir).open("wb") as file:
            return subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", part.module, *arguments],
                stdin=subprocess.PIPE if attached else subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
                cwd=state_dir,
            )
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error


def announced(
    part: Part,
    process: subprocess.Popen[bytes] | None,
    state_dir: Path,
    say: Callable[[str], None],
) -> Endpoint:
    """Wait until it says where it answers. `process`: None if somebody else started it.

    Raises:
        ConfigError, ConnectError, NrtctlError: it ended, by its reason.
        WaitTimeout: it was not ready within 60 s.
    """
    began = time.monotonic()
    deadline = began + READY_WITHIN
    said = False
    while True:
        if not said and time.monotonic() > began + SAY_AFTER:
            say(f"waiting up to {READY_WITHIN:.0f} s for {part.title} to get ready")
            said = True
        endpoint = Endpoint.read(state_dir / part.name)
        if endpoint is not None and (process is None or endpoint.pid == process.pid):
            _remember_port(state_dir / part.name, endpoint.port)
            return endpoint
        if process is not None and process.poll() is not None:
            raise _why_ended(part, process.returncode, state_dir)
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"{part.title} was not ready within {READY_WITHIN:.0f} s",
                hint=f"see {part.log(state_dir)}",
            )
        time.sleep(0.01)


def _remember_port(data_dir: Path, port: int) -> None:
    """For the next start (`ports.last_port`)."""
    with contextlib.suppress(OSError):
        write_atomically(data_dir / "port", str(port).encode())


def _output(part: Part, state_dir: Path) -> Path:
    return state_dir / LOGS / f"{part.name}.out"


def _write_password(config: Config, state_dir: Path) -> None:
    """The configured password, or one made here; readable by its owner only."""
    path = state_dir / FRONT.name / "password"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    given = config.clickhouse.password
    if given is None and path.exists() and kept(path):
        return
    text = given.get_secret_value() if given is not None else secrets.token_urlsafe(24)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _said(part: Part, state_dir: Path) -> Sequence[str]:
    try:
        return _output(part, state_dir).read_text(errors="replace").strip().splitlines()
    except OSError:
        return ()


def _why_ended(part: Part, code: int, state_dir: Path) -> NrtctlError:
    lines = _said(part, state_dir)
    said = lines[-1] if lines else f"exit code {code}"
    if code == EXIT_ADDRESS:
        return taken(part, said)
    if code == EXIT_LOCKED:
        return ConfigError(
            f"{part.title}: {said}",
            hint="set local.state_dir to a directory of this stack's own",
        )
    if code == EXIT_STORAGE:
        return unwritable(state_dir, said)
    if not lines and shutil.disk_usage(state_dir).free < ROOM_FOR_WORDS:
        return unwritable(state_dir, os.strerror(errno.ENOSPC))
    return NrtctlError(
        f"{part.title} ended while it was starting (exit code {code}): {said}",
        hint=f"see {part.log(state_dir)}",
    )
