"""A TCP proxy that misbehaves when told to: cuts, delays, holds. Used by the crash matrix.

It runs on a thread of its own. `up` is from the client to the server, `down` the way back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

READ = 65_536
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on `listen`, connects each client to `target`; both are (host, port).

    Args:
        seen: told every piece of data on its way up, on the proxy's thread.
    """

    def __init__(
        self,
        target: tuple[str, int],
        *,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        seen: Callable[[bytes], None] | None = None,
    ) -> None:
        self._target = target
        self._seen = seen
        self._delay = 0.0
        self._listening = socket.create_server(listen, backlog=128)
        self.host, self.port = self._listening.getsockname()[:2]
        self._loop = asyncio.new_event_loop()
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}
        for gate in self._open.values():
            gate.set()
        self._clients: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return int(self._call(self._cut))

    def delay(self, seconds: float) -> None:
        """From now on each piece of data waits so long, in both directions."""
        self._call(lambda: setattr(self, "_delay", seconds))

    def hold(self, *directions: str) -> None:
        """Deliver nothing in these directions (both, if none is named) until `release`.

        What arrives meanwhile is kept, as a network keeps it: it is delivered late.
        """
        for each in directions or ("up", "down"):
            self._call(self._open[each].clear)

    def release(self) -> None:
        """Deliver what was held, without delay from now on."""
        self.delay(0.0)
        for gate in self._open.values():
            self._call(gate.set)

    def close(self) -> None:
        self._call(self._end)
        self._thread.join(10)
        self._listening.close()

    def _call(self, action: Callable[[], Any]) -> Any:
        done: list[Any] = []
        finished = threading.Event()

        def run() -> None:
            try:
                done.append(action())
            finally:
                finished.set()

        self._loop.call_soon_threadsafe(run)
        if not finished.wait(30):
            raise RuntimeError("the proxy's loop does not turn")
        return done[0] if done else None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, sock=self._listening)
        )
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _end(self) -> None:
        self._server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        self._loop.call_later(0.05, self._loop.stop)

    def _cut(self) -> int:
        for pair in self._clients:
            for writer in pair:
                _reset(writer)
        return len(self._clients)

    async def _connected(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            from_server, server = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(client)
            return
        pair = (client, server)
        self._clients.add(pair)
        pumps = [
            asyncio.ensure_future(self._pump(reader, server, "up")),
            asyncio.ensure_future(self._pump(from_server, client, "down")),
        ]
        self._tasks.update(pumps)
        try:
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._tasks.difference_update(pumps)
            self._clients.discard(pair)
            for writer in pair:
                writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        gate = self._open[direction]
        try:
            while data := await reader.read(READ):
                await gate.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                if direction == "up" and self._seen is not None:
                    self._seen(data)
                writer.write(data)
                await writer.drain()
            await gate.wait()
            writer.write_eof()
        except (OSError, ConnectionError):
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
