"""An HTTP server on loopback that answers as a test says."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


class Server:
    """Answers each request by the next of `answers`, or, where it is given, by `answer`, which is
    told the path with its query. `asked`: paths and headers. Close it."""

    def __init__(self, answer: Callable[[str], Answer] | None = None) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                status, headers, body = (
                    answer(self.path) if answer is not None else server.answers.pop(0)
                )
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
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
