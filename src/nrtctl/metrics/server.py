"""`/metrics`, `/healthz` and `/readyz` over HTTP, on threads that nothing waits for.

Used by `serving`. A scraper that is slow or goes away costs one of `SLOTS` until another one needs
it, and for `PATIENCE` seconds at most.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from nrtctl.errors import ConfigError
from nrtctl.net import hosts

log = logging.getLogger(__name__)

SLOTS = 8
"""Connections at once. One more takes the place of the one whose request has been coming longest,
and is closed without an answer if all are being answered."""

PATIENCE = 5.0
"""Seconds for a request to arrive, whole, and for an answer to be taken."""

TEXT = "text/plain; charset=utf-8"


class Health(Protocol):
    """Complaints, none if all is well."""

    def alive(self) -> Sequence[str]: ...

    def ready(self) -> Sequence[str]: ...


class MetricsServer:
    """Answers from its making until `close`.

    Args:
        port: 0 takes a free one; `url` tells.

    Raises:
        ConfigError: the address cannot be bound.
    """

    def __init__(self, registry: CollectorRegistry, health: Health, host: str, port: int) -> None:
        of_this = {"registry": registry, "health": health, "bound": host}
        handler = type("Handler", (_Handler,), of_this)
        kind = _Server6 if ":" in host else _Server
        try:
            self._server = kind((host, port), handler)
        except (OSError, OverflowError) as error:
            raise _cannot_bind(error, host, port) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening. Answers that are still being taken are left to end by themselves."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _cannot_bind(error: Exception, host: str, port: int) -> ConfigError:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"metrics: {host}:{port} is in use by another program",
            hint="give --metrics-port (or --serve) another port, or 0 for any free one",
        )
    return ConfigError(
        f"metrics: cannot listen on {host}:{port}: {error}",
        hint="--metrics-host must be an address of this machine, and the port from 0 to 65535",
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Any) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        """Until when a request has to be there, whole; the oldest first."""
        super().__init__(address, handler)

    @property
    def taken(self) -> int:
        return len(self._open)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's would look the host's name up

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= SLOTS:
                oldest = next((each for each, end in self._open.items() if end < math.inf), None)
                if oldest is not None:
                    self._give_up(oldest)
            has_place = len(self._open) < SLOTS
            if has_place:
                self._open[request] = time.monotonic() + PATIENCE
        if has_place:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def has_come(self, request: socket.socket) -> None:
        """The request is there: from now on its answer is waited for."""
        with self._lock:
            if request in self._open:
                self._open[request] = math.inf

    def service_actions(self) -> None:
        """Called ten times a second."""
        now = time.monotonic()
        with self._lock:
            for request in [each for each, end in self._open.items() if end <= now]:
                self._give_up(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def _give_up(self, request: socket.socket) -> None:
        """Its thread, which waits for more, closes it."""
        del self._open[request]
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("metrics: the request of %s failed", client_address, exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    registry: CollectorRegistry
    health: Health
    bound: str
    timeout = PATIENCE
    server_version = "nrtctl"
    sys_version = ""
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = TEXT

    def do_GET(self) -> None:
        self.server.has_come(self.connection)
        if not hosts.allowed(self.headers.get_all("Host", []), self.bound):
            self._answer(421, TEXT, b"Ask for it by the name localhost.\n")
            return
        match urlsplit(self.path).path:
            case "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, kind, encode(self.registry))
            case "/healthz":
                self._verdict(self.health.alive())
            case "/readyz":
                self._verdict([*self.health.alive(), *self.health.ready()])
            case "/":
                self._answer(200, TEXT, b"nrtctl: /metrics /healthz /readyz\n")
            case _:
                self._answer(404, TEXT, b"there are /metrics, /healthz and /readyz\n")

    do_HEAD = do_GET  # noqa: N815

    def _verdict(self, complaints: Sequence[str]) -> None:
        lines = "\n".join(complaints) if complaints else "ok"
        self._answer(503 if complaints else 200, TEXT, f"{lines}\n".encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("metrics: %s", format % args)
