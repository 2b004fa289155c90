"""The pages of the documentation, and one of them carried out as a reader would."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.doc_blocks import PYTHON, Block, Step, blocks, replaced, shows, steps
from tests.plugins.ports import free_port
from tests.plugins.waiting import eventually

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
_READERS = "/home/me/shop"
"""The directory that pages are written in."""
_PORTS = ("9092", "8123", "8321", "8080", "9101", "9102", "9103", "9104")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    return blocks(page.read_text())


class Reader:
    """Runs blocks in a shell, one directory after the other as `cd` has it.

    Ports that the page names are others here, and the page's again in what is printed.
    """

    def __init__(
        self, directory: Path, kafka: str, clickhouse: str, *, commands: Path | None = None
    ) -> None:
        """
        Args:
            kafka, clickhouse: the ports of the stack.
            commands: a directory whose commands take the place of the installed ones.
        """
        self._directory = self._here = directory
        self._ports = {name: str(free_port()) for name in _PORTS} | {
            "9092": kafka,
            "8123": clickhouse,
        }
        self._where = directory / ".where"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("NRTCTL_")}
        first = [each for each in (commands, Path(sys.executable).parent) if each is not None]
        self._environ = kept | {
            "PATH": os.pathsep.join(map(str, (*first, os.environ["PATH"]))),
            "XDG_STATE_HOME": str(directory / "state"),
            "XDG_CONFIG_HOME": str(directory / "cfg"),
            "NRTCTL_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
            "NRTCTL_CLICKHOUSE__URL": f"http://127.0.0.1:{clickhouse}",
        }

    def read(self, block: Block) -> None:
        """Fails where a command does not end as the page shows, or prints something else."""
        for command in block.first:
            self._run(Step(command), f"line {block.line}, before it")
        if block.language == PYTHON:
            self._read_python(block)
            return
        for step in steps(block):
            where = f"line {block.line}"
            output = self._wait_for(step, where) if step.endless else self._run(step, where)
            if step.output and not block.varies and not shows(step.output, output):
                pytest.fail(
                    f"{where}: {step.command}\nis said to print\n  "
                    + "\n  ".join(step.output)
                    + "\nand prints\n  "
                    + "\n  ".join(output)
                )

    def _read_python(self, block: Block) -> None:
        name = block.file or f"line_{block.line}.py"
        (self._here / name).write_text(replaced(block.text, self._ports))
        if block.file is None:
            self._run(Step(f"python {name}"), f"line {block.line}")

    def _start(self, command: str, errors: int) -> subprocess.Popen[str]:
        script = f"trap 'pwd > {self._where}' EXIT\nset -eo pipefail\n"
        return subprocess.Popen(
            ["bash", "-c", f"{script}{replaced(command, self._ports)}"],
            cwd=self._here,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )

    def _run(self, step: Step, where: str) -> list[str]:
        process = self._start(step.command, subprocess.STDOUT)
        try:
            output, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            pytest.fail(f"{where}: {step.command}\ndid not end:\n{output}")
        if (process.returncode != 0) != step.fails:
            pytest.fail(f"{where}: {step.command}\nended with {process.returncode}:\n{output}")
        self._here = Path(self._where.read_text().strip())
        return self._as_the_page_has_it(output)

    def _wait_for(self, step: Step, where: str) -> list[str]:
        """Until it prints what the page says, or anything, or says that it serves; then it is
        interrupted."""
        errors = self._directory / ".errors"
        with errors.open("wb") as written:
            process = self._start(f"exec {step.command}", written.fileno())
        lines: list[str] = []
        try:
            if port := re.search(r"--(?:serve|metrics-port) (\d+)", step.command):
                served = int(self._ports[port[1]])
                eventually(
                    lambda: errors.stat().st_size and _is_well(served), f"{where}: {step.command}"
                )
            else:
                assert process.stdout is not None
                for _ in step.output or ("anything",):
                    lines.append(process.stdout.readline())
                if url := re.match(r"http://127\.0\.0\.1:(\d+)$", lines[-1].strip()):
                    page = int(url[1])
                    eventually(lambda: _is_well(page, "/"), f"{where}: {step.command}")
            os.killpg(process.pid, signal.SIGINT)
            rest = process.communicate(timeout=60)[0] + errors.read_text()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        if process.returncode not in (0, 130):
            pytest.fail(f"{where}: {step.command}\nended with {process.returncode}:\n{rest}")
        return self._as_the_page_has_it("".join(lines))

    def _as_the_page_has_it(self, output: str) -> list[str]:
        back = {here: name for name, here in self._ports.items()}
        return replaced(output, back).replace(str(self._directory), _READERS).splitlines()


def _is_well(port: int, path: str = "/healthz") -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
