"""Bodies as the local servers read them from a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from nrtctl.local.protocol import LARGE_PIECE, BoundedProtocol, bounded


class Transport(asyncio.Transport):
    """A connection that reads `max_size` bytes at once, as asyncio's own does."""

    max_size = 256 * 1024

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Asked:
    """An application that keeps the pieces of each body, and answers nothing yet."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            self.pieces.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Connection:
    """Args: loop: turned until nothing is left to do after each piece."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.asked = Asked()
        config = uvicorn.Config(self.asked, log_config=None, lifespan="off", ws="none")
        config.load()
        self.protocol: BoundedProtocol = bounded(60)(config, ServerState(), {}, _loop=loop)
        self.transport = Transport()
        self.protocol.connection_made(self.transport)

    def comes(self, data: bytes) -> None:
        async def turn() -> None:
            self.protocol.data_received(data)
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def end(self) -> None:
        async def gone() -> None:
            self.protocol.connection_lost(None)

        self.loop.run_until_complete(gone())


def head(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


def test_a_long_body_is_read_in_large_pieces_and_what_follows_is_not(
    loop: asyncio.AbstractEventLoop,
) -> None:
    connection = Connection(loop)
    usual = connection.transport.max_size
    connection.comes(head(3))
    assert connection.transport.max_size == usual
    connection.comes(b"abc")
    connection.comes(head(LARGE_PIECE + 1))
    assert connection.transport.max_size == LARGE_PIECE
    connection.comes(b"x" * LARGE_PIECE)
    assert connection.transport.max_size == LARGE_PIECE
    connection.comes(b"y" + head(2))
    assert connection.transport.max_size == usual
    connection.comes(b"zz")
    connection.end()
    assert b"".join(connection.asked.pieces) == b"abc" + b"x" * LARGE_PIECE + b"yzz"
    assert connection.transport.written.count(b"200 OK") == 3


def test_pieces_that_wait_are_joined_in_order(loop: asyncio.AbstractEventLoop) -> None:
    connection = Connection(loop)
    sent = head(9) + b"one"

    async def at_once() -> None:
        connection.protocol.data_received(sent)
        connection.protocol.data_received(b"two")
        connection.protocol.data_received(b"six")
        for _ in range(10):
            await asyncio.sleep(0)

    loop.run_until_complete(at_once())
    connection.end()
    assert connection.asked.pieces == [b"onetwosix"]
