"""A pytest plugin: the ClickHouse front as a process, and requests to it.

`clickhouse_front` is session-scoped; `make_clickhouse_front` makes fronts of a test's own, stopped
at its end.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.given_servers import GivenClickHouse, given_clickhouse
from tests.plugins.ports import free_port


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def code(self) -> int:
        """ClickHouse's error code, 0 for none."""
        return int(self.headers.get("x-clickhouse-exception-code", 0))

    @property
    def summary(self) -> dict[str, int]:
        return {k: int(v) for k, v in json.loads(self.headers["x-clickhouse-summary"]).items()}


class LocalServer:
    """`url` and `port` stay the same over restarts. `command`: Python's arguments."""

    command: Sequence[str]
    username = "default"

    def __init__(self, data_dir: Path, *arguments: str) -> None:
        self.data_dir = data_dir
        self.arguments = arguments
        self.host = "127.0.0.1"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def password(self) -> str:
        return (self.data_dir / "password").read_text()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process and wait for nothing."""
        return subprocess.Popen(
            [
                *(sys.executable, *self.command),
                *("--data-dir", str(self.data_dir), "--port", str(self.port), *self.arguments),
            ],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def start(self) -> None:
        """Return when it has announced itself."""
        self.process = self.spawn()
        deadline = time.monotonic() + 60
        while True:
            endpoint = Endpoint.read(self.data_dir)
            if endpoint is not None and endpoint.pid == self.process.pid:
                self.port = endpoint.port
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                _, errors = self.process.communicate()
                raise RuntimeError(f"{self.command[-1]} does not start: {errors.decode()[-2000:]}")
            time.sleep(0.005)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        return self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _end(self, number: signal.Signals) -> int:
        """The exit code, negative for a signal."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return process.returncode

    def connection(self, timeout: float = 60) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)


class ClickHouseFront(LocalServer):
    """The front, and requests to it."""

    command = ("-m", "nrtctl.local.front")

    def request(
        self,
        body: bytes | str | Iterator[bytes] | None = None,
        *,
        method: str = "POST",
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> Answer:
        """One request with the right password, unless `headers` gives another."""
        given = {"X-ClickHouse-Key": self.password} if headers is None else dict(headers)
        given.setdefault("X-ClickHouse-Key", self.password)
        connection = self.connection()
        try:
            target = f"{path}?{urlencode(parameters)}" if parameters else path
            data = body.encode() if isinstance(body, str) else body
            connection.request(method, target, data, given)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        finally:
            connection.close()

    def sql(self, sql: bytes | str, **parameters: Any) -> str:
        """The answer to a statement that must succeed."""
        answer = self.request(sql, **parameters)
        assert answer.status == 200, answer.text
        return answer.text.rstrip("\n")

    def client(self, **options: Any) -> Any:
        """An unmodified clickhouse-connect client; close it."""
        import clickhouse_connect

        return clickhouse_connect.get_client(
            host=self.host, port=self.port, username="default", password=self.password, **options
        )


@pytest.fixture(scope="session")
def clickhouse_front(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ClickHouseFront | GivenClickHouse]:
    if (url := given_clickhouse(pytestconfig)) is not None:
        yield GivenClickHouse(url)
        return
    front = ClickHouseFront(tmp_path_factory.mktemp("clickhouse-front"))
    front.start()
    yield front
    assert front.stop() == 0


@pytest.fixture
def make_clickhouse_front(tmp_path: Path) -> Iterator[Callable[..., ClickHouseFront]]:
    """Make and start a front: `make_clickhouse_front(*command_line)`."""
    fronts: list[ClickHouseFront] = []

    def make(*arguments: str) -> ClickHouseFront:
        front = ClickHouseFront(tmp_path / f"front{len(fronts)}", *arguments)
        fronts.append(front)
        front.start()
        return front

    yield make
    for front in fronts:
        front.kill()
