"""Whether a process of the local stack answers. Called by `status`."""

from __future__ import annotations

import http.client
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from nrtctl.local.process import Endpoint
from nrtctl.stack.spawn import BROKER, SCHEMAS, Part

WITHIN = 2.0
"""Seconds."""
MAX_ANSWER = 64 * 1024

_API_VERSIONS = struct.pack(">hhih", 18, 0, 1, -1)
"""Kafka's ApiVersions, version 0, correlation id 1, no client id: who may not log in may ask it."""


def answering(parts: list[tuple[Part, Endpoint]]) -> list[bool]:
    """Ask them all at once. A process that hangs says nothing within two seconds."""
    with ThreadPoolExecutor(max(1, len(parts))) as pool:
        return list(pool.map(lambda each: _answers(*each), parts))


def _answers(part: Part, endpoint: Endpoint) -> bool:
    try:
        if part is BROKER:
            return _broker(endpoint.host, endpoint.port)
        refused = http.client.UNAUTHORIZED
        path, status = ("/", refused) if part is SCHEMAS else ("/ping", http.client.OK)
        return _http(endpoint.host, endpoint.port, path) == status
    except (OSError, http.client.HTTPException):
        return False


def _broker(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=WITHIN) as connection:
        connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
        with connection.makefile("rb") as answer:
            size = int.from_bytes(answer.read(4), "big")
            return 4 < size < MAX_ANSWER and answer.read(4) == struct.pack(">i", 1)


def _http(host: str, port: int, path: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=WITHIN)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
