"""Whether a pipeline is paused: a mark beside its group, which every member of the group heeds.

The mark is an offset that means nothing, committed for a group of its own that never has members;
its metadata say since when. `nrtctl pause` commits it and `nrtctl resume` deletes the group. Kafka
forgets offsets of a group without members after a while (`offsets.retention.minutes`, a week unless
it is told otherwise), so whoever heeds the mark commits it again twice a day.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients, positions
from nrtctl.kafka.error_codes import NOT_ALLOWED, meaning_of
from nrtctl.kafka.group_offsets import GroupOffsets

SUFFIX = ".paused"
SINCE = "nrtctl paused since "

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 12 * 3600.0


def paused_since(
    admin: AdminClient,
    config: Config,
    *,
    address: str,
    timeout: float | None = None,
    clock: Clock | None = None,
) -> str | None:
    """When the pipeline was paused, in UTC; None: it is not, or this user may not see it.

    Args:
        timeout: seconds that Kafka has to answer; None: what the configuration says.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
    """
    try:
        found = positions.committed(
            admin,
            config.consumer.group + SUFFIX,
            config.pipeline.topic,
            [0],
            address=address,
            timeout=timeout or config.kafka.connect_timeout,
            clock=clock,
        )
    except NrtctlError as error:
        if meaning_of(error) in NOT_ALLOWED:
            return None
        raise
    return _since(found[0][1])


class PauseMark:
    """The mark of one pipeline, for whoever sets it."""

    def __init__(self, admin: AdminClient, config: Config, *, address: str, clock: Clock) -> None:
        self._group = GroupOffsets(
            admin,
            config.consumer.group + SUFFIX,
            config.pipeline.topic,
            address=address,
            timeout=config.kafka.connect_timeout,
            clock=clock,
        )

    def set(self, seconds: float) -> str:
        """Args: seconds: since the epoch, when it begins. Returns: as `paused_since`.

        Raises:
            NrtctlError: Kafka does not take it.
        """
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
        self._group.commit_offsets({0: (0, SINCE + since)})
        return since

    def clear(self) -> None:
        """Raises NrtctlError: Kafka does not answer, or does not allow it."""
        self._group.forget()


def _since(metadata: str | None) -> str | None:
    return metadata.removeprefix(SINCE) if metadata and metadata.startswith(SINCE) else None


class PauseWatch:
    """Looks at the mark every two seconds, on a thread and with a client of its own.

    Args:
        since: what it was at the start.
        note: told of each change, on that thread.
    """

    def __init__(
        self, config: Config, since: str | None, *, address: str, note: Callable[[str], None]
    ) -> None:
        self._config = config
        self._address = address
        self._note = note
        self._closed = Event()
        self._committed_at = time.monotonic()
        self.since = since
        if since is not None:
            self._say()
        self._thread = Thread(target=self._run, name="pause", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """It is looked at no more. Waits for nothing."""
        self._closed.set()

    def _run(self) -> None:
        if self._closed.wait(LOOK_SECONDS):  # a short run needs no client for this
            return
        consumer: Any = clients.make_consumer(
            self._config.kafka, self._config.consumer.group + SUFFIX, address=self._address
        )
        try:
            while True:
                self._look(consumer)
                if self._closed.wait(LOOK_SECONDS):
                    return
        finally:
            consumer.close()

    def _look(self, consumer: Any) -> None:
        """Where Kafka does not answer, what was known stays; a user who may not see the mark looks
        no more."""
        at = TopicPartition(self._config.pipeline.topic, 0)
        try:
            (found,) = consumer.committed([at], timeout=self._config.kafka.connect_timeout)
            since = _since(found.metadata)
            if since is not None and time.monotonic() - self._committed_at > AGAIN_SECONDS:
                self._committed_at = time.monotonic()
                consumer.commit(offsets=[found], asynchronous=False)
        except KafkaException as error:
            if meaning_of(error) in NOT_ALLOWED:
                self._closed.set()
            return
        if since != self.since:
            self.since = since
            self._say()

    def _say(self) -> None:
        if self.since is None:
            self._note("resumed: messages are read again")
        else:
            self._note(
                f"paused since {self.since} (UTC): what was read is stored, and nothing more "
                "is read until `nrtctl resume`"
            )
