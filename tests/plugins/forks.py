"""Processes of `nrtctl`, and of the local broker and registry, that need not import the same
modules again and again.

Starting Python, importing what a command uses and taking all of it down again costs 0.4 s of CPU,
most of a short command's life; a broker's start costs 0.3 s. Here one process has imported the
product and its libraries, and forks for each command: a process of its own with its own directory,
environment, arguments and pipes. It ends as Python does, but for the objects that are left, which
the system takes. Another one has imported the servers.

`Forks` is the side of the tests; run as a script, this file is the other.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

_BEFORE_THE_FORK = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "TZ", "SSL_", "OPENSSL")
"""Beginnings of the variables that Python or a library reads when it is started or imported."""

_ON_ENTRY = "PYTHONFAULTHANDLER"
"""The one of them that a fork can heed."""

_LIBRARIES = (
    "clickhouse_connect.driver",
    "confluent_kafka.admin",
    "faker",
    "pydantic_settings",
    "rich.console",
    "rich.live",
    "rich.progress",
    "rich.table",
    "typer",
)
_NOT_BEFORE = ("nrtctl.__main__", "nrtctl.bench", "nrtctl.local", "nrtctl.testing")
"""What is run and not imported, or belongs to processes of another kind."""

COMMAND = "nrtctl"
SERVERS = ("nrtctl.local.broker", "nrtctl.local.registry")
"""What can be run; the local ClickHouse cannot: its library starts threads when it is imported."""

_NUMBER = 8
"""Bytes of a number: the process' id, and later its exit code."""


class Forked(subprocess.Popen[bytes]):
    """A process that another one has forked: the system tells its end to that one."""

    def __init__(
        self, forks: Forks, arguments: Sequence[str], *, cwd: Path, environ: Mapping[str, str],
        stdin: IO[bytes] | int, stdout: IO[bytes] | int | None, stderr: IO[bytes] | int,
    ) -> None:  # fmt: skip
        self._forks = forks
        self._ended = threading.Lock()
        super().__init__(arguments, cwd=cwd, env=environ, stdin=stdin, stdout=stdout, stderr=stderr)

    def _execute_child(self, args: Sequence[str], *given: Any) -> None:
        """In the place of `fork` and `exec`; what is given is as in CPython 3.11 to 3.14."""
        cwd, environ = given[4:6]
        pipes = given[9:15]
        theirs = [pipes[0], pipes[3], pipes[5]]
        theirs = [end if end != -1 else usual for usual, end in enumerate(theirs)]
        try:
            self._answers = self._forks.fork(args, cwd, environ, theirs)
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
        self.pid = self._forks.number(self._answers)
        self._child_created = True

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self.returncode is None and _readable(self._answers, 0):
            self._take()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            if not _readable(self._answers, timeout):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._take()
        return self.returncode

    def _take(self) -> None:
        with self._ended:
            if self.returncode is None:
                with self._answers:
                    self.returncode = self._forks.number(self._answers)


