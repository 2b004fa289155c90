"""TLS in front of a plain server, as a load balancer has it: decrypts, and passes on.

A thread for each connection: a refused client is sent its alert. Close it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path

from tests.plugins.certificates import Issued

READ = 65_536


class TlsFront:
    """Listens on a free port of loopback.

    Args:
        target: host and port of the plain server.
        clients: an authority: only clients with a certificate by it are let in; None: all are.
    """

    def __init__(self, target: tuple[str, int], shows: Issued, clients: Path | None = None) -> None:
        self._target = target
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(shows.certificate, shows.key)
        if clients is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(clients)
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listening.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, name="tls", daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain:
            plain.settimeout(60)
            try:
                client = self._context.wrap_socket(plain, server_side=True)
            except ssl.SSLError:
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(READ):  # or else a reset would overtake the alert
                    pass
                return
            with client, socket.create_connection(self._target) as server:
                self._open |= {client, server}
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join(60)
                self._open -= {client, server}

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(READ):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_RDWR)
