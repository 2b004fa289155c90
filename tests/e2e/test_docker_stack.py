"""`up --stack docker` and `down`, as a person types them, with a stand-in `docker`."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.plugins.fake_docker import FakeDocker
from tests.plugins.ports import free_port
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.fixture
def docker_project(tmp_path: Path, fake_docker: FakeDocker) -> Project:
    """The file that `init` writes, addresses by variables, a stand-in `docker`; nothing runs."""
    (tmp_path / "project").mkdir()
    made = Project(tmp_path / "project")
    made.run("init")
    kafka, clickhouse = free_port(), free_port()
    made.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{kafka}"
    made.environ["NRTCTL_CLICKHOUSE__URL"] = f"http://127.0.0.1:{clickhouse}"
    made.environ["PATH"] = fake_docker.path
    return made


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.long)])
def test_from_up_to_down(docker_project: Project, fake_docker: FakeDocker, again: bool) -> None:
    """
    Args:
        again: it is started once more, with the data that it had.
    """
    project = docker_project
    done = project.run("up", "--stack", "docker")
    shown = done.stdout.decode() + done.stderr.decode()
    assert "Kafka" in shown
    assert "healthy" in shown
    assert "topic       user_events  created" in shown
    env = (project.directory / ".nrtctl/docker/.env").read_text()
    password = env.partition("CLICKHOUSE_PASSWORD='")[2].partition("'")[0]
    assert len(password) > 20
    ups = [words for words in fake_docker.calls() if "up" in words]
    assert len(ups) == 1
    assert ups[0][-2:] == ["kafka", "clickhouse"]
    assert {"--detach", "--wait", "--wait-timeout"} <= set(ups[0])

    # From here on nothing needs to be said about docker.
    project.run("produce", "--count", "2000")
    project.run("consume", "--until-end")
    report = project.json("verify")
    assert (report["stored"], report["missing"], report["duplicated"]) == (2000, 0, 0)
    states = {row["part"]: row["state"] for row in project.json("status")}
    assert states == {"kafka": "healthy", "clickhouse": "healthy"}
    origins = project.run("config", "show", "--origin").stdout.decode()
    assert "docker/up" in origins
    steps = project.json("up")["steps"]
    assert {step["action"] for step in steps} == {"kept"}
    refused = project.run("up", "--stack", "local", code=2).stderr.decode()
    assert "`nrtctl down` first" in refused

    asked = project.run("down", "--volumes", code=2).stderr.decode()
    assert "add --yes" in asked
    if again:
        assert project.json("down") == {
            "stopped": {"kafka": None, "clickhouse": None},
            "deleted": False,
        }
        downs = [words for words in fake_docker.calls() if "down" in words]
        assert "--volumes" not in downs[-1]
        assert downs[-1][downs[-1].index("--profile") + 1] == "*"
        assert {row["state"] for row in project.json("status", code=3)} == {"stopped"}

        project.run("up", "--stack", "docker")
        assert project.value("SELECT count() AS n FROM events") == 2000
        assert password in (project.directory / ".nrtctl/docker/.env").read_text()
    project.run("down", "--volumes", "--yes")
    assert not (project.directory / ".nrtctl/docker").exists()
    assert "--volumes" in fake_docker.calls()[-1]
    told = shown + asked + refused + origins + json.dumps(fake_docker.calls())
    assert password not in told


def test_a_failing_container_is_shown_and_can_be_removed(
    docker_project: Project, fake_docker: FakeDocker
) -> None:
    fake_docker.says(
        up=[1, [" Container nrtctl-kafka-1  Error", "container nrtctl-kafka-1 exited (1)"]],
        ps=[{"Service": "kafka", "State": "exited", "ExitCode": 1}],
        logs={"kafka": ["Cluster ID mismatch", "Exiting Kafka due to fatal exception"]},
    )
    done = docker_project.run("up", "--stack", "docker", code=1)
    text = done.stderr.decode()
    assert done.stdout == b""
    assert "error: the container of kafka is exited with code 1" in text
    assert "Exiting Kafka due to fatal exception" in text
    assert "Traceback" not in text
    assert {row["state"] for row in docker_project.json("status", code=3)} == {
        "exited with code 1",
        "stopped",
    }
    docker_project.run("down")
    assert "down" in fake_docker.calls()[-1]

    left = docker_project.run("down", "--volumes", "--yes").stderr.decode()
    assert "`nrtctl down --stack docker --volumes` deletes it" in left
    assert (docker_project.directory / ".nrtctl/docker/.env").exists()


def test_ctrl_c_ends_the_wait(docker_project: Project, fake_docker: FakeDocker) -> None:
    fake_docker.says(hang=True)
    process = docker_project.start("up", "--stack", "docker")
    try:
        eventually(lambda: any("up" in words for words in fake_docker.calls()), "a call")
        assert process.stderr is not None
        assert b"Waiting" in process.stderr.readline()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.communicate()
    assert (fake_docker.home / "interrupted").exists()
    assert (docker_project.directory / ".nrtctl/docker/up").exists()
