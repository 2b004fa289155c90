"""`nrtctl demo`: the whole pipeline, and a check of its own counts."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    (tmp_path / "tmp").mkdir()
    made.environ["TMPDIR"] = str(tmp_path / "tmp")
    return made


def left(project: Project) -> list[str]:
    return [path.name for path in (project.directory / "tmp").iterdir()]


def check(result: Any, count: int) -> None:
    """Every event is accounted for."""
    assert result["produced"] == count
    assert result["stored"] + result["dead_letters"] == result["produced"]
    assert result["dead_letters"] > 0
    assert result["missing"] == result["duplicated"] == 0
    assert result["rollup_events"] == result["stored"]
    assert result["seconds"] > 0


@pytest.mark.long
def test_it_accounts_for_a_hundred_thousand_events(project: Project) -> None:
    check(project.json("demo", "--count", "100000"), 100_000)
    assert left(project) == []


def test_the_users_settings_and_ports_are_left_alone(project: Project) -> None:
    """With a configuration of a real cluster in the environment and beside it, in use or not."""
    project.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"] = "kafka.example:9092"
    project.environ["NRTCTL_KAFKA__SECURITY_PROTOCOL"] = "SSL"
    (project.directory / "cfg" / "nrtctl").mkdir(parents=True)
    (project.directory / "cfg" / "nrtctl" / "config.toml").write_text("[kafka.properties]\nx='y'\n")
    (project.directory / "nrtctl.toml").write_text("[pipeline]\ntopic = 'mine'\n")
    taken = []
    for port in (9092, 8123):
        try:
            taken.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue  # somebody else has it: as good
    try:
        check(project.json("demo", "--count", "2000"), 2000)
    finally:
        for each in taken:
            each.close()
    assert left(project) == []
    assert not (project.directory / ".nrtctl").exists()
    assert (
        b"it takes no configuration"
        in project.run("demo", "--config", "nrtctl.toml", code=2).stderr
    )


def test_counts_that_disagree_are_5(project: Project) -> None:
    sabotage = "pipeline.rollups.event_metrics.values.total_events=count() + 1"
    done = project.run("demo", "--count", "500", "-o", "json", "--set", sabotage, code=5)
    result = json.loads(done.stdout)
    assert not result["ok"]
    assert result["rollup_events"] > result["stored"]
    assert b"do not agree" in done.stderr
    assert left(project) == []


def test_keep_leaves_a_stack_to_play_with_beside_which_another_runs(project: Project) -> None:
    done = project.run("demo", "--count", "500", "--keep", "-o", "json")
    stored = json.loads(done.stdout)["stored"]
    assert b"nrtctl down --volumes" in done.stderr
    kept = Project(project.directory / "nrtctl-demo")
    try:
        assert kept.json("verify")["stored"] == stored
        assert kept.value("SELECT sum(total_events) FROM event_metrics") == stored
        assert b"exists already" in project.run("demo", "--keep", code=2).stderr
        picture(project)
        assert kept.json("verify")["stored"] == stored
    finally:
        kept.down()


def picture(project: Project) -> None:
    """It draws one, and says nothing else when quiet."""
    done = project.run("demo", "--count", "500", "-q")
    text = done.stdout.decode()
    assert "500  events produced" in text
    assert "every event is accounted for" in text
    assert "\x1b" not in text
    assert done.stderr == b""


def started(project: Project) -> list[Endpoint]:
    """Both halves of a demo that has just begun."""

    def both() -> list[Endpoint]:
        found = [
            Endpoint.read(path)
            for name in ("kafka", "clickhouse")
            for path in (project.directory / "tmp").glob(f"nrtctl-demo-*/.nrtctl/{name}")
        ]
        ready = [each for each in found if each is not None]
        return ready if len(ready) == 2 else []

    return eventually(both, "both halves run")


def alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_an_interrupt_leaves_nothing_behind(project: Project) -> None:
    process = project.start("demo", "--count", "5000000")
    parts = started(project)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert out == b""
    assert b"interrupted" in errors
    assert not any(alive(each.pid) for each in parts)
    assert left(project) == []


def test_its_stack_dies_with_it(project: Project) -> None:
    process = project.start("demo", "--count", "5000000")
    parts = started(project)
    process.kill()
    process.communicate()
    eventually(lambda: not any(alive(each.pid) for each in parts), "its stack is gone")
