"""Answers that are not ClickHouse's: of a proxy, a load balancer or a login page in between.

ClickHouse says with each answer to a statement that it is one, in headers that begin with
`X-ClickHouse-`. What comes without one says nothing of what was done: a page that answers an INSERT
with 200 is no sign that a row is stored. Used by `client`, as the connections of its library.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError

from nrtctl.clickhouse.error_codes import failed
from nrtctl.clickhouse.failures import ClickHouseGone

MARK = "x-clickhouse-"
TOO_LARGE = 413
WORDS = 200
"""Characters of a page that are shown."""
_NO_TEXT = re.compile(r"(?s)<(script|style|head)\b.*?</\1>|<!--.*?-->|<[^>]*>")
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")


class Asked:
    """A pool of connections, whose answers are looked at.

    Args:
        through: there is a proxy of the environment's, whose refusals the client explains.
    """

    def __init__(self, pool: Any, url: str, *, through: bool) -> None:
        self._pool = pool
        self._url = url
        self._through = through

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def request(self, method: str, url: str, **given: Any) -> Any:
        """As of urllib3's pools; redirects are not followed: the request would go there without
        what it was to store, or with the password.

        Raises:
            ClickHouseGone: it is not ClickHouse that answers.
            QueryError: the request is too large for what is in between.
        """
        response = self._pool.request(method, url, redirect=False, **given)
        if any(name.lower().startswith(MARK) for name in response.headers):
            return response
        status = int(response.status)
        if status == TOO_LARGE:
            response.close()
            raise failed(
                f"a proxy or load balancer before ClickHouse at {self._url} refuses so large a "
                f"request (HTTP status {TOO_LARGE})",
                None,
            )
        if 400 <= status < 500 or (status >= 400 and self._through):
            return response
        raise self._of_another(response, status)

    def _of_another(self, response: Any, status: int) -> ClickHouseGone:
        location = response.headers.get("Location", "")
        server = response.headers.get("Server", "")
        said = "" if location else _said(response)
        response.close()
        if location:  # what is behind the path may be a secret of a login
            parts = urlsplit(location)
            to = f"{parts.scheme}://{parts.hostname or ''}" if parts.scheme else parts.path
            said = f"redirects to {to}"
        by = ", ".join(filter(None, (f"HTTP status {status}", server)))
        return ClickHouseGone(
            f"what answers for ClickHouse at {self._url} is something else ({by})"
            f"{f': {said}' if said else ''}",
            hint="look at the proxy or load balancer in between, or set clickhouse.url to where "
            "ClickHouse answers itself",
        )


def _said(response: Any) -> str:
    """The words of a page, or its title."""
    try:
        page = response.data if response.data else response.read(2**16)
    except (HTTPError, OSError):  # it may break off
        return ""
    text = bytes(page or b"")[: 2**16].decode(errors="replace")
    title = _TITLE.search(text)
    words = " ".join((title[1] if title else _NO_TEXT.sub(" ", text)).split())
    return words if len(words) <= WORDS else f"{words[:WORDS]}…"
