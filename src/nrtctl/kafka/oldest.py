"""How old the oldest messages are that a group has not committed; read without joining it.

Used by `stats`, and only by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import Any

from confluent_kafka import TopicPartition

from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka.error_codes import DAMAGE, Meaning, meaning_of

FETCH_BYTES = 64 * 1024
"""A fetch answers at least one record batch, so little is read to see one record's time.

librdkafka does not ask a partition again for a while (a second, unless told otherwise) once it has
more than it was told to queue, which here is always; an assignment made meanwhile waits for that to
pass. Hence `fetch.queue.backoff.ms`.
"""

Place = tuple[str, int, int]
"""Topic, partition, offset."""

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

    def __init__(self, settings: Kafka, group: str, *, address: str, patience: float) -> None:
        self._settings = settings
        self._group = group
        self._address = address
        self.patience = patience
        self._consumer: Any = None
        self._known: dict[Place, float] = {}

    def times(self, wanted: Collection[Place]) -> dict[Place, float]:
        """Times of the first records at or after these places, in seconds since the epoch; only
        those that could be read in time. All are read at once, in any number of topics."""
        self._known = {each: self._known[each] for each in wanted if each in self._known}
        deadline = time.monotonic() + self.patience
        for places in rounds([each for each in wanted if each not in self._known]):
            self._read(places, deadline)
        return dict(self._known)

    def _read(self, places: Collection[Place], deadline: float) -> None:
        if self._consumer is None:
            self._consumer = clients.make_consumer(
                self._settings, self._group, address=self._address, properties=PROPERTIES
            )
        self._consumer.assign([TopicPartition(*each) for each in places])
        left = {(topic, number): (topic, number, at) for topic, number, at in places}
        while left and (patience := deadline - time.monotonic()) > 0:
            message = self._consumer.poll(patience)
            at = None if message is None else (message.topic(), message.partition())
            if at is None or at not in left:
                continue
            if message.error() is None:
                self._known[left.pop(at)] = message.timestamp()[1] / 1000
            elif meaning_of(message.error(), fetched=True) in DAMAGE | {Meaning.END}:
                left.pop(at)
            else:
                continue
            # A broker answers a fetch with a large batch of one partition only, so one that goes on
            # being read keeps the others from theirs.
            self._consumer.incremental_unassign([TopicPartition(*at)])
        self._consumer.unassign()

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


def rounds(places: Collection[Place]) -> Iterator[list[Place]]:
    """Lists in which no partition is twice: a client reads it from one offset at a time."""
    left = list(places)
    while left:
        first = {(topic, number): (topic, number, at) for topic, number, at in reversed(left)}
        yield list(first.values())
        left = [each for each in left if first[each[:2]] != each]
