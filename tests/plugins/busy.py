"""A pipeline at work: a local stack with a producer and a consumer running, for views to show."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.stack import COMMAND, Project


@contextlib.contextmanager
def pipeline_at_work(directory: Path, *, rate: int = 200, workers: int = 1) -> Iterator[Project]:
    """A fresh reference project that is up, fed and stored until the context ends."""
    project = Project(directory)
    project.run("init")
    project.use_free_ports()
    running: list[subprocess.Popen[bytes]] = []
    try:
        project.run("up")
        for arguments in (
            ("consume", "--workers", str(workers)),
            ("produce", "--rate", str(rate), "--duration", "30m", "--invalid", "2"),
        ):
            running.append(
                subprocess.Popen(
                    [*COMMAND, *arguments],
                    cwd=directory,
                    env=project.environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        yield project
    finally:
        for each in running:
            each.kill() if workers == 1 else each.terminate()
        for each in running:
            each.wait()
        project.down()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pipeline_at_work(tmp_path_factory.mktemp("busy")) as project:
        yield project
