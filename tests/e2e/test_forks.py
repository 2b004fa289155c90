"""A command that the tests fork is as one that Python is started for."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.forked_command import ForkedCommand
from tests.plugins.stack import Project
from tests.plugins.waiting import eventually

pytestmark = pytest.mark.parametrize("anew", [False, True])


def waiting(project: Project, anew: bool) -> subprocess.Popen[bytes]:
    """`nrtctl try -`, which reads what it is given to its end."""
    pipe = subprocess.PIPE
    return project.spawn("try", "-", stdin=pipe, stdout=pipe, stderr=pipe, anew=anew)


def test_it_reads_says_and_ends(project: Project, anew: bool) -> None:
    with waiting(project, anew) as process:
        out, errors = process.communicate(b'{"event_id":1}\n', timeout=60)
    assert process.returncode == 5, errors
    assert b"event_id" in out
    assert process.poll() == process.wait(0) == 5


def test_it_is_killed_and_its_end_is_told(project: Project, anew: bool) -> None:
    with waiting(project, anew) as process:
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
        assert eventually(process.poll, "the end") == -signal.SIGKILL


def test_it_has_its_own_directory_and_variables(project: Project, anew: bool) -> None:
    environ = project.environ | {"NRTCTL_PIPELINE__TOPIC": "of-the-environment"}
    with project.spawn(
        "config", "show", "-o", "json", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        environ=environ, anew=anew,
    ) as process:  # fmt: skip
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"of-the-environment" in out
    assert b"of-the-environment" not in project.run("config", "show", "-o", "json").stdout


def test_through_a_file_it_gets_signals_and_ends_with_its_code(
    project: Project, forked_command: ForkedCommand, anew: bool
) -> None:
    program = (Path(sys.executable).parent if anew else forked_command.directory) / "nrtctl"
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [program, "try", "-"], cwd=project.directory, env=project.environ,
        stdin=pipe, stdout=pipe, stderr=pipe,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(b'{"event_id":1}\n' * 50_000)  # more than a pipe holds: it is reading
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (out, process.returncode) == (b"", 130), errors
