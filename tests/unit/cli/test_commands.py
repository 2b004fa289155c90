"""What holds for every command: its options, its help, its place in the docs, what it imports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nrtctl.cli.app import COMMANDS as LISTING
from nrtctl.cli.app import app
from nrtctl.cli.common_options import SHARED, use_group
from nrtctl.cli.lazy_group import PLAIN, Loaded
from nrtctl.cli.session import Session

ROOT = Path(__file__).parents[3]
RUNNER = CliRunner()
GROUPS = {name: where for name, (_, where) in LISTING.items() if not isinstance(where, str)}
COMMANDS: list[tuple[str, ...]] = [
    *((name,) for name in LISTING if name not in GROUPS),
    *((name, each) for name, group in GROUPS.items() for each in group),
]
MADE = ROOT / "docs" / "command-reference.md"
DOCS = [ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {MADE})]
"""The pages that somebody has written."""
HEAVY_FOR_HELP = {"rich", "pydantic", "asyncio", "tomllib", "orjson", "http"}
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
        assert re.search(rf"(^|\s){option}[\s,]", text), option
    assert "[profile.NAME]" in text


@pytest.mark.parametrize("command", COMMANDS, ids=names(COMMANDS))
def test_each_is_in_the_docs(command: tuple[str, ...]) -> None:
    text = "\n".join(path.read_text() for path in DOCS)
    assert f"nrtctl {' '.join(command)}" in text


@pytest.mark.parametrize("command", COMMANDS, ids=names(COMMANDS))
def test_each_of_its_options_is_in_the_docs(command: tuple[str, ...]) -> None:
    text = "\n".join(path.read_text() for path in DOCS)
    own = options_of(" ".join(command)).partition("Common options:")[0]
    for option in set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", own, re.M)) - {"--help"}:
        assert re.search(rf"{option}(?![a-z-])", text), option


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


LOADED = """
import os
import sys

import nrtctl.cli.app
from nrtctl.cli import main

for line in sys.stdin:
    sys.argv = ["nrtctl", *line.split()]
    if os.fork() == 0:
        out = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            main()
        except SystemExit:
            pass
        packages = {name.split(".")[0] for name in sys.modules}
        ours = {name for name in sys.modules if name.startswith("nrtctl.cli.")}
        os.write(out, f"{line.strip()}: {' '.join(packages | ours)}\\n".encode())
        os._exit(0)
    os.wait()
"""


def loaded(*commands: str) -> dict[str, set[str]]:
    """Of each command the top-level packages, and modules of `nrtctl.cli`, once it has ended."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input="\n".join(commands), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = dict(line.split(": ") for line in done.stdout.splitlines())
    assert list(found) == [*commands], done.stderr
    return {command: set(modules.split()) for command, modules in found.items()}


def test_schema_and_version_import_nothing_heavy() -> None:
    for command, modules in loaded("--version", "config schema").items():
        assert "nrtctl" in modules
        assert modules & HEAVY == set(), command


def test_help_imports_no_library_and_no_other_command() -> None:
    apart = names([(), *((name,) for name in GROUPS), *COMMANDS])
    for line, modules in loaded(*(f"{each} --help".strip() for each in apart)).items():
        assert "typer" in modules
        assert modules & (HEAVY | HEAVY_FOR_HELP) == set(), line
        commands = {name for name in modules if name.endswith("_command")}
        most = 3 if line.removesuffix("--help").strip() in names(COMMANDS) else 0
        assert len(commands) <= most, (line, commands)


def test_the_list_says_what_each_command_says_itself() -> None:
    for listing in (LISTING, *GROUPS.values()):
        for name, made in Loaded(listing).items():
            assert made.help.split("\n")[0] == listing[name][0], name


def test_defaults_that_are_taken_as_they_are_have_the_type_of_their_option() -> None:
    for listing in (LISTING, *GROUPS.values()):
        for name, made in Loaded(listing).items():
            for option in made.params:
                if type(option.default) in PLAIN:
                    assert option.type_descriptor.annotation is type(option.default), (
                        name, option.name,
                    )  # fmt: skip


def test_help_is_whole_sentences_and_values_have_names_that_a_person_reads() -> None:
    for listing in (LISTING, *GROUPS.values()):
        for name, made in Loaded(listing).items():
            for paragraph in made.help.split("\n\n"):
                assert re.fullmatch(r"[A-Z].*\.", paragraph, re.S), name
            for option in made.params:
                if option.name != "help" and not option.hidden:
                    assert re.fullmatch(r"[A-Z].*[^ ]\.", option.help), (name, option.name)
                    assert option.help.count("(") == option.help.count(")")
                if not getattr(option, "is_flag", False):
                    assert re.fullmatch(r"[A-Z]+([/:=][A-Z]+)?", option.metavar), option.name


