"""Whose stack answers: directories that are deleted, moved and copied, several projects at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from nrtctl.local.process import Endpoint
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

PARTS = ("kafka", "clickhouse")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack that is up, for tests that leave it so."""
    made = Project(tmp_path_factory.mktemp("first"))
    made.run("init")
    made.use_free_ports()
    made.run("up")
    yield made
    made.down()


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Project]:
    """Another project, as `init` leaves it."""
    (tmp_path / "second").mkdir()
    made = Project(tmp_path / "second")
    made.run("init")
    yield made
    made.down()


def state(project: Project) -> Path:
    return project.directory / ".nrtctl"


def endpoints(project: Project) -> dict[str, Endpoint]:
    found = {part: Endpoint.read(state(project) / part) for part in PARTS}
    return {part: each for part, each in found.items() if each is not None}


def gone(pids: list[int], within: float = 60) -> None:
    eventually(lambda: all(map(_is_zombie, pids)), f"the end of processes {pids}", within=within)


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    return True


def cluster_id(project: Project) -> str:
    admin = AdminClient({"bootstrap.servers": endpoints(project)["kafka"].address})
    return str(admin.list_topics(timeout=30).cluster_id)


def same_addresses(project: Project, as_of: Project) -> None:
    there = endpoints(as_of)
    project.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"] = there["kafka"].address
    project.environ["NRTCTL_CLICKHOUSE__URL"] = f"http://{there['clickhouse'].address}"


def refused(project: Project, *arguments: str, code: int = 3) -> str:
    done = project.run(*arguments, code=code)
    text = done.stderr.decode()
    assert "Traceback" not in text
    assert "error: " in text
    return text


@pytest.mark.parametrize("begun", [False, True])
def test_another_projects_stack_is_never_taken_for_this_ones(
    first: Project, second: Project, begun: bool
) -> None:
    """Its addresses are asked for, and it has them: before and after the first `up` here."""
    same_addresses(second, first)
    if begun:
        text = refused(second, "up")
        assert f"is taken by the stack in {state(first)}" in text
        assert "kafka.bootstrap_servers" in text
    for command in (("produce", "--count", "5"), ("consume", "--until-end"), ("verify",)):
        text = refused(second, *command)
        assert f"the stack in {state(first)} answers at " in text
        assert "nrtctl up" in text
        assert f"to use the one that answers, run the command in {first.directory}" in text
    assert f"the stack in {state(first)}" in refused(second, "query", "SELECT 1")
    assert first.json("stats", "--once")["lag_records"] == 0


def eventually_listening(port: int) -> socket.socket:
    """Here, and for as long as it is wanted: another stack could leave the port at any time."""

    def listening() -> socket.socket | None:
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
        return None

    found = eventually(listening, f"port {port} is free")
    assert found
    return found


def test_default_ports_that_are_taken(second: Project) -> None:
    """Nobody has asked for them: free ones are taken, said, and found by every command."""
    with contextlib.ExitStack() as taken:
        for port in (9092, 8123):
            taken.enter_context(eventually_listening(port))
        done = second.run("up")
        found = endpoints(second)
        for default, part in (("127.0.0.1:9092", "kafka"), ("127.0.0.1:8123", "clickhouse")):
            assert found[part].address != default
            assert f"{default} is taken by" in done.stderr.decode()
            assert f"answers at {found[part].address}" in done.stderr.decode()
            assert found[part].address in done.stdout.decode()
        second.run("produce", "--count", "10")
        assert second.json("consume", "--until-end")["records"] == 10
        assert all(row["ok"] for row in second.json("doctor"))
        second.run("down")
        second.run("up")
        again = endpoints(second)
        assert [again[part].port for part in PARTS] == [found[part].port for part in PARTS]
        asked = ("--set", "kafka.bootstrap_servers=127.0.0.1:9092")
        assert "runs at" in refused(second, "up", *asked, code=2)
        second.run("down")
        text = refused(second, "up", *asked)
        assert "127.0.0.1:9092 is taken by" in text


def test_a_stack_whose_directory_is_deleted_ends(stack: Project) -> None:
    stack.run("produce", "--count", "100")
    before = endpoints(stack)
    shutil.rmtree(state(stack))
    gone([each.pid for each in before.values()])
    assert not state(stack).exists()
    assert [row["state"] for row in stack.json("status", code=3)] == ["stopped"] * 2
    assert "is not running" in refused(stack, "produce", "--count", "1")
    asked = (
        "--set", f"kafka.bootstrap_servers={before['kafka'].address}",
        "--set", f"clickhouse.url=http://{before['clickhouse'].address}",
    )  # fmt: skip
    stack.run("up", *asked)
    stack.run("produce", "--count", "10")
    assert stack.json("consume", "--until-end")["records"] == 10
    assert stack.json("verify")["missing"] == 0


