"""What Kafka holds for a pipeline: log ends, the group's offsets, whether a message exists.

Called by `verify`, `stats`, `consume --until-end` and `demo`.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from nrtctl import kafka
from nrtctl.clock import Clock, SystemClock
from nrtctl.config.model import Config
from nrtctl.errors import WaitTimeout
from nrtctl.intents import OffsetRange
from nrtctl.stack.addresses import Addresses
from nrtctl.verify import LogPartition


class KafkaLog:
    """A read-only view; its clients are made when they are first needed."""

    def __init__(self, config: Config, addresses: Addresses, clock: Clock | None = None) -> None:
        self._config = config
        self._address = addresses.bootstrap_servers
        self._timeout = config.kafka.connect_timeout
        self._clock = clock or SystemClock()
        self._admin = kafka.make_admin(config.kafka, address=self._address)

    def ends(self) -> dict[int, int]:
        """Log end of each partition."""
        marks = kafka.watermarks(
            self._admin, self._config.pipeline.topic, address=self._address, timeout=self._timeout
        )
        return {number: high for number, (_, high) in marks.items()}

    def partitions(self) -> list[LogPartition]:
        """Raises ConnectError, WaitTimeout; NrtctlError: there is no such topic."""
        topic = self._config.pipeline.topic
        marks = kafka.watermarks(self._admin, topic, address=self._address, timeout=self._timeout)
        offsets = kafka.committed(
            self._admin,
            self._config.consumer.group,
            topic,
            sorted(marks),
            address=self._address,
            timeout=self._timeout,
        )
        return [
            LogPartition(number, low, high, *offsets.get(number, (None, "")))
            for number, (low, high) in sorted(marks.items())
        ]

    def exists(self, partition: int, span: OffsetRange) -> int:
        """How many messages the log holds in `span`, by reading it.

        Raises:
            WaitTimeout: no answer within six times the connect timeout.
        """
        consumer: Any = kafka.make_consumer(
            self._config.kafka,
            self._config.consumer.group + ".verify",
            address=self._address,
            properties={"enable.partition.eof": True, "auto.offset.reset": "earliest"},
        )
        topic = self._config.pipeline.topic
        deadline = self._clock.monotonic() + 6 * self._timeout
        try:
            consumer.assign([TopicPartition(topic, partition, span.start)])
            found = 0
            while self._clock.monotonic() < deadline:
                for message in consumer.consume(10_000, 0.2):
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            return found
                        continue
                    if message.offset() >= span.end:
                        return found
                    found += 1
                    deadline = self._clock.monotonic() + 6 * self._timeout
            raise WaitTimeout(f"{topic}/{partition}: {span} could not be read in time")
        finally:
            consumer.close()
