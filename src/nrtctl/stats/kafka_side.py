"""What a look asks Kafka: the log, the group and its members, how old the lag is.

Used by `watcher`, and only by one thread. After an error it is closed and made anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl import kafka
from nrtctl.config.model import Config
from nrtctl.intents import Incarnation
from nrtctl.kafka_damage import is_damage
from nrtctl.stats.snapshot import Group, Member
from nrtctl.verify.log import LogPartition

FETCH_BYTES = 64 * 1024
"""A fetch answers at least one record batch, so little is read to see one record's time.

librdkafka does not ask a partition again for a while (a second, unless told otherwise) once it has
more than it was told to queue, which here is always; an assignment made meanwhile waits for that to
pass. Hence `fetch.queue.backoff.ms`.
"""

_CONSUMER: kafka.Properties = {
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "queued.min.messages": 1,
    "queued.max.messages.kbytes": 1024,
    "fetch.message.max.bytes": FETCH_BYTES,
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 1,
}


@dataclass(frozen=True, slots=True)
class KafkaLook:
    """`oldest`: partition to the time of its oldest record that is not committed, in seconds since
    the epoch; only partitions with a lag whose record could be read in time."""

    partitions: list[LogPartition]
    group: Group
    oldest: dict[int, float]


class KafkaSide:
    """Args: timeout: seconds that one question may take."""

    def __init__(self, config: Config, address: str, *, timeout: float) -> None:
        self._config = config
        self.address = address
        self._timeout = timeout
        self.patience = timeout / 2
        """Seconds in which the oldest records must come; else their age is not known."""
        self._admin = kafka.make_admin(config.kafka, address=self.address)
        self._consumer: Any = None
        self._known: dict[tuple[int, int], float] = {}

    def look(self) -> KafkaLook:
        """Raises ConnectError, WaitTimeout; NrtctlError: there is no such topic."""
        topic, group = self._config.pipeline.topic, self._config.consumer.group
        marks = kafka.watermarks(self._admin, topic, address=self.address, timeout=self._timeout)
        offsets = kafka.committed(
            self._admin,
            group,
            topic,
            sorted(marks),
            address=self.address,
            timeout=self._timeout,
        )
        now = kafka.topic_id(self._admin, topic, address=self.address, timeout=self._timeout)
        partitions = [
            LogPartition.of(
                number, low_high, offsets.get(number, (None, "")), Incarnation(topic_id=now)
            )
            for number, low_high in sorted(marks.items())
        ]
        members = members_of(self._admin, group, topic, address=self.address, timeout=self._timeout)
        wanted = {
            each.partition: max(each.log_start, each.committed or 0)
            for each in partitions
            if each.log_end > max(each.log_start, each.committed or 0)
        }
        return KafkaLook(partitions, members, self._oldest(wanted))

    def _oldest(self, wanted: Mapping[int, int]) -> dict[int, float]:
        """Times of the first records at or after these offsets, by partition."""
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
            self._consumer = kafka.make_consumer(
                self._config.kafka,
                self._config.consumer.group + ".stats",
                address=self.address,
                properties=_CONSUMER,
            )
        topic = self._config.pipeline.topic
        self._consumer.assign([TopicPartition(topic, n, at) for n, at in wanted.items()])
        left = dict(wanted)
        deadline = time.monotonic() + self.patience
        while left and (patience := deadline - time.monotonic()) > 0:
            message = self._consumer.poll(patience)
            if message is None or message.partition() not in left:
                continue
            if message.error() is None:
                asked = left.pop(message.partition())
                self._known[message.partition(), asked] = message.timestamp()[1] / 1000
            elif message.error().code() == KafkaError._PARTITION_EOF or is_damage(message.error()):
                left.pop(message.partition())
        self._consumer.unassign()

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


def members_of(
    admin: AdminClient, group: str, topic: str, *, address: str, timeout: float
) -> Group:
    """The state of a group, and who has which partitions of the topic. An unknown group is dead.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
    """
    with kafka.translated(address):
        future = admin.describe_consumer_groups([group], request_timeout=timeout)[group]
        answer = future.result(timeout + 1)
    return Group(
        name=group,
        state=str(answer.state.name).lower(),
        members=[
            Member(
                member_id=each.member_id,
                client_id=each.client_id,
                host=each.host.removeprefix("/"),
                partitions=sorted(
                    part.partition
                    for part in (each.assignment.topic_partitions if each.assignment else ())
                    if part.topic == topic
                ),
            )
            for each in answer.members
        ],
    )
