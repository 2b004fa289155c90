"""The consumer group, Kafka's side of `consumer.loop`: assignment, fetching, offsets, intents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock
from typing import Any, Literal, Protocol

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from nrtctl import intents
from nrtctl.clock import Clock
from nrtctl.consumer.transaction import IntentRefused
from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.intents import OffsetRange, Position

log = logging.getLogger(__name__)

REFUSED = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._STATE,
        KafkaError._DESTROY,
    }
)
"""Answers to an offset commit that mean: the partition is not ours any more."""

FATAL = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.OFFSET_METADATA_TOO_LARGE,
        KafkaError._FATAL,
    }
)
"""Answers that will not change until somebody changes something."""


class Message(Protocol):
    """The part of confluent_kafka's Message that is used."""

    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def error(self) -> Any: ...


Assigned = Callable[[Mapping[int, Position]], None]
Gone = Callable[[list[int]], None]


class Group:
    """One member.

    Args:
        consumer: subscribed to nothing yet; offsets are never committed by it on its own.
        stop: set when waiting should end.
    """

    def __init__(
        self,
        consumer: Consumer,
        topic: str,
        table: str,
        *,
        start: Literal["earliest", "latest"],
        clock: Clock,
        stop: Event,
        timeout: float = 10.0,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._table = table
        self._start = start
        self._clock = clock
        self._stop = stop
        self._timeout = timeout
        self._committing = Lock()
        self.joined = False
        self.assigned: set[int] = set()

    def subscribe(self, assigned: Assigned, revoked: Gone, lost: Gone) -> None:
        """Join the group. The callbacks run within `fetch` and `keep_alive`."""

        def on_assign(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            numbers = [each.partition for each in partitions]
            positions = self.positions(numbers)
            assigned(positions)
            consumer.incremental_assign(
                [TopicPartition(self._topic, n, positions[n].offset) for n in numbers]
            )
            self.assigned.update(numbers)
            self.joined = True

        def on_revoke(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            numbers = [each.partition for each in partitions]
            revoked(numbers)
            self.assigned.difference_update(numbers)
            consumer.incremental_unassign(partitions)

        def on_lost(consumer: Consumer, partitions: list[TopicPartition]) -> None:
            numbers = [each.partition for each in partitions]
            lost(numbers)
            self.assigned.difference_update(numbers)
            consumer.incremental_unassign(partitions)

        self._consumer.subscribe(
            [self._topic], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_lost
        )

    def fetch(self, most: int, timeout: float) -> list[Message]:
        """At most `most` messages and ends of partitions, waiting for the first of them only."""
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        messages = [first]
        if most > 1:
            messages += self._consumer.consume(most - 1, 0)
        return self._without_errors(messages)

    def keep_alive(self) -> list[Message]:
        """Serve rebalances; what comes although fetching is paused is returned, not dropped."""
        message = self._consumer.poll(0)
        return [] if message is None else self._without_errors([message])

    def _without_errors(self, messages: list[Message]) -> list[Message]:
        good = []
        for message in messages:
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                good.append(message)
            elif error.code() in FATAL or error.fatal():
                raise ConnectError(
                    f"Kafka refuses the consumer: {error.str()}", hint="`nrtctl doctor` says more"
                )
            elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NrtctlError(
                    f"topic {self._topic!r} does not exist", hint="`nrtctl up` creates it"
                )
            elif error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
                raise NrtctlError(
                    f"{self._topic}: the offset to read is gone from the log: {error.str()}",
                    hint="`nrtctl consume --skip-lost` goes on after the lost range",
                )
            else:
                log.warning("Kafka: %s", error.str())
        return good

    def pause(self) -> None:
        self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        self._consumer.resume(self._consumer.assignment())

    def seek(self, partition: int, offset: int) -> None:
        self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit offsets with no intent. False: refused or not answered; nothing is lost by it."""
        try:
            self._commit([TopicPartition(self._topic, n, offset) for n, offset in offsets.items()])
        except IntentRefused:
            return False
        except KafkaException as error:
            log.warning("offsets are not committed: %s", error.args[0].str())
            return False
        return True

    def declare(self, partition: int, batch: OffsetRange) -> None:
        """Commit the intent of `batch`, waiting out a rebalance or a broker that is away.

        Raises:
            IntentRefused: the partition is not ours any more, or we are stopping.
            ConnectError: Kafka will not take our commits until somebody changes something.
        """
        metadata = intents.encode_metadata(self._table, batch)
        intent = TopicPartition(self._topic, partition, batch.start, metadata)
        pause = 0.05
        while True:
            try:
                self._commit([intent])
            except KafkaException as error:
                log.warning("the intent of partition %d waits: %s", partition, error.args[0].str())
            else:
                return
            if partition not in self.assigned or self._stop.wait(pause):
                raise IntentRefused
            pause = min(2.0, pause * 2)

    def _commit(self, offsets: list[TopicPartition]) -> None:
        try:
            with self._committing:
                answers = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._check(error.args[0])
            raise
        for answer in answers or ():
            if answer.error is not None:
                self._check(answer.error)
                raise KafkaException(answer.error)

    @staticmethod
    def _check(error: KafkaError) -> None:
        if error.code() in REFUSED:
            raise IntentRefused(error.str())
        if error.code() in FATAL:
            raise ConnectError(
                f"Kafka refuses to commit offsets: {error.str()}", hint="`nrtctl doctor` says more"
            )

    def committed(self, partitions: Sequence[int]) -> dict[int, tuple[int | None, str]]:
        """Committed offset (None: none) and metadata by partition."""
        asked = [TopicPartition(self._topic, n) for n in partitions]
        answers = self._patiently(lambda: self._consumer.committed(asked, timeout=self._timeout))
        found: dict[int, tuple[int | None, str]] = {}
        for each in answers:
            if each.error is not None:
                raise ConnectError(f"{self._topic}/{each.partition}: {each.error.str()}")
            offset = None if each.offset == OFFSET_INVALID else each.offset
            found[each.partition] = (offset, each.metadata or "")
        return found

    def positions(self, partitions: Sequence[int]) -> dict[int, Position]:
        """Where each partition starts, and what must be resolved first.

        Raises:
            NrtctlError: the committed offset or its metadata make no sense for this log and table.
        """
        positions = {}
        for number, (offset, metadata) in self.committed(partitions).items():
            low, high = self._watermarks(number)
            if offset is None and self._start == "latest":
                positions[number] = Position(high, None)
                continue
            try:
                positions[number] = intents.resume(
                    self._table,
                    committed=offset,
                    metadata=metadata,
                    log_start=low,
                    log_end=high,
                )
            except ValueError as error:
                raise NrtctlError(
                    f"{self._topic}/{number}: {error}",
                    hint="use another consumer.group, or move this one's offsets",
                ) from error
        return positions

    def _watermarks(self, partition: int) -> tuple[int, int]:
        tp = TopicPartition(self._topic, partition)
        answer = self._patiently(
            lambda: self._consumer.get_watermark_offsets(tp, timeout=self._timeout)
        )
        return int(answer[0]), int(answer[1])

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask again for a while: right after a broker's start some answers are errors."""
        deadline = self._clock.monotonic() + 3 * self._timeout
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() in FATAL or self._clock.monotonic() > deadline:
                    raise ConnectError(
                        f"Kafka does not tell the offsets of {self._topic}: {error.args[0].str()}",
                        hint="`nrtctl doctor` says more",
                    ) from error
            if self._stop.wait(0.2):
                raise ConnectError("stopped while Kafka was away")

    def close(self) -> None:
        self._consumer.close()
