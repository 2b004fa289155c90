"""Something between a client and ClickHouse that answers in its place when it is told to: a proxy
that is in trouble, or a login page."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

Answer = tuple[int, bytes]
"""Status and body."""

PAGE = b"<html><head><title>Log in</title></head><body>Who are you?</body></html>"


class Between:
    """Passes each request on, unless `answer` gives one.

    Args:
        to: host and port of ClickHouse.

    Attributes:
        answer: is given the text of a request's URL and the size of its body.
        mute: takes ClickHouse's own headers off its answers.
    """

    def __init__(self, to: tuple[str, int]) -> None:
        self.answer: Callable[[str, int], Answer | None] = lambda url, size: None
        self.mute = False
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self._body()
                given = between.answer(unquote_plus(self.path), len(body))
                if given is not None:
                    self._send(given[0], {"Content-Type": "text/html"}, given[1])
                    return
                connection = http.client.HTTPConnection(*to, timeout=60)
                hop = {"host", "content-length", "transfer-encoding"}
                headers = {n: v for n, v in self.headers.items() if n.lower() not in hop}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                kept = {
                    name: value
                    for name, value in answer.getheaders()
                    if name.lower() not in hop | {"connection"}
                    and not (between.mute and name.lower().startswith("x-"))
                }
                self._send(answer.status, kept, answer.read())
                connection.close()

            do_GET = do_POST  # noqa: N815

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
