"""`up`, `down`, `status`, `doctor`, `init` as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from nrtctl.local.process import Endpoint
from tests.plugins.stack import COMMAND, Project
from tests.plugins.waiting import eventually


def endpoint(project: Project, part: str) -> Endpoint:
    found = Endpoint.read(project.directory / ".nrtctl" / part)
    assert found is not None
    return found


def kill(project: Project, part: str) -> None:
    os.kill(endpoint(project, part).pid, signal.SIGKILL)
    at = ("kafka", "clickhouse").index(part)
    eventually(lambda: not project.json("status", code=None)[at]["pid"], f"{part} is gone")


def said(project: Project, *arguments: str, code: int, stdin: bytes | None = None) -> str:
    done = project.run(*arguments, code=code, stdin=stdin)
    assert done.stdout == b""
    text = done.stderr.decode()
    assert "Traceback" not in text
    assert "error: " in text
    return text


def delivered(project: Project, topic: str) -> bool:
    """Whether a message comes into a topic that nobody has made."""
    found = endpoint(project, "kafka")
    producer = Producer({"bootstrap.servers": found.address, "message.timeout.ms": 5000})
    producer.produce(topic, b"a")
    return producer.flush(60) == 0 and topic in producer.list_topics(timeout=60).topics


@contextlib.contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_up_starts_the_half_that_died_where_it_was(stack: Project) -> None:
    """And each command needs only the half that it uses."""
    for part, other in (("clickhouse", "kafka"), ("kafka", "clickhouse")):
        before = endpoint(stack, part)
        kill(stack, part)
        states = {row["part"]: row["state"] for row in stack.json("status", code=3)}
        assert states[part] == "stopped"
        failed = [row for row in stack.json("doctor", code=5) if not row["ok"]]
        assert len(failed) == 1
        only = stack.json("doctor", "--only", part, code=5)
        assert [row for row in only if not row["ok"]] == failed
        assert all(row["ok"] for row in stack.json("doctor", "--only", other))
        assert "nrtctl up" in failed[0]["fix"]
        if part == "clickhouse":
            assert stack.json("produce", "--count", "10")["acknowledged"] == 10
            assert "ClickHouse front is not running" in said(stack, "query", "SELECT 1", code=3)
        else:
            assert stack.run("query", "SELECT 1").stdout
            assert "broker is not running" in said(stack, "produce", "--count", "10", code=3)
        lines = stack.run("up").stdout.decode().splitlines()
        assert sorted(line.split("  ")[-1] for line in lines[:2]) == ["running already", "started"]
        assert endpoint(stack, part).port == before.port
        assert endpoint(stack, part).instance_id == before.instance_id
    assert all(row["ok"] for row in stack.json("doctor"))


def test_what_is_only_done_where_it_is_set(project: Project) -> None:
    """Unset: test_stack_in_use."""
    project.run("up", "--set", "local.auto_create_topics=true", "--set", "local.system_logs=true")
    assert delivered(project, "made-now")
    project.run("query", "SELECT count() FROM system.query_log")


def test_files_left_by_a_reboot_are_no_stack(stack: Project) -> None:
    """Endpoints of processes that are gone, whose ids and one port others have now."""
    for part in ("kafka", "clickhouse"):
        kill(stack, part)
        path = stack.directory / ".nrtctl" / part / "endpoint.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "pid": os.getpid()}))
    assert [row["state"] for row in stack.json("status", code=3)] == ["stopped"] * 2
    assert "nothing was running" in stack.run("down").stdout.decode()
    stack.run("up")
    assert [row["state"] for row in stack.json("status")] == ["running"] * 2


def test_fixed_ports_where_nobody_listens_are_told_at_once(project: Project) -> None:
    for setting, command in (
        ("kafka.bootstrap_servers=127.0.0.1:1", ("produce", "--count", "1")),
        ("clickhouse.url=http://127.0.0.1:1", ("query", "SELECT 1")),
    ):
        text = said(project, *command, "--set", setting, code=3)
        assert "nothing is listening on 127.0.0.1:1" in text
        assert "nrtctl up" in text


def test_a_directory_that_is_no_stacks_is_left_alone(project: Project) -> None:
    place = project.directory / "mine"
    (place / "logs").mkdir(parents=True)
    (place / "logs" / "precious").write_text("x")
    setting = ("--set", f"local.state_dir={place}")
    assert "is not the state directory of a stack" in said(project, "up", *setting, code=2)
    text = said(project, "down", "--volumes", "--yes", *setting, code=2)
    assert "nothing was deleted" in text
    assert (place / "logs" / "precious").read_text() == "x"


def test_a_stack_of_a_newer_version_is_refused_and_can_be_stopped(stack: Project) -> None:
    marker = stack.directory / ".nrtctl" / "stack.json"
    text = marker.read_text()
    marker.write_text(json.dumps({"layout": 99, "version": "9.0"}))
    assert "created by nrtctl 9.0" in said(stack, "up", code=2)
    assert "stopped broker" in stack.run("down").stdout.decode()
    assert "created by nrtctl 9.0" in said(stack, "down", "--volumes", "--yes", code=2)
    marker.write_text(text)


def test_down_with_volumes_asks_first(stack: Project) -> None:
    stack.run("produce", "--count", "5")
    assert "--yes" in said(stack, "down", "--volumes", code=2, stdin=b"y\n")
    assert [row["state"] for row in stack.json("status")] == ["running"] * 2
    done = stack.run("down", "--volumes", "--yes")
    assert b"deleted the data" in done.stdout
    assert not (stack.directory / ".nrtctl").exists()
    assert stack.json("down", "--volumes", "--yes") == {"stopped": {}, "deleted": False}


def test_without_the_extra_up_says_how_to_get_it(project: Project) -> None:
    blocked = project.directory / "blocked"
    blocked.mkdir()
    (blocked / "sitecustomize.py").write_text("import sys\nsys.modules['chdb'] = None\n")
    project.environ["PYTHONPATH"] = str(blocked)
    text = said(project, "up", code=2)
    assert "chdb" in text
    assert "pip install '.[local]'" in text
    assert not (project.directory / ".nrtctl").exists()


def test_a_read_only_and_a_full_disk(project: Project) -> None:
    place = project.directory / "mount"
    setting = ("--set", f"local.state_dir={place}/state")
    with mounted(place, "ro"):
        text = said(project, "up", *setting, code=1)
        assert "cannot be written: Read-only file system" in text
        assert "local.state_dir" in text
        checks = {row["check"]: row for row in project.json("doctor", *setting, code=5)}
        assert "local.state_dir" in checks["disk"]["fix"]
    with mounted(place, "size=64k"):
        with contextlib.suppress(OSError), (place / "full").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        text = said(project, "up", *setting, code=1)
        assert "cannot be written" in text
        assert "free some space" in text
        checks = {row["check"]: row for row in project.json("doctor", *setting, code=5)}
        assert "free some space" in checks["disk"]["fix"]
        assert [row["state"] for row in project.json("status", *setting, code=3)] == ["stopped"] * 2


def test_a_path_that_is_too_long(project: Project) -> None:
    text = said(project, "up", "--set", f"local.state_dir=/tmp/{'x' * 300}", code=1)
    assert "File name too long" in text


def test_init_overwrites_only_by_force(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.json("init", "sub") == {
        "wrote": ["sub/nrtctl.toml", "sub/metrics.json", "sub/metrics.schema.json"]
    }
    (tmp_path / "sub" / "nrtctl.toml").write_text("# mine\n")
    assert "init --force" in said(project, "init", "sub", code=2)
    assert (tmp_path / "sub" / "nrtctl.toml").read_text() == "# mine\n"
    project.run("init", "sub", "--force")
    assert "[pipeline]" in (tmp_path / "sub" / "nrtctl.toml").read_text()
    (tmp_path / "file").write_text("")
    assert "cannot be written" in said(project, "init", "file", code=1)


def test_an_answer_to_the_question_of_down(stack: Project) -> None:
    """On a terminal: no keeps everything, yes deletes."""
    import pty

    def ask(answer: bytes) -> int:
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(stack.directory)
            os.execvpe(COMMAND[0], [*COMMAND, "down", "--volumes"], stack.environ)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(terminal, 1000)
        os.write(terminal, answer)
        with contextlib.suppress(OSError):
            while True:
                if not select.select([terminal], [], [], 5)[0]:
                    os.write(terminal, answer)  # a Ctrl-C just before the read is seen at the next
                elif not os.read(terminal, 1000):
                    break
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert ask(b"n\n") == 1
    assert ask(b"\x03") == 130
    assert [row["state"] for row in stack.json("status")] == ["running"] * 2
    assert ask(b"y\n") == 0
    assert not (stack.directory / ".nrtctl").exists()


def test_files_of_the_stack_that_a_broken_disk_has_damaged(stack: Project) -> None:
    state = stack.directory / ".nrtctl"
    stack.run("produce", "--count", "20")

    def processes() -> list[int]:
        return [each["pid"] for each in stack.json("status")]

    before = processes()
    for name in ("kafka", "clickhouse"):
        announced = state / name / "endpoint.json"
        for text in (b"", b"\0" * 60, b'{"pid": "1", "host": "127.0.0.1", "port": 1}'):
            announced.write_bytes(text)
            assert processes() == before
        announced.unlink()
        assert processes() == before

    marker = state / "stack.json"
    known = json.loads(marker.read_text())
    marker.write_bytes(b"\0" * 100)
    done = said(stack, "down", "--volumes", "--yes", code=2)
    assert "stack.json is damaged" in done
    assert "`nrtctl up` writes it again" in done
    stack.run("up")
    assert json.loads(marker.read_text())["id"] == known["id"]
    stack.run("down")
    for damaged in (marker, state / "clickhouse" / "instance"):
        damaged.write_bytes(b"")
    stack.run("up")
    assert json.loads(marker.read_text())["id"] == known["id"]
    assert re.fullmatch("[0-9a-f]{32}", (state / "clickhouse" / "instance").read_text())
    assert stack.json("consume", "--until-end")["records"] == 20


def test_an_up_that_is_interrupted_says_what_runs(project: Project) -> None:
    """Before that nothing runs: what was started ends with it."""
    pipe = subprocess.PIPE
    process = project.spawn("up", stdout=pipe, stderr=pipe)
    database = project.directory / ".nrtctl" / "clickhouse" / "endpoint.json"
    eventually(database.exists, "both have announced themselves", within=120)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    running = [row["state"] for row in project.json("status", code=None)]
    if process.returncode == 130:
        assert out == b""
        told = b"broker and ClickHouse run now: `nrtctl up` goes on with what was interrupted, and"
        assert (told in said) is (running == ["running"] * 2)
        assert running in (["running"] * 2, ["stopped"] * 2)
    project.run("up")
    assert project.json("consume", "--until-end")["records"] == 0
