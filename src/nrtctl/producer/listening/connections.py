"""uvicorn's HTTP protocol with bounds on what comes before and after a body. Used by `serving`.

A request line with its headers has to come within a time and a size; so many connections are held,
and one more takes the place of whichever has been idle longest.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

HEAD_BYTES = 64 * 1024
"""h11 refuses more while it waits for the rest, as it does of a chunk's head and trailers; `app`
refuses a longer head that has come at once."""

TOO_LONG = f"the request's line and headers are longer than {HEAD_BYTES // 1024} KiB"

HEAD_SECONDS = 10.0
IDLE_SECONDS = 75
WRITE_SECONDS = 10.0
"""That a client may take nothing of an answer."""


@dataclass(slots=True)
class Connections:
    """Those that there are. Args: most: at once."""

    most: int
    count: int = 0
    idle: dict[Bounded, None] = field(default_factory=dict)
    """Between requests, or without a whole head; the oldest first."""

    def one_more(self) -> bool:
        """Whether there is a place for it."""
        if self.count >= self.most and self.idle:
            next(iter(self.idle)).drop()
        return self.count < self.most


class Bounded(H11Protocol):
    """Args: `config` and others as uvicorn's."""

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._all = connections
        self._made = self._counted = self._in_head = False
        self._timer: asyncio.TimerHandle | None = None
        self._stuck: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if not self._all.one_more():
            transport.abort()
            return
        self._all.count += 1
        self._made = self._counted = True
        super().connection_made(transport)
        self._waits_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._made:
            return
        self._uncount()
        if self._stuck is not None:
            self._stuck.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._counted:
            return
        if self._timer is not None and not self._in_head:
            self._waits_for_head()
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
        if self.cycle is not before and not self.cycle.response_complete:
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

    def drop(self) -> None:
        """Make room for another one."""
        self._uncount()
        self.transport.abort()

    def _uncount(self) -> None:
        self._works()
        if self._counted:
            self._counted = False
            self._all.count -= 1

    def _waits_for_head(self) -> None:
        self._idles(HEAD_SECONDS)
        self._in_head = True

    def _idles(self, seconds: float) -> None:
        self._works()
        if self._counted:
            self._all.idle[self] = None
            self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _works(self) -> None:
        self._in_head = False
        self._all.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
