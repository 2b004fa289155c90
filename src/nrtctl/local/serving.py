"""A local process that answers HTTP: who may ask, and its life from the lock to the last answer.

Used by `front.__main__`, `front.access`, `registry.__main__` and `registry.app`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import logging
import os
import re
import secrets
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nrtctl import __version__
from nrtctl.local.process import (
    EXIT_ADDRESS,
    EXIT_FAILED,
    EXIT_STORAGE,
    STORAGE_ERRNOS,
    DataDir,
    ProcessError,
    joined,
    log_to,
    when_stdin_closes,
    write_atomically,
)
from nrtctl.net.kept import kept
from nrtctl.net.posix import raise_file_limit

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STOP_GRACE = 5
"""Seconds that what runs has to end by itself, once the process is to stop."""

log = logging.getLogger("nrtctl.local")


def absolute(path: str) -> Path:
    return Path(path).absolute()


def arguments_of(module: str, description: str | None, port: int) -> argparse.ArgumentParser:
    """What every such process is started with."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--data-dir", type=absolute, required=True)
    parser.add_argument("--stack-id", help="whose it is")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=port, help="0: any free one")
    parser.add_argument("--log", type=absolute)
    parser.add_argument("--password-file", type=absolute)
    parser.add_argument("--max-silence", type=float, default=60, help="seconds, of a sender")
    parser.add_argument("--until-stdin-closes", action="store_true")
    return parser


def password_of(path: Path) -> str:
    """The password kept at `path` (mode 0600); made there if there is none, or none that
    can be read."""
    found = kept(path) if path.exists() else ""
    if not found:
        found = secrets.token_urlsafe(24)
        write_atomically(path, found.encode())
    return found


def basic(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password of that header; empty ones where it is of another scheme, None where it
    cannot be read."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        given = base64.b64decode(encoded.strip().encode("latin-1"), validate=True)
    except binascii.Error:
        return None
    user, _, password = given.partition(b":")
    return user, password


def from_another_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sends this for a page that did not come from here."""
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _instance_id() -> str:
    """The name of the data directory; a new one where it has none, or a broken disk has left
    something else of it."""
    path = Path("instance")
    with contextlib.suppress(OSError):
        known = path.read_bytes()
        if re.fullmatch(rb"[0-9a-f]{32}", known):
            return known.decode()
    made = uuid.uuid4().hex
    write_atomically(path, made.encode())
    return made


def listen(host: str, port: int) -> socket.socket:
    """Raises ProcessError: the address cannot be bound."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ProcessError(f"{joined(host, port)}: {why}", EXIT_ADDRESS) from error
    # Inherited by connections. Without it every answer waits for an ACK that is delayed by 40 ms;
    # asyncio sets it only where the socket's protocol number is given.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


async def answer_until_stopped(
    app: ASGIApp,
    arguments: argparse.Namespace,
    data: DataDir,
    listening: socket.socket,
    *,
    most_connections: int,
    ready: str = "",
) -> None:
    """Announce where it answers, and serve until SIGTERM.

    Args:
        ready: what the log says beside the address.
    """
    import uvicorn

    from nrtctl.local.protocol import bounded

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=bounded(arguments.max_silence),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_GRACE,
            limit_concurrency=most_connections,
        )
    )
    if arguments.until_stdin_closes:
        when_stdin_closes(lambda: setattr(server, "should_exit", True))
    # uvicorn raises the signal again when it has stopped; the data directory is released later.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    if not serving.done():
        host, port = listening.getsockname()[:2]
        data.announce(host, port, _instance_id(), __version__)
        log.info("ready at http://%s%s", joined(host, port), ready)
    await serving
    log.info("stopping")


def run(
    arguments: argparse.Namespace,
    log_name: str,
    serve: Callable[[argparse.Namespace, DataDir, socket.socket], Awaitable[None]],
) -> int:
    """A process from the lock of its directory to its exit code."""
    data = None
    try:
        raise_file_limit()
        data = DataDir(arguments.data_dir)
        data.watch()
        log_to(arguments.log or arguments.data_dir / log_name)
        listening = listen(arguments.host, arguments.port)

        async def served() -> None:
            await serve(arguments, data, listening)

        asyncio.run(served())
    except ProcessError as error:
        return _ended(str(error), error.exit_code)
    except OSError as error:
        code = EXIT_STORAGE if error.errno in STORAGE_ERRNOS else EXIT_FAILED
        return _ended(f"{arguments.data_dir}: {error.strerror or error}", code)
    finally:
        if data is not None:
            data.close()
    return 0


def _ended(why: str, code: int) -> int:
    if logging.getLogger().handlers:
        log.error("%s", why)
    print(why, file=sys.stderr)
    return code
