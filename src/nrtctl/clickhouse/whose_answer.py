"""Whether an answer is ClickHouse's. A proxy, a load balancer or a login page between may answer in
its place, with status 200 too, and an insert would count as stored.

ClickHouse puts headers that begin with `X-ClickHouse-` on each answer to a statement
(https://clickhouse.com/docs/interfaces/http). Once it has answered so, all answers must have one.
Where something on the way takes these headers off from the first, they are not asked for.
"""

from __future__ import annotations

import contextlib
from typing import Any

from urllib3.exceptions import HTTPError

MARK = "x-clickhouse-"
READ = 4096
QUOTED = 100
"""Characters of a strange answer that are shown."""


class NotClickHouse(HTTPError):
    """Somebody else has answered. Whether ClickHouse got the statement is not known."""


class Answering:
    """Connections as `urllib3.PoolManager`, for one client of clickhouse-connect."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.marks = False
        """Whether ClickHouse's own headers arrive."""

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Raises HTTPError: as urllib3; NotClickHouse, of an answer that says that all is well."""
        response = self._pool.request(method, url, **options)
        if any(name.lower().startswith(MARK) for name in response.headers):
            self.marks = True
        elif self.marks and 200 <= response.status < 300:
            body = b""
            with contextlib.suppress(HTTPError):
                whole = options.get("preload_content", True)
                body = response.data[:READ] if whole else response.read(READ)
            response.close()
            text = " ".join(body.decode(errors="replace").split())[:QUOTED]
            what = repr(text) if text else "nothing"
            raise NotClickHouse(f"something else answers in its place, with {what}")
        return response

    def clear(self) -> None:
        self._pool.clear()
