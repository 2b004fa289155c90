"""Threads that share a client of ours, as those of a consumer do: each gets its own answers."""

from __future__ import annotations

import struct
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from nrtctl.clickhouse.client import ClickHouseClient

THREADS, TIMES = 4, 5


def test_threads_that_share_a_client_insert_and_ask_at_once(client: ClickHouseClient) -> None:
    table = f"shared{uuid.uuid4().hex}"
    client.command(f"CREATE TABLE {table} (a UInt8, b UInt32) ENGINE = MergeTree ORDER BY (a, b)")
    together = Barrier(THREADS, timeout=60)

    def work(thread: int) -> list[int]:
        found = []
        for time in range(TIMES):
            together.wait()
            client.insert(table, ["a", "b"], [struct.pack("<BI", thread, time)], {})
            asked = f"SELECT max(b) FROM {table} WHERE a = {{a:UInt8}}"
            found.append(int(client.query(asked, {"a": thread})[0][0]))
        return found

    with ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(work, range(THREADS)))
    assert answers == [list(range(TIMES))] * THREADS
    rows = client.query(f"SELECT a, b FROM {table} ORDER BY a, b")
    assert rows == [(thread, time) for thread in range(THREADS) for time in range(TIMES)]
    client.command(f"DROP TABLE {table}")
