"""What docker says when it does not work, and what we make of it. Driven by a stand-in `docker`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nrtctl.config.load import load_config
from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout
from nrtctl.stack import docker
from tests.plugins.fake_docker import FakeDocker

PORT_9092 = "127.0.0.1:9092"


def up(tmp_path: Path, *settings: str, notes: list[str] | None = None) -> None:
    loaded = load_config(overrides=settings, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    said = [] if notes is None else notes
    docker.start(loaded.config, tmp_path / "state", None, lambda line, telling: said.append(line))


@pytest.fixture(autouse=True)
def only_the_stand_in(fake_docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fake_docker.bin))


@pytest.mark.parametrize(
    ("says", "error", "what", "hint"),
    [
        (
            {"compose_version": [1, "", "docker: unknown command: docker compose\n\nRun 'docker"]},
            ConfigError,
            "has no `docker compose`: docker: unknown command",
            "docker-compose-plugin",
        ),
        (
            {"compose_version": [0, "Docker Compose version v2.11.2", ""]},
            ConfigError,
            "this is Docker Compose version v2.11.2, but it must be 2.20 or newer",
            "upgrade",
        ),
        (
            {
                "engine_version": [
                    1,
                    "",
                    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the "
                    "docker daemon running?",
                ]
            },
            ConnectError,
            "does not answer: Cannot connect to the Docker daemon",
            "start Docker",
        ),
        (
            {
                "engine_version": [
                    1,
                    "",
                    "permission denied while trying to connect to the Docker daemon socket",
                ]
            },
            ConnectError,
            "permission denied",
            "group docker",
        ),
        (
            {
                "up": [
                    1,
                    [
                        "Error response from daemon: driver failed programming external "
                        "connectivity on endpoint nrtctl-kafka-1 (2b): Bind for 127.0.0.1:9092 "
                        "failed: port is already allocated"
                    ],
                ]
            },
            ConnectError,
            f"{PORT_9092} is in use",
            "other ports",
        ),
        (
            {
                "up": [
                    1,
                    [
                        "Error response from daemon: failed to set up container networking: "
                        "failed to bind host port 127.0.0.1:9092/tcp: address already in use"
                    ],
                ]
            },
            ConnectError,
            f"{PORT_9092} is in use",
            "other ports",
        ),
        (
            {
                "up": [
                    1,
                    [
                        "Error response from daemon: Ports are not available: exposing port TCP "
                        "127.0.0.1:9092 -> 127.0.0.1:0: listen tcp 127.0.0.1:9092: bind: no"
                    ],
                ]
            },
            ConnectError,
            f"{PORT_9092} is in use",
            "other ports",
        ),
        (
            {"up": [1, ["kafka Pulling", "Error: manifest for apache/kafka:4.1.0 not found"]]},
            NrtctlError,
            "docker compose up failed: Error: manifest for apache/kafka:4.1.0 not found",
            "up -v",
        ),
        (
            {
                "up": [1, ["container nrtctl-kafka-1 exited (1)"]],
                "ps": [
                    {"Service": "kafka", "State": "exited", "Health": "", "ExitCode": 1},
                    {"Service": "clickhouse", "State": "running", "Health": "healthy"},
                ],
                "logs": {"kafka": [f"line {n}" for n in range(40)] + ["No space left on device"]},
            },
            NrtctlError,
            "kafka is exited with code 1; its last lines:",
            "`nrtctl down`",
        ),
        (
            {
                "up": [1, ["container nrtctl-clickhouse-1 is unhealthy"]],
                "ps": [{"Service": "clickhouse", "State": "running", "Health": "unhealthy"}],
            },
            NrtctlError,
            "clickhouse is unhealthy; it has printed nothing",
            "`nrtctl down`",
        ),
        (
            {
                "up": [1, ["application not healthy after 5m0s"]],
                "ps": [{"Service": "kafka", "State": "running", "Health": "starting"}],
            },
            WaitTimeout,
            "kafka is starting",
            "`nrtctl down`",
        ),
    ],
)
def test_each_failure_says_what_and_what_mends_it(
    says: dict[str, Any],
    error: type[NrtctlError],
    what: str,
    hint: str,
    fake_docker: FakeDocker,
    tmp_path: Path,
) -> None:
    fake_docker.says(**says)
    with pytest.raises(error) as caught:
        up(tmp_path)
    assert type(caught.value) is error
    assert what in caught.value.message
    assert hint in (caught.value.hint or "")
    if says.get("logs"):
        assert caught.value.message.endswith("\n  No space left on device")
        assert caught.value.message.count("\n") == 20
    started = any("up" in words for words in fake_docker.calls())
    assert started == ("up" in says)
    assert docker.is_up(tmp_path / "state") == started, "so that `down` finds what is there"


def test_no_docker_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="docker is not installed") as caught:
        up(tmp_path)
    assert "up --stack local" in (caught.value.hint or "")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "setting",
    [
        "kafka.security_protocol='SSL'",
        "clickhouse.url='https://127.0.0.1:8443'",
        "clickhouse.username='me'",
        "clickhouse.cluster='prod'",
        "kafka.bootstrap_servers='kafka.example:9092'",
        'clickhouse.password="it\'s"',
    ],
)
def test_what_the_containers_have_not_is_refused(
    setting: str, fake_docker: FakeDocker, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError):
        up(tmp_path, "stack.kind='docker'", setting)
    assert fake_docker.calls() == []


def test_variables_of_the_user_do_not_get_in(
    fake_docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a password get into a command line, or a generated one change."""
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "of-something-else")
    fake_docker.says(up=[1, ["no"]], ps=[{"Service": "x", "State": "running"}])
    for _ in range(2):
        with pytest.raises(NrtctlError):
            up(tmp_path)
    env = tmp_path / "state/docker/.env"
    assert os.stat(env).st_mode & 0o777 == 0o600
    password = docker.stored_password(tmp_path / "state") or ""
    assert len(password) >= 32
    assert password in env.read_text()
    assert "of-something-else" not in env.read_text()
    assert password not in str(fake_docker.calls())
    with pytest.raises(NrtctlError):
        up(tmp_path, "clickhouse.password='$a b\"#c'")
    assert docker.stored_password(tmp_path / "state") == '$a b"#c'


def test_two_projects_do_not_share_containers(tmp_path: Path) -> None:
    names = {docker.project(tmp_path / name) for name in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("nrtctl-") for name in names)
