"""uvicorn's HTTP protocol with bounds on what comes before a body, and long bodies in large pieces.

Used by `serving`.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEAD_BYTES = 2**20
MOST_HEADERS = 200
MOST_PARSED = 2**16 - 1

LARGE_PIECE = 2**20
"""Bytes to read at once of a body that is longer: a piece costs about as much whatever its size."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose line and headers are longer than 1 MiB, or more than 200.

    A connection whose request's head is not complete in time is closed.
    """

    head_seconds = 60.0
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _long_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._expect_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MOST_HEADERS:
            raise ValueError("too many headers")
        if name.lower() == b"content-length" and value.isdigit():
            self._long_body = int(value) > LARGE_PIECE
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        if self._long_body:
            self.transport.max_size = LARGE_PIECE  # type: ignore[attr-defined]
        if len(self.url) <= MOST_PARSED:
            super().on_headers_complete()
            return
        # The parser of URLs counts in 16 bits. What the query is goes to the application as it is.
        self.url, _, query = self.url.partition(b"?")
        if len(self.url) > MOST_PARSED:
            raise ValueError("the path is too long")
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]

    def on_body(self, body: bytes) -> None:
        """A piece that waits for no other is handed over as it is: nothing copies it."""
        if not self.cycle.body:
            self.cycle.body = b""  # type: ignore[assignment]
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._long_body:
            self._long_body = False
            del self.transport.max_size  # type: ignore[attr-defined]
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            text = b"The request's line and headers are too long.\n"
            self.transport.write(
                STATUS_LINE[431]
                + b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(text)
                + b"connection: close\r\n\r\n"
                + text
            )
            self.transport.close()


def bounded(head_seconds: float) -> type[BoundedProtocol]:
    """The protocol with a time for the head, in seconds."""
    return type("Bounded", (BoundedProtocol,), {"head_seconds": head_seconds})
