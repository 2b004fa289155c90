"""`nrtctl` processes that need not import the same libraries again and again.

Starting Python and importing what every command uses costs 0.4 s of CPU, most of a short command's
life. Here one process has them imported and forks for each command. Nothing of nrtctl is imported
before the fork, so that each command still begins with the whole of the product, in a process of
its own with its own directory, environment, arguments and pipes.

`Forks` is the side of the tests; run as a script, this file is the other.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

_BEFORE_THE_FORK = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "TZ", "SSL_", "OPENSSL")
"""Beginnings of the variables that Python or a library reads when it is started or imported."""


_LIBRARIES = (
    "clickhouse_connect.driver",
    "confluent_kafka.admin",
    "pydantic_settings",
    "rich.console",
    "rich.progress",
    "rich.table",
    "typer",
)


class Forks:
    """One process that forks; started when first asked. Close it. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._environ = _early(os.environ)

    def fits(self, environ: Mapping[str, str]) -> bool:
        """Whether a process with these variables can come from a fork."""
        return sys.platform == "linux" and _early(environ) == self._environ

    def run(
        self,
        arguments: list[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        stdin: bytes | None,
        timeout: float,
    ) -> subprocess.CompletedProcess[bytes]:
        """As `subprocess.run([python, "-m", "nrtctl", *arguments], capture_output=True)`.

        Args:
            timeout: in seconds.

        Raises:
            subprocess.TimeoutExpired: it took longer, and was killed.
        """
        ours, theirs = socket.socketpair()
        pipes = [os.pipe() for _ in range(3)]
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = pipes
        request = {"cwd": str(cwd), "environ": dict(environ), "arguments": arguments}
        body = json.dumps(request).encode()
        try:
            with theirs, self._lock:
                given = [theirs.fileno(), in_read, out_write, err_write]
                socket.send_fds(self._connection(), [len(body).to_bytes(4)], given)
                self._connection().sendall(body)
        finally:
            for each in (in_read, out_write, err_write):
                os.close(each)
        captured: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=_feed, args=(in_write, stdin or b""), daemon=True),
            *(
                threading.Thread(target=_drain, args=(each, captured), daemon=True)
                for each in (out_read, err_read)
            ),
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + timeout
        with ours, ours.makefile("rb") as answers:
            pid = int(answers.readline() or self._died())
            late = not select.select([ours], [], [], timeout)[0]
            if late:
                os.kill(pid, signal.SIGKILL)
            code = int(answers.readline() or self._died())
        for thread in threads[1:]:
            thread.join(max(0.0, deadline - time.monotonic()) if not late else 5)
            late = late or thread.is_alive()
        out, errors = captured.get(out_read, b""), captured.get(err_read, b"")
        if late:
            raise subprocess.TimeoutExpired(arguments, timeout, out, errors)
        return subprocess.CompletedProcess(arguments, code, out, errors)

    def _connection(self) -> socket.socket:
        if self._socket is None:
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno())],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=[theirs.fileno()],
                )
        return self._socket

    def _died(self) -> NoReturn:
        assert self._process is not None
        _, errors = self._process.communicate(timeout=30)
        raise RuntimeError(f"the process that forks has died: {errors.decode()[-2000:]}")

    def close(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.communicate(timeout=30)


def _early(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith(_BEFORE_THE_FORK)}


def _feed(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb", buffering=0) as file:
        while data:
            try:
                data = data[file.write(data) or 0 :]
            except BrokenPipeError:
                return


def _drain(descriptor: int, into: dict[int, bytes]) -> None:
    with open(descriptor, "rb") as file:
        into[descriptor] = file.read()


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for every request; in the child, the request. None: no more will come."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        ready = select.select([connection, wake_read], [], [])[0]
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
    try:
        answer.sendall(b"%d\n" % number)
    except BrokenPipeError:
        return  # the test is gone


def main() -> None:
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # what is here already is no garbage of a command
    connection = socket.socket(fileno=int(sys.argv[1]))
    request = _serve(connection)
    if request is not None:
        _become(request)


def _become(request: dict[str, Any]) -> NoReturn:
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv = ["nrtctl", *request["arguments"]]
    runpy.run_module("nrtctl", run_name="__main__", alter_sys=True)
    raise SystemExit


if __name__ == "__main__":
    main()
