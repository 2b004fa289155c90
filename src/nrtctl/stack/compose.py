"""`docker compose`, run and explained: what it says becomes one of our errors. Used by `docker`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout

OLDEST = (2, 20)
"""Version of Compose that has all that is asked of it here, `up --wait-timeout` above all."""

WAIT_SECONDS = 300
ASK_SECONDS = 60.0
LAST_LINES = 20

WITHOUT = "or `nrtctl up --stack local`, which needs no containers"
_PORT_TAKEN = re.compile(
    r".*(port is already allocated|address already in use|ports are not available).*", re.I
)
_TELLING = re.compile(r"^\s*(Container|Volume|Network)\s|\bPull(ing|ed)\b")


@dataclass(frozen=True, slots=True)
class Container:
    """`state`: running, exited, restarting, …; `health`: healthy, unhealthy, starting or empty."""

    service: str
    state: str
    health: str
    exit_code: int

    @property
    def fine(self) -> bool:
        return self.state == "running" and self.health in {"", "healthy"}

    def __str__(self) -> str:
        if self.state == "running":
            return self.health or self.state
        return f"{self.state} with code {self.exit_code}" if self.state == "exited" else self.state


class Compose:
    """One project of one compose file.

    Args:
        variables: of the file; they go by the environment, over what the user's has.
        note: told what docker says, line by line: (line, whether it is worth showing).
    """

    def __init__(
        self,
        project: str,
        file: Path,
        variables: Mapping[str, str],
        note: Callable[[str, bool], None],
    ) -> None:
        self._docker = _installed()
        self._words = ["compose", "--project-name", project, "--file", str(file)]
        self._words += ["--profile", "*"]  # whatever was started by hand is stopped and shown too
        self._environ = {**os.environ, **variables}
        self._note = note

    def check(self) -> None:
        """
        Raises:
            ConfigError: Compose is missing or too old.
            ConnectError: the Docker engine does not answer.
        """
        done = self._ask("compose", "version")
        if done.returncode:
            alone = shutil.which("docker-compose") is not None
            old = (
                "; the program `docker-compose` is not used, as it may be version 1"
                if alone
                else ""
            )
            raise ConfigError(
                f"this docker has no `docker compose`: {_first(done.stderr)}{old}",
                hint=f"install the plugin docker-compose-plugin, {WITHOUT}",
            )
        numbers = tuple(int(each) for each in re.findall(r"\d+", done.stdout)[:2])
        if numbers < OLDEST:
            raise ConfigError(
                f"this is {done.stdout.strip()}, but it must be {'.'.join(map(str, OLDEST))} or "
                "newer",
                hint=f"upgrade the plugin docker-compose-plugin, {WITHOUT}",
            )
        done = self._ask("version", "--format", "{{.Server.Version}}")
        if done.returncode:
            denied = "permission denied" in done.stderr
            raise ConnectError(
                f"the Docker engine does not answer: {_first(done.stderr)}",
                hint="add yourself to the group docker (`sudo usermod -aG docker $USER`, then log "
                "in again)"
                if denied
                else f"start Docker (`sudo systemctl start docker`, or Docker Desktop), {WITHOUT}",
            )

    def up(self, services: Sequence[str]) -> None:
        """Create and start them, and wait until they are healthy.

        Raises:
            ConnectError: a port is taken.
            WaitTimeout: not healthy within `WAIT_SECONDS`.
            NrtctlError: it failed otherwise; with the last lines of the container that did.
        """
        wait = ("--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS))
        code, said = self._follow("up", *wait, *services)
        if code == 0:
            return
        text = "\n".join(said)
        if (line := _PORT_TAKEN.search(text)) is not None:
            address = re.search(r"[\d.]+:\d+", line[0])
            raise ConnectError(
                f"{address[0] if address else 'a port'} is in use by another program",
                hint="stop it (`docker ps` shows the ports that containers publish), or set "
                "kafka.bootstrap_servers and clickhouse.url to other ports of 127.0.0.1",
            )
        broken = [each for each in self.containers() if not each.fine and each.service in services]
        for each in broken:
            lines = self.last_lines(each.service)
            shown = "".join(f"\n  {line}" for line in lines)
            slow = each.state == "running" and each.health == "starting"
            kind = WaitTimeout if slow else NrtctlError
            raise kind(
                f"the container of {each.service} is {each}; "
                + (f"its last lines:{shown}" if lines else "it has printed nothing"),
                hint="`nrtctl down` removes the containers and keeps the data",
            )
        raise NrtctlError(
            f"docker compose up failed: {said[-1] if said else f'exit code {code}'}",
            hint="`nrtctl up -v` shows the whole output of docker",
        )

    def down(self, *, volumes: bool) -> None:
        """Stop and remove every container of the project.

        Raises:
            NrtctlError: docker refused.
        """
        every = ("--volumes",) if volumes else ()
        code, said = self._follow("down", "--remove-orphans", *every)
        if code:
            raise NrtctlError(
                f"docker compose down failed: {said[-1] if said else f'exit code {code}'}"
            )

    def containers(self) -> list[Container]:
        """Those there are, running or not. One object a line, or all in an array (before 2.21)."""
        done = self._ask(*self._words, "ps", "--all", "--format", "json")
        if done.returncode:
            raise NrtctlError(f"docker compose ps failed: {_first(done.stderr)}")
        found = []
        for line in done.stdout.splitlines():
            if line.strip():
                told = json.loads(line)
                found += told if isinstance(told, list) else [told]
        return [
            Container(
                str(each["Service"]),
                str(each["State"]),
                str(each.get("Health") or ""),
                int(each.get("ExitCode") or 0),
            )
            for each in found
        ]

    def last_lines(self, service: str) -> list[str]:
        tail = ("--no-color", "--no-log-prefix", "--tail", str(LAST_LINES))
        done = self._ask(*self._words, "logs", *tail, service)
        return [line for line in done.stdout.splitlines() if line.strip()][-LAST_LINES:]

    def _ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603
                [self._docker, *words],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ASK_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise WaitTimeout(
                f"docker did not answer within {ASK_SECONDS:.0f} s: {' '.join(words[-4:])}",
                hint="`docker info` shows whether the Docker engine is healthy",
            ) from error
        except OSError as error:
            raise ConfigError(f"{self._docker} cannot be run: {error.strerror}") from error

    def _follow(self, *words: str) -> tuple[int, list[str]]:
        """(exit code, what it said), telling each line as it comes. Ctrl-C ends it as well."""
        said: list[str] = []
        with _running([self._docker, *self._words, *words], self._environ) as process:
            for line in process.stdout or ():
                text = line.rstrip()
                if text:
                    said.append(text.strip())
                    self._note(text, _TELLING.search(text) is not None)
            return process.wait(), said


@contextlib.contextmanager
def _running(words: Sequence[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603
        words,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a Ctrl-C reaches it once, from here
    )
    try:
        yield process
    except BaseException:
        process.send_signal(signal.SIGINT)
        raise
    finally:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _installed() -> str:
    docker = shutil.which("docker")
    if docker is None:
        raise ConfigError(
            "docker is not installed, or not on the PATH",
            hint=f"install Docker (https://docs.docker.com/engine/install/), {WITHOUT}",
        )
    return docker


def _first(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "it printed nothing"
