"""Which ports are free, and whose process answers at one. Called by `spawn`, `addresses`."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from pathlib import Path

from nrtctl.local.process import Endpoint
from nrtctl.stack.state_dir import MARKER

FREE_WITHIN = 1.0
"""Seconds that a process has to leave its port, when its directory was deleted a moment ago."""
_PROCESSES = Path("/proc")


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens there. What else may keep a process from it, it says itself."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return True
    for family, _, _, _, address in found:
        try:
            socket.create_server(address[:2], family=family).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
    return True


def gets_free(host: str, port: int) -> bool:
    """`is_free`, within a second if it is no stack's."""
    deadline = time.monotonic() + FREE_WITHIN
    while not is_free(host, port):
        if time.monotonic() > deadline or stack_at(port) is not None:
            return False
        time.sleep(0.05)
    return True


def listens(host: str, port: int) -> bool:
    """Whether somebody does; where that cannot be told, yes."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True


def stack_at(port: int) -> Path | None:
    """The state directory of the stack that answers at a port of this machine. None: it is no
    stack of this user, or the system does not tell (only Linux does)."""
    for entry in _PROCESSES.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError, ValueError):
            words = entry.read_bytes().split(b"\0")
            if not any(word.startswith(b"nrtctl.local.") for word in words):
                continue
            data_dir = Path(os.fsdecode(words[words.index(b"--data-dir") + 1]))
            there = Endpoint.read(data_dir)
            if there is None or there.port != port or there.pid != int(entry.parent.name):
                continue
            if (data_dir.parent / MARKER).exists():
                return data_dir.parent
    return None


def last_port(data_dir: Path) -> int:
    """Where the process of a data directory answered before; 0: not known."""
    before = Endpoint.read(data_dir)
    if before is not None:
        return before.port
    try:
        port = int((data_dir / "port").read_text())
    except (OSError, ValueError):
        return 0
    return port if 0 < port < 65536 else 0
