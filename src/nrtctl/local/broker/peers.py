"""Which user a loopback connection belongs to, as the system knows it. Called by `server`.

On Linux the kernel tells the owner of the other end's socket (sock_diag, `man 7 sock_diag`): one
question of about ten microseconds, once a connection. Elsewhere, and wherever the answer is not
certain, nobody is known.

The question is about the two addresses of a connection that this process has open, so no other
connection can take its place meanwhile. Two answers are never believed: a socket that is not
established (another one that only tries to connect from the same address), and one without an
inode (its process has closed it; the kernel then names user 0).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ESTABLISHED: Final = 1
_ANY_STATE: Final = 0xFFFFFFFF
_NO_COOKIE: Final = 0xFFFFFFFF
_HEAD: Final = struct.Struct("=IHHII")
_QUESTION: Final = struct.Struct("=BBBxI")
_PORTS: Final = struct.Struct(">HH")
_REST: Final = struct.Struct("=III")
_STATE_AT: Final = _HEAD.size + 1
_PORTS_AT: Final = _HEAD.size + 4
_OWNER_AT: Final = _HEAD.size + 4 + 48 + 12
_OWNER: Final = struct.Struct("=II")


class Peers:
    """`user` is the one that this process runs as; None where no peer's user can be told."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self.user = self._own_user()

    def _own_user(self) -> int | None:
        if not sys.platform.startswith("linux"):
            return None
        user = os.geteuid()
        if user == _overflow_user():
            # In a user namespace all users who have no number in it look like this one.
            return None
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG)
            self._socket.settimeout(1)
            return user if self._answers(user) else None
        except OSError:
            self.close()
            return None

    def _answers(self, user: int) -> bool:
        """Whether the kernel tells that a connection made here is our own."""
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()),
        ):
            accepted, peer = server.accept()
            with accepted:
                return self.user_of(peer, accepted.getsockname()) == user

    def is_own(self, peer: Any, own: Any) -> bool:
        """Whether the connection's other end is a socket of the user that this process runs as.

        Args:
            peer: socket address of the other end.
            own: socket address of this end.
        """
        return self.user is not None and self.user_of(peer, own) == self.user

    def user_of(self, peer: Any, own: Any) -> int | None:
        """The number of the user who owns the other end; None: it cannot be told."""
        if self._socket is None:
            return None
        try:
            if not ip_address(peer[0]).is_loopback:
                return None
            question = _question(peer, own)
            self._socket.send(question)
            answer = self._socket.recv(8192)
            return _owner(answer, peer[1], own[1])
        except (OSError, ValueError, struct.error) as error:
            if isinstance(error, OSError) and error.errno != errno.ECONNREFUSED:
                self._reopen()
            return None

    def _reopen(self) -> None:
        """An answer that comes late must not be taken for the next question's."""
        self.close()
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG)
            self._socket.settimeout(1)
        except OSError:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _question(peer: Any, own: Any) -> bytes:
    family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
    places = (socket.inet_pton(family, end[0]).ljust(16, b"\0") for end in (peer, own))
    body = (
        _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _ANY_STATE)
        + _PORTS.pack(peer[1], own[1])
        + b"".join(places)
        + _REST.pack(0, _NO_COOKIE, _NO_COOKIE)
    )
    return _HEAD.pack(_HEAD.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def _owner(answer: bytes, peer_port: int, own_port: int) -> int | None:
    kind = _HEAD.unpack_from(answer)[1]
    if kind != _BY_FAMILY or answer[_STATE_AT] != _ESTABLISHED:
        return None
    if _PORTS.unpack_from(answer, _PORTS_AT) != (peer_port, own_port):
        return None
    user, inode = _OWNER.unpack_from(answer, _OWNER_AT)
    return int(user) if inode else None


def _overflow_user() -> int:
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    except (OSError, ValueError):
        return 65534
