"""The engine's own rate: the same rows straight from memory into the same table.

Called by `bench.ingest`. One `INSERT INTO events FORMAT JSONEachRow` a batch over HTTP, as many
under way as the consumer has, each connection a thread.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
    url = urlsplit(addresses.clickhouse_url)
    secret = base64.b64encode(f"default:{addresses.clickhouse_password or ''}".encode()).decode()
    statement = f"INSERT INTO {table} FORMAT JSONEachRow"
    path = "/?" + urlencode({"query": statement, **SETTINGS})
    headers = {"Authorization": f"Basic {secret}"}

    def insert(share: Sequence[bytes]) -> None:
        connection = HTTPConnection(url.hostname or "", url.port)
        try:
            for body in share:
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status != 200:
                    raise NrtctlError(f"{statement}: {said.decode(errors='replace')[:500]}")
        finally:
            connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(insert, [batches[first::at_once] for first in range(at_once)]))
    return time.monotonic() - began
