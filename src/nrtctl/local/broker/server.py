"""Connections: requests cut out of the byte stream, answered in order, within bounds.

One request of a connection is under way at a time. What arrives meanwhile stays in the connection's
buffer and then in the socket, so a client that does not read its responses is not read from either.
The exceptions: a Fetch that waits is answered as soon as the next request comes, and a JoinGroup or
SyncGroup that waits for others, as soon as the client leaves the group.
Called by `__main__`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nrtctl.local.broker.broker import Broker
from nrtctl.local.broker.handlers import RAW, TYPED
from nrtctl.local.broker.handlers.context import Context
from nrtctl.local.broker.wire.apis import VERSIONS, Api
from nrtctl.local.broker.wire.codec import (
    MalformedRequest,
    RequestHeader,
    read_header,
    read_request,
    write_response,
)

logger = logging.getLogger(__name__)

_SMALL_BUFFER: Final = 64 * 1024
_KEPT_BUFFER: Final = 4 * 1024 * 1024
_WRITE_HIGH_WATER: Final = 1024 * 1024
_SOCKET_BUFFER: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client can make the broker hold."""

    max_connections: int = 1_000
    max_request_bytes: int = 100 * 1024 * 1024


class Server:
    """The connections of one broker."""

    def __init__(self, broker: Broker, limits: Limits, *, advertised_host: str | None) -> None:
        self.broker = broker
        self.limits = limits
        self.advertised_host = advertised_host
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin to accept connections; the port that is listened on. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, loop), host, port, backlog=512
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.close()
        await asyncio.sleep(0)


