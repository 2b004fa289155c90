"""The best that a skilled person writes in an hour: lines go from Kafka to the table as they came.

Two inserts are under way, and offsets are committed in order, after their insert: at least once. It
runs as a process of its own, with a JSON object in the variable GIVEN. Started by `peer`.
"""

from __future__ import annotations

import json
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import local

from confluent_kafka import Consumer, TopicPartition

from nrtctl.bench.children import GIVEN
from nrtctl.bench.limit import Insert

AT_ONCE = 2
FETCHES = {
    "fetch.queue.backoff.ms": 10, "fetch.wait.max.ms": 50, "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 65_536,
}  # fmt: skip


def run(
    kafka: dict[str, str], url: str, password: str, topic: str, group: str, table: str, rows: int,
    count: int,
) -> None:  # fmt: skip
    """Store `count` messages, `rows` in an insert. Raises NrtctlError: the engine refused some."""
    consumer = Consumer({
        **kafka, **FETCHES, "group.id": group, "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    })  # fmt: skip
    consumer.subscribe([topic])
    own = local()

    def insert(body: bytes) -> None:
        if not hasattr(own, "insert"):
            own.insert = Insert(url, password, table)
        own.insert(body)

    under_way: deque[tuple[Future[None], list[TopicPartition]]] = deque()

    def settle(most: int) -> None:
        while len(under_way) > most:
            inserted, offsets = under_way.popleft()
            inserted.result()
            consumer.commit(offsets=offsets, asynchronous=False)

    lines: list[bytes] = []
    ends: dict[int, int] = {}
    taken = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while taken < count:
            for message in consumer.consume(min(10_000, rows - len(lines)), 0.5):
                if message.error() is None:
                    lines.append(message.value() or b"")
                    ends[message.partition() or 0] = (message.offset() or 0) + 1
                    taken += 1
            if len(lines) == rows or taken == count:
                settle(AT_ONCE - 1)
                offsets = [TopicPartition(topic, number, end) for number, end in ends.items()]
                under_way.append((pool.submit(insert, b"\n".join(lines)), offsets))
                lines, ends = [], {}
        settle(0)
    consumer.close()


if __name__ == "__main__":
    run(**json.loads(os.environ[GIVEN]))
