"""What holds for every command: its options, its help, its place in the docs, what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nrtctl.cli.app import app, bench, config, dlq, replay

ROOT = Path(__file__).parents[3]
RUNNER = CliRunner()
GROUPS = {"bench": bench, "config": config, "dlq": dlq, "replay": replay}
COMMANDS = [(each.name or "",) for each in app.registered_commands] + [
    (name, each.name or "") for name, group in GROUPS.items() for each in group.registered_commands
]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEAVY = {
    "chdb", "pandas", "pyarrow", "numpy", "faker", "confluent_kafka", "clickhouse_connect", "kio",
    "starlette", "uvicorn", "pydantic_settings",
}  # fmt: skip


def names(commands: list[tuple[str, ...]]) -> list[str]:
    return [" ".join(each) for each in commands]


def test_there_are_commands() -> None:
    assert ("demo",) in COMMANDS
    assert ("config", "show") in COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=names(COMMANDS))
def test_each_takes_the_shared_options_after_its_name(command: tuple[str, ...]) -> None:
    text = RUNNER.invoke(app, [*command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for option in ("--config", "--profile", "--set", "-o", "-q", "-v", "--color", "--debug"):
        assert re.search(rf"(^|\s){option}\s", text), option
    assert "[profile.NAME]" in text


@pytest.mark.parametrize("command", COMMANDS, ids=names(COMMANDS))
def test_each_is_in_the_docs(command: tuple[str, ...]) -> None:
    text = "\n".join(path.read_text() for path in DOCS)
    assert f"nrtctl {' '.join(command)}" in text


def options_of(command: str) -> str:
    return RUNNER.invoke(
        app, [*command.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}
    ).output


@pytest.mark.parametrize("path", DOCS, ids=[path.name for path in DOCS])
def test_the_docs_name_only_commands_and_options_that_exist(path: Path) -> None:
    known = set(names(COMMANDS))
    for line in re.findall(r"(?:^\$ |`|^  |&& )nrtctl ([^`\n#|;&]+)", path.read_text(), re.M):
        words = line.split()
        if not words or words[0].startswith(("-", "…", "[")):
            continue
        command = " ".join(words[:2]) if words[0] in GROUPS and len(words) > 1 else words[0]
        assert command in known or command in GROUPS, f"{path.name}: nrtctl {line}"
        if command in known:
            text = options_of(command)
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", line):
                assert re.search(rf"(?<!\S){option}\b", text), f"{path.name}: nrtctl {line}"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['nrtctl', *ARGUMENTS]\n"
        "from nrtctl.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', sorted({name.split('.')[0] for name in sys.modules}))"
    )
    for arguments in (["--help"], ["--version"], ["produce", "--help"], ["config", "schema"]):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("ARGUMENTS", repr(arguments))],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        loaded = set(re.findall(r"'(\w+)'", done.stdout.rpartition("LOADED")[2]))
        assert "nrtctl" in loaded
        assert loaded & HEAVY == set(), arguments


def test_a_wrong_call_is_2_and_says_so_on_stderr() -> None:
    for arguments in (["nonsense"], ["up", "--nonsense"], ["produce", "--count", "x"], ["query"]):
        result = RUNNER.invoke(app, arguments)
        assert result.exit_code == 2, arguments
        assert result.stdout == ""
        assert "nrtctl" in result.stderr


def test_a_closed_pipe_ends_without_a_word() -> None:
    for arguments in ("--help", "config schema", "config show"):
        line = f"set -o pipefail; {sys.executable} -m nrtctl {arguments} | head -c 1 >/dev/null"
        done = subprocess.run(["bash", "-c", line], capture_output=True)
        assert done.stderr == b""
