"""An answer that is sent in pieces while the engine makes it. Used by `app`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from nrtctl.local.front import compression
from nrtctl.local.front.blocks import compressed
from nrtctl.local.front.body import DataFile
from nrtctl.local.front.errors import EngineError

Found = TypeVar("Found")
UNWATCHED = 0.05
"""Seconds for which nobody looks whether the client of a statement is still there: most have ended
by then, and looking costs as much as a small one."""


async def in_thread(work: Callable[[], Found], threads: Executor) -> Found:
    """The result of `work`. A caller that is cancelled waits for its end, too: what the caller
    would release then is still in use."""
    running = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await _ended(running)
        raise


async def unless_gone(
    receive: Receive, work: Callable[[], Any], kill: Callable[[], None], threads: Executor
) -> Any:
    """The result of `work`, which runs in a thread; `kill` is called if the client goes away, or
    the caller is cancelled, and the end of the work is waited for.

    Raises:
        ClientDisconnect: it has gone, and the work has ended.
    """
    running = asyncio.get_running_loop().run_in_executor(threads, work)
    try:
        await asyncio.wait({running}, timeout=UNWATCHED)
        gone = not running.done() and await _goes(receive, running)
    except asyncio.CancelledError:
        await asyncio.to_thread(kill)
        await _ended(running)
        raise
    if gone:
        await asyncio.to_thread(kill)
        await _ended(running)
        raise ClientDisconnect
    return await running


async def _ended(running: asyncio.Future[Any]) -> None:
    await asyncio.wait({running})
    running.exception()  # nobody is there to be told


async def _goes(receive: Receive, running: asyncio.Future[Any]) -> bool:
    """Whether the client goes away before what is running has ended."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    watching = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
        return watching.done()
    finally:
        watching.cancel()


class Pieces:
    """An ASGI response: the first piece, and the rest, each taken in a thread.

    A change of thread costs as much as a small query, so there are no more than are needed.

    Args:
        first: what is there already; empty: nothing is.
        encoding: its Content-Encoding; empty: none.
        blocks: whether it consists of ClickHouse's compressed blocks.
        close: releases what the pieces hold; called in a thread, whatever happens.
        leave: gives up the place of the statement; called after that.
        kill: stops the making of a piece.
        silence: seconds that the client may leave a piece unread; the answer is then cut off.
        spill_to: an existing directory, for an answer to HTTP/1.0, which knows no pieces.
    """

    def __init__(
        self,
        first: bytes,
        pieces: Iterator[bytes],
        *,
        headers: dict[str, str],
        encoding: str,
        blocks: bool,
        kill: Callable[[], None],
        close: Callable[[], None],
        leave: Callable[[], None],
        threads: Executor,
        silence: float,
        spill_to: Path,
    ) -> None:
        self._silence = silence
        self._spill_to = spill_to
        self._threads = threads
        self._first = first
        self._pieces = pieces
        self._tag = secrets.token_hex(8)
        self._headers = headers | {"X-ClickHouse-Exception-Tag": self._tag}
        if encoding:
            self._headers["Content-Encoding"] = encoding
        self._encoding = encoding
        self._blocks = blocks
        self._kill = kill
        self._close = close
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        encoded = self._encoded()
        if in_one := scope["http_version"] == "1.0":
            encoded = self._in_one(encoded)
        released = False

        def step() -> bytes | None:
            """The next piece, or nothing, with all released: the client's next request may need
            it."""
            nonlocal released
            data = next(encoded, None)
            if data is None:
                self._close()
                released = True
            return data

        async def body(data: bytes) -> None:
            async with asyncio.timeout(self._silence):
                await send({"type": "http.response.body", "body": data, "more_body": True})

        try:
            early = await unless_gone(receive, step, self._kill, self._threads) if in_one else b""
            headers = [(k.lower().encode(), v.encode()) for k, v in self._headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if early:
                await body(early)
            elif self._first and not self._encoding and not self._blocks:
                await body(self._first)
                self._first = b""
            while not released:
                if data := await unless_gone(receive, step, self._kill, self._threads):
                    await body(data)
            self._leave()
            await send({"type": "http.response.body", "body": b""})
        except (ClientDisconnect, OSError):
            pass
        finally:
            try:
                if not released:
                    await in_thread(self._close, self._threads)
            finally:
                self._leave()

    def _encoded(self) -> Iterator[bytes]:
        if not self._encoding:
            yield from self._in_blocks()
            return
        compress, end = compression.compressor(self._encoding)
        for piece in self._in_blocks():
            yield compress(piece)
        yield end()

    def _in_one(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces, once their length is known and said."""
        file = DataFile(self._spill_to)
        try:
            for piece in pieces:
                file.write(piece)
            self._headers["Content-Length"] = str(file.size)
            yield from file.pieces()
        finally:
            file.close()

    def _in_blocks(self) -> Iterator[bytes]:
        plain = self._plain()
        return map(compressed, plain) if self._blocks else plain

    def _plain(self) -> Iterator[bytes]:
        """An error in the middle is written into the answer, as ClickHouse does."""
        try:
            if self._first:
                yield self._first
            yield from self._pieces
        except EngineError as error:
            text = str(error).encode()
            tag = self._tag.encode()
            yield b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (
                tag, text, len(text) + 1, tag,
            )  # fmt: skip
