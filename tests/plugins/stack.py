"""A local stack of a test's own, driven by the installed command, as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.plugins.ports import free_port

COMMAND = (sys.executable, "-m", "nrtctl")


class Project:
    """A directory with an nrtctl.toml, and the command run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("NRTCTL_")
        } | {"XDG_STATE_HOME": str(directory / "state"), "XDG_CONFIG_HOME": str(directory / "cfg")}

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        code: int | None = 0,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `nrtctl …`; fails unless it ends with `code` (None: any)."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.environ,
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if code is not None and done.returncode != code:
            pytest.fail(
                f"nrtctl {' '.join(arguments)} ended with {done.returncode}, not {code}\n"
                f"{done.stdout.decode(errors='replace')[-2000:]}\n"
                f"{done.stderr.decode(errors='replace')[-4000:]}"
            )
        return done

    def start(
        self, *arguments: str, errors: IO[bytes] | int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Run `nrtctl …` in the background."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.directory,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        lines = self.run("query", sql, "-o", "jsonl").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def value(self, sql: str) -> Any:
        return next(iter(self.rows(sql)[0].values()))

    def use_free_ports(self) -> None:
        path = self.directory / "nrtctl.toml"
        text = path.read_text()
        for key, default in (("bootstrap_servers", ":9092"), ("url", ":8123")):
            (line,) = (each for each in text.splitlines() if each.startswith(f"# {key} = "))
            text = text.replace(line, line[2:].replace(default, f":{free_port()}"))
        path.write_text(text)

    def down(self) -> None:
        self.run("down", "--volumes", "--yes", code=None)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A fresh reference project on free ports; nothing is started."""
    made = Project(tmp_path)
    made.run("init")
    made.use_free_ports()
    yield made
    made.down()


@pytest.fixture
def stack(project: Project) -> Project:
    """A fresh reference project, up."""
    project.run("up")
    return project
