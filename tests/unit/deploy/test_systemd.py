"""`deploy/systemd`: what systemd says of the unit, and that it gives the command what it needs."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nrtctl.cli.app import app
from nrtctl.consumer.loop import CLOSING_MOST, CLOSING_SECONDS, LAST_COMMITS_SECONDS
from tests.unit.deploy.files import DEPLOY

UNIT = DEPLOY / "systemd/nrtctl-consume.service"


def settings() -> Mapping[str, str]:
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def test_the_command_is_one() -> None:
    program, *arguments = shlex.split(settings()["ExecStart"])
    assert Path(program).name == "nrtctl"
    shown = CliRunner().invoke(app, [arguments[0], "--help"])
    assert shown.exit_code == 0
    assert all(each in shown.output for each in arguments if each.startswith("--"))


def test_an_orderly_end_has_the_time_that_it_needs() -> None:
    needed = CLOSING_MOST + CLOSING_SECONDS + LAST_COMMITS_SECONDS
    assert int(settings()["TimeoutStopSec"]) > needed
    assert settings()["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_it(tmp_path: Path) -> None:
    """Unknown keys are complaints, too; the program is not there on this machine."""
    unit = tmp_path / UNIT.name
    program = shlex.split(settings()["ExecStart"])[0]
    unit.write_text(UNIT.read_text().replace(program, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert ours == []
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivateTemp="))
    wrong = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "PrivateTemp" in wrong.stderr