def _readable(connection: socket.socket, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


class Forks:
    """One process that forks; started when first asked. Close it. Safe to use from threads.

    Args:
        modules: what can be run: COMMAND, or SERVERS.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._environ = _early(os.environ)

    def fits(self, environ: Mapping[str, str]) -> bool:
        """Whether a process with these variables can come from a fork."""
        return sys.platform == "linux" and _early(environ) == self._environ

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        stdin: IO[bytes] | int,
        stdout: IO[bytes] | int | None,
        stderr: IO[bytes] | int,
    ) -> subprocess.Popen[bytes]:
        """As `subprocess.Popen([python, "-m", module, *arguments], …)`."""
        return Forked(
            self, [module, *arguments], cwd=cwd, environ=environ, stdin=stdin, stdout=stdout,
            stderr=stderr,
        )  # fmt: skip

    def fork(
        self, arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], files: list[int]
    ) -> socket.socket:
        """A process with these as its standard files; what says its number, and its end.

        `number` reads both.
        """
        ours, theirs = socket.socketpair()
        request = {"cwd": str(cwd), "environ": dict(environ), "arguments": [*arguments]}
        body = json.dumps(request).encode()
        with theirs, self._lock:
            connection = self._connection()
            socket.send_fds(connection, [len(body).to_bytes(4)], [theirs.fileno(), *files])
            connection.sendall(body)
        return ours

    def number(self, answers: socket.socket) -> int:
        """Raises RuntimeError: the process that forks has died."""
        found = answers.recv(_NUMBER, socket.MSG_WAITALL)
        if len(found) < _NUMBER:
            assert self._process is not None
            _, errors = self._process.communicate(timeout=30)
            raise RuntimeError(f"the process that forks has died: {errors.decode()[-2000:]}")
        return int.from_bytes(found, signed=True)

    def _connection(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno()), *self._modules],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=[theirs.fileno()],
                )
        return self._socket

    def close(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.communicate(timeout=30)


def _early(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(_BEFORE_THE_FORK) and name != _ON_ENTRY
    }


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for every request; in the child, the request. None: no more will come."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    watched: list[socket.socket | int] = [connection, wake_read]
    running: dict[int, socket.socket] = {}
    while True:
        ready = select.select(watched, [], [])[0]
        if wake_read in ready:
            os.read(wake_read, 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                with running.pop(pid) as answer:
                    _say(answer, os.waitstatus_to_exitcode(status))
        if connection in ready:
            head, given, _, _ = socket.recv_fds(connection, 4, 4)
            if not head:
                return None
            size, body = int.from_bytes(head), b""
            while len(body) < size:
                body += connection.recv(size - len(body))
            answer = socket.socket(fileno=given[0])
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (connection, answer, *running.values()):
                    each.close()
                for target, descriptor in enumerate(given[1:]):
                    os.dup2(descriptor, target)
                for descriptor in (wake_read, wake_write, *given[1:]):
                    os.close(descriptor)
                found: dict[str, Any] = json.loads(body)
                return found
            for descriptor in given[1:]:
                os.close(descriptor)
            running[pid] = answer
            _say(answer, pid)


def _say(answer: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the test is gone
        answer.sendall(number.to_bytes(_NUMBER, signed=True))


def _import_command() -> None:
    for library in _LIBRARIES:
        importlib.import_module(library)
    product = importlib.import_module("nrtctl")
    for found in pkgutil.walk_packages(product.__path__, "nrtctl."):
        if not found.name.startswith(_NOT_BEFORE):
            importlib.import_module(found.name)


def _import_servers(modules: Sequence[str]) -> None:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the broker has it
    sys.modules["hypothesis"] = None  # type: ignore[assignment]
    importlib.import_module("numpy")
    for module in modules:
        package = importlib.import_module(module)
        for found in pkgutil.walk_packages(package.__path__, f"{module}."):
            if not found.name.endswith(".__main__"):
                importlib.import_module(found.name)


def main() -> None:
    modules = sys.argv[2:]
    if modules == [COMMAND]:
        _import_command()
    else:
        _import_servers(modules)
    gc.freeze()  # what is here already is no garbage of a command
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where the tests run on without a terminal
    connection = socket.socket(fileno=int(sys.argv[1]))
    request = _serve(connection)
    if request is not None:
        _become(request)


def _become(request: dict[str, Any]) -> NoReturn:
    if os.isatty(0):  # as a terminal has what is started in it
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    module, *arguments = request["arguments"]
    sys.argv = [module, *arguments]
    if os.environ.get(_ON_ENTRY):
        faulthandler.enable()
    try:
        if module.endswith(".py"):
            runpy.run_path(module, run_name="__main__")
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        code = end.code or 0
    else:
        code = 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        if not each.closed:
            each.flush()
    os._exit(code)  # taking down all that was imported would cost as much as the command


if __name__ == "__main__":
    main()
