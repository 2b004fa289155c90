"""What Kafka says of the topic and the group, asked without joining it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from nrtctl.store.intents import decode_metadata
from tests.chaos.limits import LIMIT, Hang

TABLE = "events"


@dataclass(frozen=True, slots=True)
class Committed:
    """`pending`: the commit metadata declares a batch that is under way."""

    offset: int
    pending: bool


class KafkaView:
    """Close it. Every question is asked again until it is answered, within the limit."""

    def __init__(self, bootstrap: str, topic: str, group: str) -> None:
        from confluent_kafka import Consumer

        self._topic = topic
        self._partitions: list[int] = []
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def partitions(self) -> list[int]:
        """Asked once: no fault changes their number."""
        if not self._partitions:
            metadata = self._ask(lambda: self._consumer.list_topics(self._topic, timeout=5))
            self._partitions = sorted(metadata.topics[self._topic].partitions)
        return self._partitions

    def ends(self) -> dict[int, tuple[int, int]]:
        """Log start and log end by partition."""
        from confluent_kafka import TopicPartition

        return {
            number: self._ask(
                lambda n=number: self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, n), timeout=5
                )
            )
            for number in self.partitions()
        }

    def committed(self) -> dict[int, Committed]:
        from confluent_kafka import KafkaException, TopicPartition

        asked = [TopicPartition(self._topic, number) for number in self.partitions()]

        def ask() -> Any:
            answers = self._consumer.committed(asked, timeout=5)
            for each in answers:
                if each.error is not None:
                    raise KafkaException(each.error)
            return answers

        return {
            each.partition: Committed(
                max(0, each.offset),
                decode_metadata(TABLE, max(0, each.offset), each.metadata) is not None,
            )
            for each in self._ask(ask)
        }

    def close(self) -> None:
        self._consumer.close()

    def _ask(self, question: Any) -> Any:
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + LIMIT
        while True:
            try:
                return question()
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise Hang(f"Kafka does not answer: {error}") from error
                time.sleep(0.1)
