"""How old the oldest messages are that a group has not committed; read without joining it.

Used by `stats`, and only by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import TopicPartition

from nrtctl.config.model import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka.error_codes import DAMAGE, Meaning, meaning_of

FETCH_BYTES = 64 * 1024
"""A fetch answers at least one record batch, so little is read to see one record's time.

librdkafka does not ask a partition again for a while (a second, unless told otherwise) once it has
more than it was told to queue, which here is always; an assignment made meanwhile waits for that to
pass. Hence `fetch.queue.backoff.ms`.
"""

PROPERTIES: clients.Properties = {
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1024,
    "fetch.message.max.bytes": FETCH_BYTES,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 1,
}


class OldestRecords:
    """Args:
    group: given to the client as its own; nothing is committed.
    patience: seconds in which the records must come; else their age is not known.
    """

    def __init__(
        self, settings: Kafka, topic: str, group: str, *, address: str, patience: float
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._group = group
        self._address = address
        self.patience = patience
        self._consumer: Any = None
        self._known: dict[tuple[int, int], float] = {}

    def times(self, wanted: Mapping[int, int]) -> dict[int, float]:
        """Times of the first records at or after these offsets, by partition, in seconds since the
        epoch; only those that could be read in time."""
        self._known = {
            (number, offset): self._known[number, offset]
            for number, offset in wanted.items()
            if (number, offset) in self._known
        }
        open_ = {n: at for n, at in wanted.items() if (n, at) not in self._known}
        if open_:
            self._read(open_)
        return {n: self._known[n, at] for n, at in wanted.items() if (n, at) in self._known}

    def _read(self, wanted: dict[int, int]) -> None:
        if self._consumer is None:
            self._consumer = clients.make_consumer(
                self._settings, self._group, address=self._address, properties=PROPERTIES
            )
        self._consumer.assign([TopicPartition(self._topic, n, at) for n, at in wanted.items()])
        left = dict(wanted)
        deadline = time.monotonic() + self.patience
        while left and (patience := deadline - time.monotonic()) > 0:
            message = self._consumer.poll(patience)
            if message is None or message.partition() not in left:
                continue
            if message.error() is None:
                asked = left.pop(message.partition())
                self._known[message.partition(), asked] = message.timestamp()[1] / 1000
            elif meaning_of(message.error(), fetched=True) in DAMAGE | {Meaning.END}:
                left.pop(message.partition())
        self._consumer.unassign()

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