@pytest.mark.parametrize(
    ("asked", "same_as"),
    [("help", ""), ("help -h", ""), ("help consume", "consume"), ("help dlq", "dlq"),
     ("help dlq show", "dlq show"), ("dlq help", "dlq"), ("dlq help show", "dlq show"),
     ("--color never help up", "up")],
)  # fmt: skip
def test_help_is_a_command_as_well(asked: str, same_as: str) -> None:
    found = RUNNER.invoke(app, asked.split())
    assert found.exit_code == 0
    assert found.output == RUNNER.invoke(app, [*same_as.split(), "--help"]).output


def test_help_for_a_command_that_is_not_there_is_an_error() -> None:
    found = RUNNER.invoke(app, ["help", "nope"])
    assert found.exit_code == 2
    assert "No such command 'nope'" in found.output


def test_help_says_in_words_which_numbers_are_allowed() -> None:
    assert "[default: 1; 1 to 256]" in options_of("consume")
    assert "[1 or more]" in options_of("dlq list")
    assert "[default: 0.0; 0 to 100]" in options_of("produce")
    for command in names(COMMANDS):
        assert not re.search("[<>]=", options_of(command)), command


def test_a_group_may_have_any_name() -> None:
    for name in ("a\\b", "it's", 'a "b"', "naïve"):
        session = Session({**dict.fromkeys(SHARED), "verbose": False, "set": []})
        use_group(session, name)
        assert session.config.consumer.group == name


def test_options_that_every_command_takes_are_apart() -> None:
    text = options_of("produce")
    own, _, common = text.partition("Common options:")
    assert "--ledger" in own
    assert "--help" in own
    assert "--profile" in common
    assert "--ledger" not in common


def test_a_wrong_call_is_2_and_says_so_on_stderr() -> None:
    for arguments in (["nonsense"], ["up", "--nonsense"], ["produce", "--count", "x"], ["query"]):
        result = RUNNER.invoke(app, arguments)
        assert result.exit_code == 2, arguments
        assert result.stdout == ""
        assert "nrtctl" in result.stderr
    assert "Did you mean 'produce'?" in RUNNER.invoke(app, ["prodcue"]).stderr
    assert "'shw'. Did you mean 'show'?" in RUNNER.invoke(app, ["config", "shw"]).stderr


def test_values_are_checked_and_defaults_are_kept() -> None:
    for arguments in (["--rate", "0"], ["--users", "no"], ["--metrics-port", "65536"]):
        result = RUNNER.invoke(app, ["produce", *arguments])
        assert result.exit_code == 2
        assert arguments[0] in result.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["produce", "--count", "-1"], "'--count': must be at least 1, not -1"),
        (["produce", "--count", "x"], "'--count': must be a whole number, not 'x'"),
        (["produce", "--late", "200"], "'--late': must be at most 100, not 200"),
        (["produce", "--rate", "fast"], "'--rate': must be a number, not 'fast'"),
        (["produce", "--rate", "inf"], "'--rate': must be a number, not 'inf'"),
        (["init", "x", "--format", "csv"], "--format says how a file is read and can only be used"),
        (["stats", "--metrics-host", "::1"], "--metrics-host can only be used with --serve"),
        (["consume", "--metrics-host", "::1"], "--metrics-host can only be used with --metrics-p"),
        (["consume", "-o", "jsonl", "--skip-damaged"], "-o jsonl only prints messages: --group"),
        (["stats", "-o", "csv"], "'-o' / '--output': 'csv' is not one of 'table', 'json', 'jsonl'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_value_is_said_in_plain_words(arguments: list[str], why: str) -> None:
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2
    assert why in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=names(COMMANDS))
def test_an_empty_value_is_not_taken_for_one_that_is_not_given(command: tuple[str, ...]) -> None:
    """A script's variable that is not set must not move another group, or purge every letter."""
    made = Loaded(LISTING)[command[0]]
    for name in command[1:]:
        made = made.commands[name]
    for option in made.params:
        if not getattr(option, "is_flag", False):
            words = [option.opts[0], ""] if option.param_type_name == "option" else [""]
            result = RUNNER.invoke(app, [*command, *words])
            assert (result.exit_code, result.stdout) == (2, ""), option.name
            told = any(
                each in result.stderr for each in ("must not be empty", "is not one of", "must be")
            )
            assert told, (option.name, result.stderr)


def test_bytes_that_are_no_text_are_only_taken_as_the_name_of_a_file() -> None:
    for words in (["query", "SELECT '\udcff'"], ["dlq", "list", "--reason", "\udcff"]):
        result = RUNNER.invoke(app, words)
        assert result.exit_code == 2
        assert "must be text in utf-8, not " in result.stderr
    result = RUNNER.invoke(app, ["produce", "\udcff.csv", "--metrics-host", "::1"])
    assert "--metrics-host can only be used with --metrics-port" in result.stderr


def test_a_closed_pipe_ends_without_a_word() -> None:
    for arguments in ("--help", "config schema", "config show"):
        line = f"set -o pipefail; {sys.executable} -m nrtctl {arguments} | head -c 1 >/dev/null"
        done = subprocess.run(["bash", "-c", line], capture_output=True)
        assert done.stderr == b""
