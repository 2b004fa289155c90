"""A pytest plugin: the embedded broker as a process, with the interface of `apache_kafka`.

`local_broker` is session-scoped; `make_local_broker` makes brokers of a test's own, stopped at its
end.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from nrtctl.local.process import Endpoint
from tests.plugins.forks import SERVERS, Forks
from tests.plugins.ports import free_port

_FORKS = Forks(*SERVERS)
atexit.register(_FORKS.close)


def spawn_server(module: str, arguments: Sequence[str], stdin: int) -> subprocess.Popen[bytes]:
    """`python -m module …` of one of SERVERS, its stderr a pipe."""
    pipe = subprocess.PIPE
    if not _FORKS.fits(os.environ):
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(command, stdin=stdin, stderr=pipe)
    return _FORKS.start(
        module, arguments, cwd=Path.cwd(), environ=os.environ, stdin=stdin, stdout=None, stderr=pipe
    )


class LocalBroker:
    """`bootstrap` and `port` stay the same over restarts."""

    name = "embedded"

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.data_dir = directory / "broker"
        self.log = directory / "broker.log"
        self.arguments = arguments
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it has announced itself."""
        given = [
            *("--data-dir", str(self.data_dir), "--port", str(self.port), "--log", str(self.log)),
            *("--max-message-bytes", str(10 * 2**20), *self.arguments),  # as `apache_kafka`
        ]
        self.process = spawn_server("nrtctl.local.broker", given, subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            endpoint = Endpoint.read(self.data_dir)
            if endpoint is not None and endpoint.pid == self.process.pid:
                self.port = endpoint.port
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                _, errors = self.process.communicate()
                raise RuntimeError(f"the broker does not start: {errors.decode()[-2000:]}")
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
        if process.poll() is None:
            process.send_signal(number)
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return process.returncode


@pytest.fixture(scope="session")
def local_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    directory = tmp_path_factory.mktemp("local-broker")
    broker = LocalBroker(directory, "--min-session-timeout-ms", "1000")
    broker.start()
    yield broker
    assert broker.stop() == 0


@pytest.fixture
def make_local_broker(tmp_path: Path) -> Iterator[Callable[..., LocalBroker]]:
    """Make and start a broker: `make_local_broker(*command_line)`."""
    brokers: list[LocalBroker] = []

    def make(*arguments: str) -> LocalBroker:
        directory = tmp_path / str(len(brokers))
        directory.mkdir()
        broker = LocalBroker(directory, *arguments)
        brokers.append(broker)
        broker.start()
        return broker

    yield make
    for broker in brokers:
        broker.kill()
