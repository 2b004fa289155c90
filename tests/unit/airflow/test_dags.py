"""The DAG files without Airflow: they parse, and what they call of nrtctl exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nrtctl.cli.app import app

DAGS = Path(__file__).parents[3] / "deploy" / "airflow" / "dags"
FILES = sorted(DAGS.glob("*.py"))


def calls(path: Path) -> list[list[str]]:
    """The words of every `run(…)` and `lines(…)`, up to the first that is computed."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            words = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if node.func.id in {"run", "lines"} and words:
                found.append([str(each) for each in words])
    return found


def test_there_are_dags_and_what_is_none_is_ignored() -> None:
    names = {path.name for path in FILES}
    assert names == {"nrtctl_commands.py", "nrtctl_dead_letters.py", "nrtctl_hourly.py"}
    ignored = (DAGS / ".airflowignore").read_text().split()
    assert ignored == ["nrtctl_commands.py"]


def test_the_commands_are_those_of_the_issue() -> None:
    words = [call for path in FILES for call in calls(path)]
    assert ["doctor", "--only", "kafka"] in words
    assert ["doctor", "--only", "clickhouse"] in words
    assert {call[0] for call in words} == {"doctor", "query", "verify", "dlq"}


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_commands_and_options_exist(path: Path) -> None:
    for words in calls(path):
        command = words[:2] if words[0] == "dlq" else words[:1]
        environ = {"COLUMNS": "200", "NO_COLOR": "1"}
        shown = CliRunner().invoke(app, [*command, "--help"], env=environ)
        assert shown.exit_code == 0, words
        for option in (word for word in words if word.startswith("-")):
            assert re.search(rf"(?<!\S){option}\b", shown.output), words
