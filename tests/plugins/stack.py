"""A local stack of a test's own, driven by the installed command, as a person would."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from nrtctl.cli.query_command import AS_WRITTEN, LINES
from nrtctl.local.process import Endpoint
from tests.plugins import forks
from tests.plugins.forked_command import ForkedCommand
from tests.plugins.ports import free_port
from tests.plugins.terminal import Terminal

if TYPE_CHECKING:
    from tests.plugins.shared_stack import SharedStack

COMMAND = (sys.executable, "-m", "nrtctl")
_OWN = {"test_identity", "test_stack"}
"""Files of tests that look at the processes, their directory, their memory or their end."""

_FORKS = forks.Forks(forks.COMMAND)
atexit.register(_FORKS.close)


class Project:
    """A directory with an nrtctl.toml, and the command run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith("NRTCTL_")
        } | {"XDG_STATE_HOME": str(directory / "state"), "XDG_CONFIG_HOME": str(directory / "cfg")}

    def use_pipelines(self, toml: str) -> None:
        """Have these and nothing else in the file, beside where Kafka and ClickHouse are."""
        path = self.directory / "nrtctl.toml"
        lines = r"^(?:bootstrap_servers|url) = .*$"
        servers, url = re.findall(lines, path.read_text(), re.MULTILINE)
        path.write_text(f"[kafka]\n{servers}\n[clickhouse]\n{url}\n{toml}")
        (self.directory / "metrics.json").unlink()

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        code: int | None = 0,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `nrtctl …`; fails unless it ends with `code` (None: any).

        Args:
            timeout: in seconds.
        """
        pipe = subprocess.PIPE
        with self.spawn(*arguments, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            try:
                out, errors = process.communicate(stdin, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess([*arguments], process.returncode, out, errors)
        if code is not None and done.returncode != code:
            pytest.fail(
                f"nrtctl {' '.join(arguments)} ended with {done.returncode}, not {code}\n"
                f"{done.stdout.decode(errors='replace')[-2000:]}\n"
                f"{done.stderr.decode(errors='replace')[-4000:]}"
            )
        return done

    def start(
        self, *arguments: str, errors: IO[bytes] | int = subprocess.PIPE, anew: bool = False
    ) -> subprocess.Popen[bytes]:
        """Run `nrtctl …` in the background.

        Args:
            anew: Python is started, as it is for a person; no fork of what has been imported.
        """
        return self.spawn(*arguments, stdout=subprocess.PIPE, stderr=errors, anew=anew)

    def spawn(
        self,
        *arguments: str,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int,
        environ: Mapping[str, str] | None = None,
        anew: bool = False,
    ) -> subprocess.Popen[bytes]:
        """As `start`, with any files."""
        environ = self.environ if environ is None else environ
        if _FORKS.fits(environ) and not anew:
            return _FORKS.start(
                forks.COMMAND, arguments, cwd=self.directory, environ=environ, stdin=stdin,
                stdout=stdout, stderr=stderr,
            )  # fmt: skip
        return subprocess.Popen(
            [*COMMAND, *arguments], cwd=self.directory, env=environ, stdin=stdin, stdout=stdout,
            stderr=stderr,
        )  # fmt: skip

    def terminal(
        self,
        *arguments: str,
        width: int = 80,
        height: int = 24,
        environ: Mapping[str, str] | None = None,
        anew: bool = False,
    ) -> Terminal:
        """Run `nrtctl …` in a terminal of its own.

        Args:
            width, height: in characters.
            anew: as for `start`.
        """
        environ = self.environ if environ is None else environ
        forked = _FORKS.fits(environ) and not anew
        return Terminal(
            arguments if forked else (*COMMAND, *arguments),
            cwd=self.directory,
            environ=environ,
            width=width,
            height=height,
            forks=_FORKS if forked else None,
        )

    @contextlib.contextmanager
    def consuming(self, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """`nrtctl consume …` in the background, its stderr in `log`; killed at the end, if it still
        runs then."""
        with log.open("wb") as errors, self.start("consume", *arguments, errors=errors) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate()

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a statement answers that only reads: as `nrtctl query -o jsonl` has it.

        Asked of the local ClickHouse itself where the project has one: that costs no process.
        """
        at = self._own_clickhouse()
        if at is None:
            lines = self.run("query", sql, "-o", "jsonl").stdout.splitlines()
        else:
            lines = self._ask(at, sql, readonly=2).splitlines()
        return [json.loads(line) for line in lines]

    def write(self, sql: str) -> None:
        """As `nrtctl query --write` does it; asked as `rows` is."""
        at = self._own_clickhouse()
        if at is None:
            self.run("query", "--write", sql, timeout=1200)
        else:
            self._ask(at, sql, readonly=0)

    def _own_clickhouse(self) -> Endpoint | None:
        """None: it has none, or its commands speak to another one."""
        at = Endpoint.read(self.directory / ".nrtctl" / "clickhouse")
        if at is None or "NRTCTL_CLICKHOUSE__USERNAME" in self.environ:
            return None
        own = f"http://{at.host}:{at.port}"
        return at if self.environ.get("NRTCTL_CLICKHOUSE__URL", own) == own else None

    def _ask(self, at: Endpoint, sql: str, *, readonly: int) -> bytes:
        text = (self.directory / "nrtctl.toml").read_text()
        settings = tomllib.loads(text).get("clickhouse", {})
        parameters = {
            **AS_WRITTEN,
            "readonly": readonly,
            "default_format": LINES,
            "database": self.environ.get("NRTCTL_CLICKHOUSE__DATABASE")
            or settings.get("database", "nrt"),
        }
        password = (self.directory / ".nrtctl" / "clickhouse" / "password").read_text()
        connection = http.client.HTTPConnection(at.host, at.port, timeout=1200)
        with contextlib.closing(connection):
            headers = {"X-ClickHouse-Key": password}
            connection.request("POST", f"/?{urlencode(parameters)}", sql.encode(), headers)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            pytest.fail(f"{sql}\n{body.decode()}")
        return body

    def value(self, sql: str) -> Any:
        return next(iter(self.rows(sql)[0].values()))

    def use_free_ports(self) -> None:
        path = self.directory / "nrtctl.toml"
        text = path.read_text()
        for key, default in (("bootstrap_servers", ":9092"), ("url", ":8123")):
            (line,) = (each for each in text.splitlines() if each.startswith(f"# {key} = "))
            text = text.replace(line, line[2:].replace(default, f":{free_port()}"))
        path.write_text(text)

    def init(self) -> None:
        """What `nrtctl init` writes, on free ports."""
        if not _TEMPLATE:
            self.run("init")
            _TEMPLATE.update((path.name, path.read_text()) for path in self.directory.iterdir())
        for name, text in _TEMPLATE.items():
            (self.directory / name).write_text(text)
        self.use_free_ports()

    def down(self) -> None:
        self.run("down", "--volumes", "--yes", code=None)


_TEMPLATE: dict[str, str] = {}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A fresh reference project on free ports; nothing is started."""
    made = Project(tmp_path)
    made.init()
    yield made
    if (tmp_path / ".nrtctl").exists():
        made.down()


@pytest.fixture(scope="session")
def forked_command() -> Iterator[ForkedCommand]:
    made = ForkedCommand(_FORKS)
    yield made
    made.close()


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedStack]:
    from tests.plugins.shared_stack import SharedStack

    made = SharedStack(tmp_path_factory.mktemp("shared-stack"))
    yield made
    made.close()


@pytest.fixture
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """A fresh reference project, up.

    Its processes are shared with other tests, one after the other, and emptied in between; they are
    its own where _OWN names the file of the test.
    """
    if request.path.stem in _OWN or sys.platform != "linux":
        project: Project = request.getfixturevalue("project")
        project.run("up")
        yield project
        return
    shared: SharedStack = request.getfixturevalue("shared_stack")
    made = Project(tmp_path)
    made.init()
    shared.lend(made)
    yield made
    shared.take_back(made)