class Connection(asyncio.BufferedProtocol):
    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(_SMALL_BUFFER))
        self._start = 0
        self._end = 0
        self._context: Context | None = None
        self._can_write = True
        self._is_reading = True
        self._is_pumping = False
        self._peer = "?"
        self._own = ("", 0)

    # ------------------------------------------------------------------ connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is wanted")
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else "?"
        self._own = transport.get_extra_info("sockname")[:2]
        if len(self._server.connections) >= self._server.limits.max_connections:
            logger.warning("%s refused: too many connections", self._peer)
            transport.abort()
            return
        self._server.connections.add(self)
        transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        self._finish_early()
        self._context = None
        self._leave_at_last()
        self._buffer = memoryview(bytearray())
        self._start = self._end = 0
        self._server.broker.coordinator.disconnected(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, why: str) -> None:
        logger.warning("%s: %s; the connection is closed", self._peer, why)
        self.close()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._pump()

    # ------------------------------------------------------------------ bytes in

    def get_buffer(self, sizehint: int) -> memoryview:
        """Room for what the socket has: the rest of a large frame, or of a small buffer."""
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > _KEPT_BUFFER:
                self._buffer = memoryview(bytearray(_SMALL_BUFFER))
        frame = self._frame_size()
        if frame is not None and frame > _SMALL_BUFFER:
            self._make_room(frame)
            return self._buffer[self._end : self._start + frame]
        self._make_room(max(frame or 0, self._end - self._start + 4096))
        return self._buffer[self._end :]

    def _make_room(self, size: int) -> None:
        """Let `size` bytes fit from the start of the current frame on."""
        if self._start + size <= len(self._buffer):
            return
        held = self._end - self._start
        pending = self._buffer[self._start : self._end]
        if size <= len(self._buffer):
            self._buffer[:held] = bytes(pending)
        else:
            larger = memoryview(bytearray(max(size, _SMALL_BUFFER)))
            larger[:held] = pending
            self._buffer = larger
        self._start, self._end = 0, held

    def _frame_size(self) -> int | None:
        """Size of the frame that begins the buffer, length field included; None: not yet known."""
        if self._end - self._start < 4:
            return None
        return 4 + int.from_bytes(self._buffer[self._start : self._start + 4], "big")

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        self._pump()

    def eof_received(self) -> bool:
        return False

    # ------------------------------------------------------------------ requests

    def _pump(self) -> None:
        """Answer what has arrived, as far as order and back-pressure allow."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._transport is not None and self._take_one():
                pass
        finally:
            self._is_pumping = False
        self._read_or_not()

    def _take_one(self) -> bool:
        frame = self._frame_size()
        if frame is None:
            return False
        if frame - 4 > self._server.limits.max_request_bytes or frame < 12:
            self._refuse(self._why_no_frame())
            return False
        if self._end - self._start < frame:
            return False
        if self._context is not None:
            self._finish_early()
            if self._context is not None:
                return False
        if not self._can_write:
            return False
        request = self._buffer[self._start + 4 : self._start + frame]
        self._start += frame
        try:
            self._dispatch(request)
        except MalformedRequest as error:
            self._refuse(f"malformed request: {error}")
        return self._transport is not None

    def _next_api(self) -> int:
        return int.from_bytes(self._buffer[self._start + 4 : self._start + 6], "big")

    def _leave_at_last(self) -> None:
        """Of the requests that a closed connection leaves behind, those to leave a group count."""
        while (frame := self._frame_size()) and 12 <= frame <= self._end - self._start:
            request = self._buffer[self._start + 4 : self._start + frame]
            if self._next_api() == Api.LEAVE_GROUP:
                with contextlib.suppress(MalformedRequest):
                    self._dispatch(request)
            self._start += frame

    def _why_no_frame(self) -> str:
        head = bytes(self._buffer[self._start : self._start + 4])
        if head[:2] == b"\x16\x03":
            return "TLS on a plaintext port"
        if head in (b"GET ", b"POST", b"HEAD", b"PUT "):
            return "HTTP on a Kafka port"
        return f"a request of {int.from_bytes(head, 'big')} bytes"

    def _finish_early(self) -> None:
        context = self._context
        if context is None:
            return
        if context.finish_early is not None:
            context.finish_early()
        elif context.finish_to_leave is not None and self._next_api() == Api.LEAVE_GROUP:
            context.finish_to_leave()

    def _read_or_not(self) -> None:
        """Stop reading while requests that wait behind an unanswered one fill the buffer. Before
        that, to read is the only way to see that the client is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        frame = self._frame_size()
        is_full = frame is not None and self._end - self._start >= max(frame, _SMALL_BUFFER)
        blocked = is_full and (self._context is not None or not self._can_write)
        if blocked and self._is_reading:
            self._transport.pause_reading()
        elif not blocked and not self._is_reading:
            self._transport.resume_reading()
        self._is_reading = not blocked

    def _dispatch(self, frame: memoryview) -> None:
        header, at = read_header(frame)
        try:
            api = Api(header.api_key)
        except ValueError:
            self._refuse(f"request {header.api_key} is not served")
            return
        served = VERSIONS[api]
        context = self._context = self._make_context(header)
        if not served.lowest <= header.version <= served.highest:
            if api is not Api.API_VERSIONS:
                self._refuse(f"{api.name} v{header.version} is not served")
                return
            context.version = 0
            TYPED[api](context, None, lambda reply: self._answer(api, context, reply))
            return
        raw = RAW.get(api)
        if raw is not None:
            raw(context, frame, at, lambda parts: self._send(context, parts))
            return
        request = read_request(api, header.version, frame, at)
        TYPED[api](context, request, lambda reply: self._answer(api, context, reply))

    def _make_context(self, header: RequestHeader) -> Context:
        return Context(
            broker=self._server.broker,
            version=header.version,
            correlation_id=header.correlation_id,
            client_id=header.client_id,
            client_host="/" + self._peer.rpartition(":")[0],
            host=self._server.advertised_host or self._own[0],
            port=self._own[1],
            call_later=self._loop.call_later,
            connection=self,
        )

    # ------------------------------------------------------------------ bytes out

    def _answer(self, api: Api, context: Context, reply: Mapping[str, Any]) -> None:
        if self._transport is None or self._context is not context:
            return
        self._send(context, [write_response(api, context.version, context.correlation_id, reply)])

    def _send(self, context: Context, parts: list[bytes | bytearray] | None) -> None:
        """Send the answer to the request under way, and go on with the next one."""
        if self._transport is None or self._context is not context:
            return
        self._context = None
        if parts is not None:
            size = sum(map(len, parts))
            head = size.to_bytes(4, "big") + parts[0]
            if len(head) + sum(map(len, parts[1:])) <= _SMALL_BUFFER:
                self._transport.write(head + b"".join(parts[1:]))
            else:
                self._transport.write(head)
                for part in parts[1:]:
                    self._transport.write(part)
        self._pump()
