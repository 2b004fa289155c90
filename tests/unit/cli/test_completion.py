"""The Tab key, in a real bash: what is completed, and that installing it is enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nrtctl.cli.app import COMMANDS, app


def bash(script: str, home: Path) -> list[str]:
    """The lines that it prints, with the command of this environment."""
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={
            "HOME": str(home),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def completed(*words: str) -> str:
    """A script that prints what Tab gives after these words, the last of which is begun."""
    given = " ".join(f"'{word}'" for word in words)
    return (
        f"COMP_WORDS=({given}); COMP_CWORD={len(words) - 1}; _nrtctl_completion nrtctl; "
        'printf "%s\\n" "${COMPREPLY[@]}" .;'
    )


def test_what_was_installed_completes_commands_options_and_values(tmp_path: Path) -> None:
    for _ in range(2):
        done = CliRunner(env={"HOME": str(tmp_path), "SHELL": "/bin/bash"}).invoke(
            app, ["completion", "install", "-o", "json"]
        )
        assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["shell"] == "bash"
    lines = bash(
        "source ~/.bashrc; "
        + completed("nrtctl", "")
        + completed("nrtctl", "topics", "de")
        + completed("nrtctl", "consume", "--metrics")
        + completed("nrtctl", "--color", "a")
        + completed("nrtctl", "load", "x"),
        tmp_path,
    )
    assert lines == [
        *COMMANDS, ".", "describe", "delete", ".", "--metrics-port", "--metrics-host", ".",
        "auto", "always", ".", ".",
    ]  # fmt: skip
    assert (tmp_path / ".bashrc").read_text().count("source ") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_asks_this_command(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", "show", shell])
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"_NRTCTL_COMPLETE=complete_{shell}" in done.stdout


def test_a_shell_that_is_none_of_them_is_refused_with_a_way_out(tmp_path: Path) -> None:
    for shell, verb in (("/bin/tcsh", "show"), ("", "install")):
        done = CliRunner(env={"SHELL": shell}).invoke(app, ["completion", verb])
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"nrtctl completion {verb} bash" in done.stderr
    (tmp_path / ".bashrc").mkdir()
    done = CliRunner(env={"HOME": str(tmp_path)}).invoke(app, ["completion", "install", "bash"])
    assert done.exit_code == 1
    assert "nrtctl completion show bash" in done.stderr
