"""The loop that people write first: poll, json.loads, insert. Called by `bench ingest --plain`.

It commits offsets after each insert, has no intents and no dead letters, and fails on a message
that is not as expected. It runs as a process of its own: `python -m nrtctl.bench.plain`, with a
JSON object in the variable GIVEN, and prints the seconds that it took.
"""

from __future__ import annotations

import json
import os
import time

import clickhouse_connect
from clickhouse_connect.driver import httputil
from confluent_kafka import Consumer

from nrtctl.bench.children import GIVEN

COLUMNS = (
    "event_id", "user_id", "session_id", "event_type", "event_timestamp", "request_latency_ms",
    "status", "error_code", "product_id",
)  # fmt: skip


def run(
    kafka: dict[str, str], host: str, port: int, password: str, topic: str, group: str, table: str,
    rows: int, count: int,
) -> float:  # fmt: skip
    """Seconds from the first message to the last insert of `count` messages."""
    client = clickhouse_connect.get_client(
        host=host, port=port, username="default", password=password,
        pool_mgr=httputil.default_pool_manager(),
    )  # fmt: skip
    consumer = Consumer({
        **kafka, "group.id": group, "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    })  # fmt: skip
    consumer.subscribe([topic])
    batch: list[list[object]] = []
    done = 0
    began = 0.0
    while done < count:
        message = consumer.poll(1.0)
        if message is None or message.error() is not None:
            continue
        began = began or time.monotonic()
        event = json.loads(message.value() or b"")
        batch.append([event.get(name) for name in COLUMNS])
        if len(batch) == rows or done + len(batch) == count:
            client.insert(table, batch, column_names=COLUMNS)
            consumer.commit(asynchronous=False)
            done += len(batch)
            batch = []
    seconds = time.monotonic() - began
    consumer.close()
    client.close()
    return seconds


if __name__ == "__main__":
    print(json.dumps({"seconds": run(**json.loads(os.environ[GIVEN]))}))
