"""A pipeline at work: a local stack with a producer and a consumer running, for views to show."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.stack import Project


@contextlib.contextmanager
def pipeline_at_work(
    directory: Path, *, rate: int = 20, invalid: int = 20, max_wait: str = "1s", workers: int = 1
) -> Iterator[Project]:
    """A fresh reference project that is up, fed and stored until the context ends.

    It works as little as shows, since tests look at it for a minute.

    Args:
        rate: messages a second.
        invalid: percent of them.
        max_wait: as in the configuration.
    """
    project = Project(directory)
    project.init()
    path = directory / "nrtctl.toml"
    path.write_text(path.read_text().replace('max_wait = "auto"', f'max_wait = "{max_wait}"'))
    running: list[subprocess.Popen[bytes]] = []
    nothing = subprocess.DEVNULL
    bad = ("--invalid", str(invalid))
    try:
        project.run("up")
        # Of every kind from the start.
        project.run("produce", "--count", "2000", "--seed", "3", *bad)
        for arguments in (
            ("consume", "--workers", str(workers)),
            ("produce", "--rate", str(rate), "--duration", "30m", *bad),
        ):
            running.append(project.spawn(*arguments, stdout=nothing, stderr=nothing))
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
