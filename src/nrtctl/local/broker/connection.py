"""One connection: requests cut out of the byte stream, answered in order, within bounds.

One request of a connection is under way at a time. What arrives meanwhile stays in the connection's
inbox and then in the socket, so a client that does not read its responses is not read from either.
The exceptions: a Fetch that waits is answered as soon as the next request comes, and a JoinGroup or
SyncGroup that waits for others, as soon as the client leaves the group.
Whatever goes wrong with a request ends its connection, and no other.
Made by `server`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nrtctl.local.broker.groups.group import Cancellable
from nrtctl.local.broker.handlers import RAW, TYPED
from nrtctl.local.broker.handlers.context import Client, Context
from nrtctl.local.broker.inbox import SMALL_BUFFER, Inbox
from nrtctl.local.broker.login import Login, LoginRefused
from nrtctl.local.broker.wire.apis import VERSIONS, Api
from nrtctl.local.broker.wire.codec import (
    MalformedRequest,
    RequestHeader,
    read_header,
    read_request,
    write_response,
)

if TYPE_CHECKING:
    from nrtctl.local.broker.server import Limits, Server

logger = logging.getLogger(__name__)

_WRITE_HIGH_WATER: Final = 1024 * 1024
_SOCKET_BUFFER: Final = 1024 * 1024
_MAX_BEFORE_LOGIN: Final = 16 * 1024
_MAX_BUT_PRODUCE: Final = 16 * 1024 * 1024
"""Bytes of any request that carries no messages."""
_SHRINK_AFTER: Final = 5
_STUCK_AFTER: Final = 2


class Connection(asyncio.BufferedProtocol):
    """`peer` and `own` are the socket addresses of both ends."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self.login = Login(None, is_in=False)
        self._client = Client()
        self._inbox = Inbox()
        self._context: Context | None = None
        self._can_write = True
        self._is_reading = True
        self._is_pumping = False
        self._name = "?"
        self.peer: Any = ("", 0)
        self.own: Any = ("", 0)
        self.number = server.next_number()
        self.has_asked = False
        # Ticks: since the connection began, since bytes came, since a request came whole, and
        # since unsent bytes went out.
        self._age = 0
        self.silent_for = 0
        self._half_for = 0
        self._unread_for = 0
        self._unsent = 0

    # ------------------------------------------------------------------ connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is needed")
        self._transport = transport
        self.peer = transport.get_extra_info("peername") or ("?", 0)
        self.own = transport.get_extra_info("sockname")
        self._name = f"{self.peer[0]}:{self.peer[1]}"
        self.login = self._server.login(self)
        if not self._server.admit(self):
            self.refuse("there are too many connections")
            return
        transport.set_write_buffer_limits(high=_WRITE_HIGH_WATER)
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._transport = None
        self._guarded(self._finish_early)
        self._context = None
        self._leave_at_last()
        self._inbox.clear()
        self._server.broker.coordinator.disconnected(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def refuse(self, why: str) -> None:
        """End the connection, and say why in the log."""
        if self._transport is not None and not self._transport.is_closing():
            self._server.log(logger.warning, "%s: %s; the connection is closed", self._name, why)
        self.close()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._pump()

    # ------------------------------------------------------------------ bounds

    @property
    def held(self) -> int:
        """Bytes of memory, received and not yet sent."""
        return self._inbox.held + self._unsent_now()

    def _unsent_now(self) -> int:
        if self._transport is None:
            return 0
        size: int = self._transport.get_write_buffer_size()
        return size

    def shrink(self) -> None:
        self._inbox.shrink()

    @property
    def _is_half(self) -> bool:
        """Whether a request has begun, and its rest is waited for."""
        size = self._inbox.request_size()
        return len(self._inbox) > 0 and (size is None or len(self._inbox) < size)

    def end_if_stuck(self) -> None:
        """What is held waits for the client, which does nothing."""
        if (self._is_half and self.silent_for >= _STUCK_AFTER) or self._unread_for >= _STUCK_AFTER:
            self._end_for_others()

    def end_if_unfinished(self, least: int) -> None:
        """A request that holds more than `least` bytes, and is not whole yet."""
        if self._is_half and self._inbox.held > least:
            self._end_for_others()

    def _end_for_others(self) -> None:
        self.refuse(f"{self.held} bytes wait for it, and others need the memory")
        self._inbox.clear()

    def tick(self, limits: Limits) -> None:
        """A second has passed."""
        self._age += 1
        self.silent_for += 1
        unsent, before = self._unsent_now(), self._unsent
        self._unsent = unsent
        self._unread_for = self._unread_for + 1 if unsent and unsent >= before else 0
        self._half_for += 1
        if self._unread_for >= limits.unread:
            self.refuse(f"its answers were not read for {limits.unread} s")
        elif self._is_half and (
            self.silent_for >= limits.half_sent or self._half_for >= 10 * limits.half_sent
        ):
            size = self._inbox.request_size()
            came = f"{len(self._inbox)} of {size if size is not None else '?'} bytes"
            self.refuse(f"the rest of a request did not come ({came} in {self._half_for} s)")
        elif not self.login.is_in and self._age >= limits.login:
            self.refuse(f"no login within {limits.login} s{self._whose()}")
        elif self._context is None and not unsent and self.silent_for >= limits.idle:
            logger.info("%s: idle for %d s; closed", self._name, limits.idle)
            self.close()
        elif self.silent_for >= _SHRINK_AFTER and self._context is None:
            self._inbox.shrink()

    # ------------------------------------------------------------------ bytes in

    def get_buffer(self, sizehint: int) -> memoryview:
        more = self._inbox.growth()
        if more > 0 and not self._server.may_hold(self, more):
            self.refuse("all connections together hold as much as they may")
            self._inbox.clear()
            return memoryview(bytearray(1))
        return self._inbox.room()

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self.silent_for = 0
        self._inbox.add(nbytes)
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
        size = self._inbox.request_size()
        if size is None:
            return False
        if (why := self._why_not(size)) is not None:
            self.refuse(why)
            return False
        if len(self._inbox) < size:
            return False
        if self._context is not None:
            self._finish_early()
            if self._context is not None:
                return False
        if not self._can_write:
            return False
        request = self._inbox.take(size)
        self._half_for = 0
        self.has_asked = True
        self._guarded(partial(self._dispatch, request))
        return self._transport is not None and not self._transport.is_closing()

    def _next_api(self) -> int:
        return int.from_bytes(self._inbox.head(6)[4:], "big")

    def _leave_at_last(self) -> None:
        """Of the requests that a closed connection leaves behind, those to leave a group count."""
        while (size := self._inbox.request_size()) and 12 <= size <= len(self._inbox):
            is_leave = self._next_api() == Api.LEAVE_GROUP
            request = self._inbox.take(size)
            if is_leave:
                self._guarded(partial(self._dispatch, request))

    def _why_not(self, size: int) -> str | None:
        """Why a request is not waited for; None: it is."""
        if size < 12 and not self.login.is_raw:
            return self._foreign(size)
        limit = self._server.limits.max_request_bytes
        if not self.login.is_in:
            limit = min(limit, _MAX_BEFORE_LOGIN)
        elif len(self._inbox) >= 6 and self._next_api() != Api.PRODUCE:
            limit = min(limit, _MAX_BUT_PRODUCE)
        return self._foreign(size) if size - 4 > limit else None

    def _foreign(self, size: int) -> str:
        head = self._inbox.head(4)
        if head[:2] == b"\x16\x03":
            return "TLS on a plaintext port"
        if head in (b"GET ", b"POST", b"HEAD", b"PUT "):
            return "HTTP on a Kafka port"
        before = "" if self.login.is_in else f" before a login{self._whose()}"
        return f"a request of {size - 4} bytes{before}"

    def _guarded(self, do: Callable[[], None]) -> None:
        """Whatever goes wrong ends this connection only."""
        try:
            do()
        except MalformedRequest as error:
            self.refuse(f"malformed request: {error}")
        except Exception as error:  # noqa: BLE001 - the traceback goes to the log
            self._server.log(logger.exception, "%s: an error in the broker", self._name)
            self.refuse(f"{type(error).__name__} in a request")

    def _finish_early(self) -> None:
        context = self._context
        if context is None:
            return
        if context.finish_early is not None:
            context.finish_early()
        elif context.finish_to_leave is not None and self._next_api() == Api.LEAVE_GROUP:
            context.finish_to_leave()

    def _read_or_not(self) -> None:
        """Stop reading while requests that wait behind an unanswered one fill the inbox. Before
        that, to read is the only way to see that the client is gone."""
        if self._transport is None or self._transport.is_closing():
            return
        size = self._inbox.request_size()
        is_full = size is not None and len(self._inbox) >= max(size, SMALL_BUFFER)
        blocked = is_full and (self._context is not None or not self._can_write)
        if blocked and self._is_reading:
            self._transport.pause_reading()
        elif not blocked and not self._is_reading:
            self._transport.resume_reading()
        self._is_reading = not blocked

    def _dispatch(self, frame: memoryview) -> None:
        if self.login.is_raw:
            self._raw_token(bytes(frame))
            return
        header, at = read_header(frame)
        try:
            api = Api(header.api_key)
        except ValueError:
            self.refuse(f"request {header.api_key} is not served")
            return
        if not self.login.serves(api):
            self.refuse(
                f"{api.name} without a login{self._whose()}; `nrtctl status --connect` prints "
                "what a client needs"
            )
            return
        served = VERSIONS[api]
        context = self._context = self._make_context(header)
        if not served.lowest <= header.version <= served.highest:
            if api is not Api.API_VERSIONS:
                self.refuse(f"{api.name} v{header.version} is not served")
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

    def _whose(self) -> str:
        user = self._server.user_of(self)
        return "" if user is None else f" (user {user} of this machine)"

    def _raw_token(self, token: bytes) -> None:
        """A login as before SaslAuthenticate: tokens without a header, refused by closing."""
        try:
            answer = self.login.answer(token)
        except LoginRefused as refused:
            self.refuse(f"login refused: {refused}")
            return
        if self._transport is not None:
            self._transport.write(len(answer).to_bytes(4, "big") + answer)

    def _make_context(self, header: RequestHeader) -> Context:
        return Context(
            broker=self._server.broker,
            version=header.version,
            correlation_id=header.correlation_id,
            client_id=header.client_id,
            client_host="/" + self._name.rpartition(":")[0],
            host=self._server.advertised_host or self.own[0],
            port=self.own[1],
            call_later=self._call_later,
            login=self.login,
            client=self._client,
            connection=self,
            room_for_answer=self._server.room_for_answer,
        )

    def _call_later(self, delay: float, callback: Callable[[], None]) -> Cancellable:
        return self._loop.call_later(delay, self._guarded, callback)

    # ------------------------------------------------------------------ bytes out

    def _answer(self, api: Api, context: Context, reply: Mapping[str, Any]) -> None:
        """May be called within another connection's request: an error stays here."""
        if self._transport is None or self._context is not context:
            return
        self._guarded(
            lambda: self._send(
                context, [write_response(api, context.version, context.correlation_id, reply)]
            )
        )

    def _send(self, context: Context, parts: list[bytes | bytearray] | None) -> None:
        """Send the answer to the request under way, and go on with the next one."""
        if self._transport is None or self._context is not context:
            return
        self._context = None
        self._server.still_ours()
        if parts is not None:
            self._write(self._transport, parts)
        if self.login.failed:
            who = f"{self._name}{self._whose()}"
            self._server.log(logger.warning, "%s: login refused: %s", who, self.login.failed)
            self._transport.close()
            return
        self._pump()

    def _write(self, transport: asyncio.Transport, parts: list[bytes | bytearray]) -> None:
        size = sum(map(len, parts))
        head = size.to_bytes(4, "big") + parts[0]
        if len(head) + sum(map(len, parts[1:])) <= SMALL_BUFFER:
            transport.write(head + b"".join(parts[1:]))
            return
        transport.write(head)
        for part in parts[1:]:
            transport.write(part)
        unsent: int = transport.get_write_buffer_size()
        if unsent > _WRITE_HIGH_WATER and not self._server.may_hold(self, unsent):
            self.refuse(
                "it does not read its answers, and all connections hold as much as they may"
            )
