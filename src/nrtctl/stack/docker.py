"""The stack of kind docker: Kafka and ClickHouse of `deploy/docker-compose.yml`, in containers.

    <state directory>/docker/.env   ports and passwords, mode 0600
    <state directory>/docker/up     there from `up` to `down`: `auto` then means this stack

Called by `up`, `down`, `status`; `addresses` reads the password.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import nrtctl
from nrtctl.config.load import DOCKER_UP
from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.local.process import write_atomically
from nrtctl.stack.compose import Compose, Container
from nrtctl.stack.state_dir import claim, unwritable

SERVICES = ("kafka", "clickhouse")
PASSWORDS = ("CLICKHOUSE_PASSWORD", "GRAFANA_PASSWORD")

Note = Callable[[str, bool], None]


def start(config: Config, state_dir: Path, project_file: Path | None, note: Note) -> None:
    """Start both and wait until they are healthy.

    Raises:
        ConfigError: no docker, no Compose, or the configuration asks for what this stack has not.
        ConnectError: no engine answers, or a port is taken.
        NrtctlError: a container does not come up; with its last lines.
        WaitTimeout: nor within five minutes.
    """
    _check_fits(config)
    variables = _variables(config, state_dir, project_file)
    compose = _compose(state_dir, variables, note)
    compose.check()
    claim(state_dir)
    _write(state_dir, variables)
    compose.up(SERVICES)


def stop(config: Config, state_dir: Path, note: Note, *, volumes: bool) -> list[str]:
    """Stop and remove the containers, with `volumes` their data too; what was running.

    Raises: as `start`.
    """
    compose = _compose(state_dir, _variables(config, state_dir, None), note)
    compose.check()
    running = [each.service for each in compose.containers() if each.state == "running"]
    compose.down(volumes=volumes)
    (state_dir / DOCKER_UP).unlink(missing_ok=True)
    if volumes:
        env_file(state_dir).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            env_file(state_dir).parent.rmdir()
    return running


def containers(config: Config, state_dir: Path) -> list[Container]:
    """Raises: as `start`."""
    variables = _variables(config, state_dir, None)
    compose = _compose(state_dir, variables, lambda line, telling: None)
    compose.check()
    return compose.containers()


def is_up(state_dir: Path) -> bool:
    """Whether `up` was here and `down` was not."""
    return os.path.exists(state_dir / DOCKER_UP)


def by_hand(state_dir: Path) -> str:
    """The start of a command line that does something else with this stack's containers."""
    words = ["docker", "compose", "--project-name", project(state_dir)]
    words += ["--env-file", str(env_file(state_dir)), "--file", str(compose_file())]
    return shlex.join(words)


def stored_password(state_dir: Path) -> str | None:
    """The one that `up` made."""
    return _stored(state_dir).get("CLICKHOUSE_PASSWORD")


def project(state_dir: Path) -> str:
    """Of compose: one for each state directory, so that two stacks do not mix."""
    return f"nrtctl-{hashlib.sha256(str(state_dir).encode()).hexdigest()[:8]}"


def env_file(state_dir: Path) -> Path:
    return state_dir / DOCKER_UP.parent / ".env"


def compose_file() -> Path:
    """In an installed package, or in the source tree."""
    package = Path(nrtctl.__file__).parent
    for directory in (package / "deploy", package.parents[1] / "deploy"):
        if (directory / "docker-compose.yml").is_file():
            return directory / "docker-compose.yml"
    raise ConfigError(f"{package / 'deploy'} is missing", hint="install nrtctl again")


def _check_fits(config: Config) -> None:
    kafka, clickhouse = config.kafka, config.clickhouse
    for setting, found, wanted in (
        ("kafka.bootstrap_servers", kafka.hosts()[0], ("127.0.0.1", "localhost")),
        ("clickhouse.url", clickhouse.host(), ("127.0.0.1", "localhost")),
        ("kafka.security_protocol", kafka.security_protocol, ("PLAINTEXT",)),
        ("clickhouse.url", clickhouse.url.partition(":")[0], ("http",)),
        ("clickhouse.username", clickhouse.username, ("default",)),
        ("clickhouse.cluster", clickhouse.cluster or "no cluster", ("no cluster",)),
    ):
        if found not in wanted:
            raise ConfigError(
                f"{setting}: the docker stack uses {wanted[0]}, not {found}",
                hint="for servers of your own set stack.kind = 'external'",
            )


def _compose(state_dir: Path, variables: Mapping[str, str], note: Note) -> Compose:
    return Compose(project(state_dir), compose_file(), variables, note)


def _variables(config: Config, state_dir: Path, project_file: Path | None) -> dict[str, str]:
    """What the compose file asks for. Passwords are kept once made; a configured one comes first.

    Raises:
        ConfigError: a value cannot be written into a `.env` file.
    """
    stored = _stored(state_dir)
    found = {name: stored.get(name) or secrets.token_urlsafe(24) for name in PASSWORDS}
    given = config.clickhouse.password
    if given is not None:
        found["CLICKHOUSE_PASSWORD"] = given.get_secret_value()
    found["KAFKA_PORT"] = str(config.kafka.port())
    found["CLICKHOUSE_PORT"] = str(config.clickhouse.port())
    if project_file is not None:
        found["PIPELINE_FILE"] = str(project_file.resolve())
    for name, setting in (
        ("CLICKHOUSE_PASSWORD", "clickhouse.password"),
        ("PIPELINE_FILE", "the path of nrtctl.toml"),
    ):
        if re.search(r"['\n]", found.get(name, "")):
            raise ConfigError(
                f"{setting}: for the docker stack it must not contain a ' or a line break"
            )
    return found


def _stored(state_dir: Path) -> dict[str, str | None]:
    """What `up` wrote; nothing where it did not, or not for us to read."""
    from dotenv import dotenv_values

    try:
        text = env_file(state_dir).read_text()
    except OSError:
        return {}
    return dict(dotenv_values(stream=io.StringIO(text), interpolate=False))


def _write(state_dir: Path, variables: Mapping[str, str]) -> None:
    text = "# Written by `nrtctl up`.\n"
    text += "".join(f"{name}='{value}'\n" for name, value in variables.items())
    try:
        env_file(state_dir).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(env_file(state_dir), text.encode(), mode=0o600)
        (state_dir / DOCKER_UP).touch()
    except OSError as error:
        raise unwritable(state_dir, error.strerror or str(error)) from error
