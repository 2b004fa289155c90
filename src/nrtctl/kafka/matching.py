"""Which topics of Kafka are those of a pipeline with a pattern, now and later.

Asked by `cli.meant`, `cli.new_topics`, `stack.up` and `stack.doctor`.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event, Thread
from typing import Any

from confluent_kafka import KafkaException

from nrtctl.config.servers import Kafka
from nrtctl.kafka import clients
from nrtctl.kafka.topics import described
from nrtctl.pipeline import Pipeline

LOOK_SECONDS = 4.0


def all_topics(kafka: Kafka, *, address: str) -> list[str]:
    """The names of the topics that can be read, sorted.

    Raises:
        ConnectError: Kafka does not answer.
    """
    admin = clients.make_admin(kafka, address=address)
    return _names(described(admin, address=address, timeout=kafka.connect_timeout))


def _names(answer: Any) -> list[str]:
    """Args: answer: confluent-kafka's ClusterMetadata."""
    found = answer.topics.items()
    return sorted(name for name, each in found if each.partitions and each.error is None)


def matching(pipeline: Pipeline, names: Iterable[str]) -> list[str]:
    """Those of the pipeline, in the order in which it reads them."""
    if isinstance(pipeline.topics, tuple):
        return list(pipeline.topics)
    return [name for name in names if pipeline.reads(name)]


class TopicsWatch:
    """Looks every few seconds which topics there are, on a thread of its own."""

    def __init__(self, kafka: Kafka, *, address: str) -> None:
        self._admin = clients.make_admin(kafka, address=address)
        self._timeout = kafka.connect_timeout
        self._closed = Event()
        self.names: list[str] = []
        """Those of the last look that was answered."""

    def __enter__(self) -> TopicsWatch:
        Thread(target=self._run, name="topics", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                self.names = _names(self._admin.list_topics(timeout=self._timeout))
            except KafkaException:
                continue  # the consumers say that Kafka does not answer
