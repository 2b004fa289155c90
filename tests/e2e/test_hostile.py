"""One stack among enemies: messages that steer terminals, a proxy that listens, a command line that
others read, and files of others in the directories above."""

from __future__ import annotations

import json
import os
import re
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from nrtctl.view.printable import printable
from tests.plugins.stack import Project
from tests.plugins.terminal import Terminal
from tests.plugins.waiting import eventually

EVIL = "\x1b]0;pwned\x07\x1b[31;7;5mred\x9b31m\x08\r\u202e\u2066\u200b\u2028\ufe0f[red]\n"
ACTS = ["\x1b]0;", "\x1b[31;7;5m", "\x9b", "\x07", "\x08", *"\u202e\u2066\u200b\u2028\ufe0f"]
SHOWN = printable(EVIL)
SECRET = "planted-secret"


def event(**changes: object) -> str:
    return json.dumps({
        "event_id": str(uuid.uuid4()), "user_id": str(uuid.uuid4()),
        "session_id": str(uuid.uuid4()), "event_type": "SEARCH", "event_timestamp": 1767225600000,
        "request_latency_ms": 1, "status": "SUCCESS", **changes,
    }, ensure_ascii=False)  # fmt: skip


MESSAGES = [
    {"key": EVIL, "headers": [[EVIL, EVIL]], "value": value}
    for value in (
        event(status=EVIL),
        event(event_type=EVIL),
        event(event_id=EVIL),
        event(request_latency_ms=EVIL, **{EVIL: 1}),
        event(error_code=EVIL),
        EVIL,
    )
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stack whose topic, rows and dead letters hold what an enemy would write."""
    directory = tmp_path_factory.mktemp("hostile")
    project = Project(directory)
    project.run("init")
    project.use_free_ports()
    path = directory / "nrtctl.toml"
    path.write_text(path.read_text().replace("partitions = 4", "partitions = 1"))
    project.run("up")
    lines = "".join(json.dumps({"nrtctl_message": 1, **each}) + "\n" for each in MESSAGES)
    project.run("produce", "--input", "-", "--format", "messages", stdin=lines.encode())
    project.run("consume", "--until-end")
    yield project
    project.down()


def terminal(project: Project, *arguments: str) -> Terminal:
    return project.terminal(*arguments, width=150, height=50)


def harmless(raw: bytes) -> str:
    text = raw.decode()
    for each in ACTS:
        assert each not in text, f"{each!r} reaches the terminal"
    assert re.search(r"\r(?!\n)[^\x1b]", text) is None
    return text


QUOTED = "SELECT toDate(status) FROM events WHERE status != 'SUCCESS'"
COMMANDS = {
    "a table": (0, "query", "SELECT *, [status], map(status, status) FROM events"),
    "json": (0, "query", "SELECT * FROM events", "-o", "json"),
    "a format of ClickHouse": (0, "query", "SELECT * FROM events FORMAT TSVRaw"),
    "an error that quotes, and its traceback": (1, "query", QUOTED, "--debug"),
    "dead letters": (0, "dlq", "list"),
    "statistics": (0, "stats", "--once", "--by", "status", "--interval", "100ms"),
    "messages": (0, "consume", "-o", "jsonl", "--until-end"),
    "settings": (0, "config", "show", "--set", "kafka.properties.client.id=\x1b]0;x\u202e"),
    "a wrong setting": (2, "config", "show", "--set", "kafka.bootstrap_servers=\x1b]0;x\u202e"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_message_steers_the_terminal_it_is_shown_on(hostile: Project, name: str) -> None:
    code, *command = COMMANDS[name]
    with terminal(hostile, *map(str, command)) as shown:
        assert shown.wait_for_end() == code
        text = harmless(shown.raw)
    assert re.search(r"\\(x|u00)1b\]0;", text, re.IGNORECASE)


def test_a_dead_letter_is_shown_whole_and_harmless(hostile: Project) -> None:
    letters = hostile.json("dlq", "list")
    assert len(letters) >= 3
    with terminal(hostile, "dlq", "show", f"0/{letters[-1]['offset']}") as shown:
        assert shown.wait_for_end() == 0
        assert SHOWN in harmless(shown.raw).replace("\r\n", "")


def test_the_live_view_shows_them_harmless(hostile: Project) -> None:
    arguments = ("stats", "--by", "status", "--interval", "300ms", "--window", "1h")
    with terminal(hostile, *arguments) as shown:
        shown.wait_for("\\x1b]0;pwned")
        shown.press("q")
        shown.wait_for_end()
        harmless(shown.raw)


def test_pipes_get_every_byte(hostile: Project) -> None:
    sql = "SELECT status FROM events WHERE status != 'SUCCESS'"
    assert hostile.rows(sql) == [{"status": EVIL}]
    assert hostile.json("query", sql) == [{"status": EVIL}]
    assert hostile.run("query", f"{sql} FORMAT TSVRaw").stdout.decode() == f"{EVIL}\n"
    lines = hostile.run("consume", "-o", "jsonl", "--until-end").stdout.splitlines()
    printed = [json.loads(line) for line in lines]
    assert [each["value"] for each in printed] == [each["value"] for each in MESSAGES]
    assert all(each["key"] == EVIL and each["headers"] == [[EVIL, EVIL]] for each in printed)


def test_no_local_command_goes_through_a_proxy(hostile: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")
        before = dict(hostile.environ)
        hostile.environ |= dict.fromkeys(names, address)
        try:
            assert hostile.value("SELECT 1 AS one") == 1
            hostile.run("verify")
        finally:
            hostile.environ = before
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_no_secret_is_on_a_command_line_of_ours(hostile: Project) -> None:
    """Neither on that of a worker nor in a command that is printed to be repeated."""
    secret = ["--set", f"kafka.properties.ssl.key.password={SECRET}"]
    for command in (
        ["verify", "--repair"], ["replay", "offsets", "--to-earliest"],
        ["replay", "load", "--offset", "0:1"], ["dlq", "purge"],
    ):  # fmt: skip
        said = hostile.run(*command, *secret, "-o", "json")
        assert SECRET.encode() not in said.stdout + said.stderr
        assert b"ssl.key.password=********" in said.stdout
    if not Path("/proc/self/cmdline").exists():
        return
    working = hostile.start("consume", "--workers", "2", *secret, anew=True)
    try:

        def members() -> list[bytes]:
            found = [line for line in _command_lines(working.pid) if b"--member" in line]
            return found if len(found) == 2 or working.poll() is not None else []

        lines = eventually(members, "two workers")
        assert len(lines) == 2
        assert not any(SECRET.encode() in line for line in lines)
    finally:
        working.terminate()
        working.communicate(timeout=60)


def _command_lines(parent: int) -> list[bytes]:
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and f"\nPPid:\t{parent}\n" in (each / "status").read_text():
                found.append((each / "cmdline").read_bytes())
        except OSError:
            continue
    return found


def test_what_others_can_write_above_is_not_read_unless_it_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path)
    above = tmp_path / "nrtctl.toml"
    above.write_text('[clickhouse]\nurl = "http://127.0.0.1:1"\n[stack]\nkind = "external"\n')
    above.chmod(0o666)
    project.directory = tmp_path / "below"
    project.directory.mkdir()
    said = project.run("query", "SELECT 1", code=2).stderr.decode()
    assert f"{above}: others can write it" in said
    assert f"nrtctl --config {above}" in said
    assert b"127.0.0.1:1" in project.run("config", "show", "--config", str(above)).stdout
    project.environ["NRTCTL_CONFIG"] = str(above)
    assert b"127.0.0.1:1" in project.run("config", "show").stdout
    above.write_text('[kafka.properties]\n"plugin.library.paths" = "x.so"\n')
    said = project.run("config", "show", code=2).stderr.decode()
    assert "plugin.library.paths: it loads code into the process, so no file may set it" in said
    os.unlink(above)
