"""Runs the dashboard: one looker for all browsers, a server on loopback. Called by the command."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

import uvicorn

from nrtctl.errors import ConfigError
from nrtctl.net.serving import HEAD_BYTES, Bounded, Connections
from nrtctl.stats.snapshot import Shots
from nrtctl.view.dashboard.app import make_app
from nrtctl.view.dashboard.board import Board
from nrtctl.view.dashboard.pasts import Asked, Pasts
from nrtctl.view.dashboard.questions import Question
from nrtctl.view.dashboard.token import Token
from nrtctl.view.looking import Looker

HOST = "127.0.0.1"
MOST_CONNECTIONS = 128
"""One more takes the place of one that is idle, or has not sent its request yet."""
STOP_GRACE = 2


def listen(port: int) -> socket.socket:
    """A socket on loopback; 0: any free port.

    Raises:
        ConfigError: the port cannot be had.
    """
    try:
        return socket.create_server((HOST, port), backlog=64)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(
            f"{HOST}:{port}: {why}", hint="--port 0 takes a free port, --port N another one"
        ) from error


def serve(
    listening: socket.socket,
    look: Callable[[], Shots],
    *,
    interval: float,
    stop: Event,
    names: Sequence[str] = ("",),
    look_back: Asked | None = None,
    questions: Mapping[str, Question] | None = None,
    token: Token | None = None,
) -> None:
    """Answer until `stop` is set.

    Args:
        names: of the pipelines that a look has.
        look_back: what the charts of a time range are made from.
        questions, token: as of `app.make_app`.

    Raises:
        Exception: what ended the looking, an error in the program.
    """
    asyncio.run(_serve(listening, look, interval, stop, names, look_back, questions or {}, token))


class _Connection(Bounded):
    def eof_received(self) -> bool:  # type: ignore[override]
        """A browser that closes its side takes no more of a stream, which would go on for ever."""
        return False


class _Server(uvicorn.Server):
    """Ends once `stop` is set. Signals are the command's, from before the server is made on."""

    def __init__(self, config: uvicorn.Config, stop: Event) -> None:
        super().__init__(config)
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()


async def _serve(
    listening: socket.socket,
    look: Callable[[], Shots],
    interval: float,
    stop: Event,
    names: Sequence[str],
    look_back: Asked | None,
    questions: Mapping[str, Question],
    token: Token | None,
) -> None:
    board = Board(asyncio.get_running_loop(), names)
    if look_back is not None:
        pasts = Pasts(look_back, board.watched, names)
        shown = {"past": Question(pasts), "pasts": Question(pasts.of_all, of_all=True)}
        questions = {**questions, **shown}
    connections = Connections(MOST_CONNECTIONS)

    def connection(*, app_state: object, **given: Any) -> _Connection:
        return _Connection(connections, **given)

    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    server = _Server(
        uvicorn.Config(
            make_app(board, questions, token),
            http=connection,  # type: ignore[arg-type]
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_GRACE,
            h11_max_incomplete_event_size=HEAD_BYTES,
        ),
        stop,
    )
    board.on_close = lambda: setattr(server, "should_exit", True)
    looker = Looker(look, interval, publish=board.publish, failed=board.fail)
    looker.start()
    try:
        await server.serve(sockets=[listening])
    finally:
        looker.stop()
        await board.close()
    if board.failure is not None:
        raise board.failure
