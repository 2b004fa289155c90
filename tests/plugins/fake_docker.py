"""A stand-in for the `docker` executable, since there is no container engine where this is tested.

It keeps every call; what it answers is in `docker_answers`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.docker_answers import stop

SCRIPT = """#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.plugins.docker_answers import answer
sys.exit(answer({home!r}))
"""
ROOT = Path(__file__).parents[2]

HEALTHY: dict[str, Any] = {
    "compose_version": [0, "Docker Compose version v2.39.1", ""],
    "engine_version": [0, "28.2.2", ""],
    "up": None,
    "ps": None,
    "logs": {},
    "hang": False,
}


class FakeDocker:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.bin = home / "bin"
        self.bin.mkdir(parents=True)
        script = self.bin / "docker"
        script.write_text(SCRIPT.format(python=sys.executable, root=str(ROOT), home=str(home)))
        script.chmod(0o755)
        self.says()

    def says(self, **changed: Any) -> None:
        """What is other than with a healthy docker. `up`: (exit code, lines); `ps`: containers."""
        (self.home / "scenario.json").write_text(json.dumps(HEALTHY | changed))

    @property
    def path(self) -> str:
        return f"{self.bin}{os.pathsep}{os.environ['PATH']}"

    def calls(self) -> list[list[str]]:
        file = self.home / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def fake_docker(tmp_path: Path) -> Iterator[FakeDocker]:
    fake = FakeDocker(tmp_path / "docker")
    yield fake
    stop(fake.home)
