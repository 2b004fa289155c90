"""`nrtctl` and `python FILE` as files on the PATH whose processes are forked: for commands that a
shell runs."""

from __future__ import annotations

import marshal
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

from tests.plugins.forks import COMMAND, Forks

_PROGRAM = """#!{python} -IS
import array, marshal, os, sys
import _signal, _socket  # without the classes around them, which take half of the time

process, early = 0, []


def pass_on(number, _):
    if process:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass
    else:
        early.append(number)


for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    _signal.signal(number, pass_on)
if {script} and (len(sys.argv) != 2 or sys.argv[1].startswith("-")):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
connection = _socket.socket(_socket.AF_UNIX)
connection.connect({address!r})
request = [os.getcwd(), dict(os.environ), sys.argv[1:], {script}]
body = marshal.dumps(request)
files = array.array("i", [0, 1, 2])
connection.sendmsg([len(body).to_bytes(4)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
connection.sendall(body)
_, given, _, _ = connection.recvmsg(1, _socket.CMSG_SPACE(4))
if not given:
    os.execv({python!r}, [{python!r}, *{before!r}, *sys.argv[1:]])
answers = _socket.socket(fileno=array.array("i", given[0][2])[0])


def number():
    return int.from_bytes(answers.recv(8, _socket.MSG_WAITALL), signed=True)


process = number()
for each in early:
    pass_on(each, None)
code = number()
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class ForkedCommand:
    """`directory` has the two. What is started through them has the files, the directory and the
    variables of who starts it, gets its signals and ends as it does. Close it."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks
        self.directory = Path(tempfile.mkdtemp(prefix="nrtctl-"))  # short, as a socket's name is
        address = str(self.directory / "socket")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(address)
        self._listening.listen()
        for name, before in (("nrtctl", ["-m", "nrtctl"]), ("python", [])):
            program = self.directory / name
            text = _PROGRAM.format(
                python=sys.executable, address=address, before=before, script=name == "python"
            )
            program.write_text(text)
            program.chmod(0o700)
        self._thread = threading.Thread(target=self._serve, name="forked-command", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
        shutil.rmtree(self.directory)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # closed
                return
            with connection:
                self._fork(connection)

    def _fork(self, connection: socket.socket) -> None:
        head, files, _, _ = socket.recv_fds(connection, 4, 3)
        try:
            with connection.makefile("rb") as reader:
                request = marshal.loads(reader.read(int.from_bytes(head)))
            here, environ, arguments, script = request
            if not self._forks.fits(environ):
                connection.sendall(b"\n")
                return
            what = arguments if script else [COMMAND, *arguments]
            with self._forks.fork(what, Path(here), environ, files) as answers:
                socket.send_fds(connection, [b"\n"], [answers.fileno()])
        finally:
            for each in files:
                os.close(each)
