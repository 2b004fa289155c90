"""uvicorn's HTTP protocol with bounds on what comes before and after a body.

What `nrtctl listen` and the dashboard serve with.

A request line with its headers has to come within a time and a size; so many connections are held,
and one more takes the place of whichever sends least. A handshake of TLS is within the same bounds.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from asyncio.sslproto import SSLProtocol
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

HEAD_BYTES = 64 * 1024
"""h11 refuses more while it waits for the rest, as it does of a chunk's head and trailers; an
application refuses a longer head that has come at once."""

TOO_LONG = f"the request's line and headers are longer than {HEAD_BYTES // 1024} KiB"

HEAD_SECONDS = 10.0
HANDSHAKE_SECONDS = 5
IDLE_SECONDS = 75
WRITE_SECONDS = 10.0
"""That a client may take nothing of an answer."""

CREDIT_BYTES = 16 * 1024
"""That whoever has just begun is taken to have sent."""

LOOKED_AT = 256
"""Of those that may give way, the ones that began first."""


@dataclass(slots=True)
class Connections:
    """Those that there are. Args: most: at once."""

    most: int
    count: int = 0
    yielding: dict[Bounded, None] = field(default_factory=dict)
    """Between requests, or of senders who are not known while they send; who began first is
    first."""

    def one_more(self, now: float) -> bool:
        """Whether there is a place for it. Args: now: the loop's time."""
        if self.count >= self.most and self.yielding:
            first = islice(self.yielding, LOOKED_AT)
            min(first, key=lambda each: each.bytes_per_second(now)).drop()
        return self.count < self.most


class Bounded(H11Protocol):
    """Args: `config` and others as uvicorn's. A request's `state` has `known`, to be called once it
    is by somebody who may send."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(app_state={"known": self._works}, **given)
        self._all = connections
        self._made = self._counted = self._in_head = False
        self._wire: asyncio.Transport | None = None
        self._since = 0.0
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def accepted(self, wire: asyncio.Transport) -> bool:
        """Whether there is a place for it; if not it is closed. Args: wire: without TLS."""
        if not self._all.one_more(self.loop.time()):
            wire.abort()
            return False
        self._all.count += 1
        self._counted = True
        self._wire = wire
        self._waits_for_head()
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self._wire is None and not self.accepted(transport):
            return
        self._made = True
        super().connection_made(transport)
        self._waits_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._made:
            return
        self.gone()
        if self._stuck is not None:
            self._stuck.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._counted:
            return
        if self._timer is not None and not self._in_head:
            self._waits_for_head()
        self._received += len(data)
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client may close its side once it has sent all, and wait for the answer."""
        cycle = self.cycle
        if not self._counted or cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        return True

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return
        if cycle is not before:
            self._end_timer()  # a body's time is looked at where it is read
        if not cycle.more_body:
            self._works()

    def send_400_response(self, msg: str) -> None:
        """What comes is no HTTP, or too long. An answer that is being made has nobody who waits for
        it."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        error = sys.exc_info()[1]
        too_long = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        status, why = (431, TOO_LONG) if too_long else (400, "the request is not valid HTTP")
        body = json.dumps({"error": why}).encode() + b"\n"
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        try:
            for event in (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # the answer has begun
            pass
        self.transport.close()

    def on_response_complete(self) -> None:
        self._idles(IDLE_SECONDS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super().resume_writing()

    def bytes_per_second(self, now: float) -> float:
        """Since it has been idle, or its head has begun. Args: now: the loop's time."""
        return (CREDIT_BYTES + self._received) / (1.0 + now - self._since)

    def drop(self) -> None:
        """Make room for another one."""
        self.gone()
        if self._wire is not None:
            self._wire.abort()

    def gone(self) -> None:
        """It is not counted any more."""
        self._works()
        if self._counted:
            self._counted = False
            self._all.count -= 1

    def _waits_for_head(self) -> None:
        self._idles(HEAD_SECONDS)
        self._in_head = True

    def _idles(self, seconds: float) -> None:
        self._works()
        self._since, self._received = self.loop.time(), 0
        if self._counted and self._wire is not None:
            self._all.yielding[self] = None
            self._timer = self.loop.call_later(seconds, self._wire.abort)

    def _works(self) -> None:
        """It gives way to nobody."""
        self._all.yielding.pop(self, None)
        self._end_timer()

    def _end_timer(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Sealed(SSLProtocol):
    """TLS around a connection, which has its place from the first byte on; asyncio's own is known
    to nobody before its handshake is over, and holds 256 KiB from its beginning."""

    max_size = 32 * 1024

    def __init__(self, bounded: Bounded, certificate: ssl.SSLContext) -> None:
        super().__init__(
            bounded.loop, bounded, certificate, None,  # type: ignore[arg-type]
            server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )  # fmt: skip
        self._bounded = bounded

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._bounded.accepted(transport):  # type: ignore[arg-type]
            super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._bounded.gone()
        super().connection_lost(exc)
