"""The engine's own rate: the same rows straight from memory into the same table.

Called by `bench.ingest`; `benchmarks/peers` posts with the same `Insert`. One `INSERT INTO events
FORMAT JSONEachRow` a batch over HTTP, as many under way as the consumer has, each connection a
thread.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from nrtctl.errors import NrtctlError
from nrtctl.stack.addresses import Addresses

SETTINGS = {
    "input_format_skip_unknown_fields": "1",
    "async_insert": "0",
    "max_insert_block_size": "1048576",
}


def bodies(path: Path, rows: int) -> list[bytes]:
    """The lines of a file, `rows` of them in each body."""
    found = []
    with path.open("rb") as file:
        while lines := list(islice(file, rows)):
            found.append(b"".join(lines))
    return found


def insert_all(
    addresses: Addresses, table: str, batches: Sequence[bytes], *, at_once: int
) -> float:
    """Seconds that it takes.

    Raises:
        NrtctlError: the engine refused one.
    """
    url, password = addresses.clickhouse_url, addresses.clickhouse_password or ""

    def insert(share: Sequence[bytes]) -> None:
        with closing(Insert(url, password, table)) as post:
            for body in share:
                post(body)

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(insert, [batches[first::at_once] for first in range(at_once)]))
    return time.monotonic() - began


class Insert:
    """One connection that posts lines to a table, and has the engine parse them."""

    def __init__(self, url: str, password: str, table: str) -> None:
        secret = base64.b64encode(f"default:{password}".encode()).decode()
        self._statement = f"INSERT INTO {table} FORMAT JSONEachRow"
        self._path = "/?" + urlencode({"query": self._statement, **SETTINGS})
        self._headers = {"Authorization": f"Basic {secret}"}
        parts = urlsplit(url)
        self._connection = HTTPConnection(parts.hostname or "", parts.port)

    def __call__(self, body: bytes) -> None:
        """Raises NrtctlError: the engine refused it."""
        self._connection.request("POST", self._path, body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise NrtctlError(f"{self._statement}: {said.decode(errors='replace')[:500]}")

    def close(self) -> None:
        self._connection.close()