@pytest.mark.long
def test_another_directory_in_its_place(stack: Project) -> None:
    """The old stack ends and leaves the new one alone; moved back, it has all its rows."""
    stack.run("produce", "--count", "100")
    stack.run("consume", "--until-end")
    old, away = endpoints(stack), stack.directory / "away"
    state(stack).rename(away)
    stack.run("up")
    gone([each.pid for each in old.values()])
    assert [row["state"] for row in stack.json("status")] == ["running"] * 2
    stack.run("produce", "--count", "7")
    assert stack.json("verify")["lag"] == 7
    stack.down()
    away.rename(state(stack))
    stack.run("up")
    assert (stack.value("SELECT count() FROM events"), stack.json("verify")["missing"]) == (100, 0)


def test_a_copy_is_another_stack(first: Project, second: Project) -> None:
    """Also one that is taken while the stack runs, with what its processes wrote in it."""
    shutil.copytree(state(first), state(second), symlinks=True)
    assert [row["state"] for row in second.json("status", code=3)] == ["stopped"] * 2
    assert second.json("down")["stopped"] == {}
    same_addresses(second, first)
    assert f"the stack in {state(first)} answers at " in refused(second, "produce", "--count", "5")
    second.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:0"
    second.environ["NRTCTL_CLICKHOUSE__URL"] = "http://127.0.0.1:0"
    assert b"is a copy of another stack's" in second.run("up").stderr
    assert [row["state"] for row in first.json("status")] == ["running"] * 2
    own = cluster_id(second)
    assert own != cluster_id(first)
    for part in PARTS:
        passwords = {(state(each) / part / "password").read_text() for each in (first, second)}
        assert len(passwords) == 2
    second.run("down")
    state(second).rename(second.directory / "elsewhere")
    assert b"copy" not in second.run("up", "--set", "local.state_dir=elsewhere").stderr
    marker = json.loads((second.directory / "elsewhere" / "stack.json").read_text())
    assert marker["id"] == own
    second.run("down", "--volumes", "--yes", "--set", "local.state_dir=elsewhere")


def test_a_directory_of_the_version_before(second: Project) -> None:
    """Without an id: it takes the cluster id that its broker has."""
    second.use_free_ports()
    second.run("up")
    before = cluster_id(second)
    second.run("down")
    marker = state(second) / "stack.json"
    marker.write_text(json.dumps({"layout": 1, "version": "0.1.0"}))
    unknown = state(second) / "kafka" / "topics" / "of-another-stack"
    unknown.mkdir()
    assert b"set-aside" in second.run("up").stderr
    failed = [row["check"] for row in second.json("doctor", code=5) if not row["ok"]]
    assert failed == ["set aside"]
    assert json.loads(marker.read_text())["id"] == before == cluster_id(second)


@pytest.mark.parametrize("part", PARTS)
def test_a_process_that_hangs_is_not_said_to_run(first: Project, part: str) -> None:
    pid = endpoints(first)[part].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        done = first.run("status", "-o", "json", code=3)
        states = {row["part"]: row["state"] for row in json.loads(done.stdout)}
        assert states == {**dict.fromkeys(PARTS, "running"), part: "not answering"}
        assert f"(process {pid})" in done.stderr.decode()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [row["state"] for row in first.json("status")] == ["running"] * 2


def test_ipv6(second: Project) -> None:
    second.environ["NRTCTL_KAFKA__BOOTSTRAP_SERVERS"] = "[::1]:0"
    second.environ["NRTCTL_CLICKHOUSE__URL"] = "http://[::1]:0"
    up = second.json("up")
    assert up["kafka"].startswith("[::1]:")
    assert up["clickhouse"].startswith("http://[::1]:")
    second.run("produce", "--count", "10")
    assert second.json("consume", "--until-end")["records"] == 10
    assert [row["address"] for row in second.json("status")] == [
        up["kafka"],
        up["clickhouse"].removeprefix("http://"),
    ]
    assert all(row["ok"] for row in second.json("doctor"))
    same_addresses(second, second)
    second.run("verify")
    os.kill(endpoints(second)["kafka"].pid, signal.SIGSTOP)
    assert "broker" in second.run("down").stdout.decode()
