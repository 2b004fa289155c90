"""What Kafka holds for a pipeline: log ends, the group's offsets, single messages.

Called by `verify`, `consume --until-end` and `demo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock, SystemClock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.config.model import Config
from nrtctl.errors import WaitTimeout
from nrtctl.kafka import clients, positions, topics
from nrtctl.kafka.damage import STALLED_SECONDS, DamagedLog, Finder, is_damage
from nrtctl.kafka.error_codes import RESTORE, Meaning, meaning_of
from nrtctl.kafka.partitions import LogPartition, Message
from nrtctl.store.intents import Incarnation, OffsetRange

JUMP = 20_000
"""Offsets that are read and thrown away rather than jumped over: a jump asks the broker anew."""

FETCH = 5_000
FETCH_QUEUE_KILOBYTES = 32 * 1024


class KafkaLog:
    """A read-only view; its clients are made when they are first needed.

    Args:
        topic: the incarnation of the topic whose log it is (`stack.current_topic`); None: that
            of the topic which is there, as far as Kafka alone tells it.
        admin: a client to ask with; None: one of its own.
    """

    def __init__(
        self,
        config: Config,
        address: str,
        clock: Clock | None = None,
        *,
        topic: Incarnation | None = None,
        admin: AdminClient | None = None,
    ) -> None:
        self._config = config
        self._incarnation = topic
        self._address = address
        self._timeout = config.kafka.connect_timeout
        self._clock = clock or SystemClock()
        if admin is None:
            admin = clients.make_admin(config.kafka, address=self._address)
        self._admin = admin

    def ends(self) -> dict[int, int]:
        """The end of what can be read now, of each partition."""
        level = self._config.kafka.properties.get("isolation.level", "read_committed")
        marks = positions.watermarks(
            self._admin,
            self._config.pipeline.topic,
            address=self._address,
            timeout=self._timeout,
            stable=level == "read_committed",
        )
        return {number: high for number, (_, high) in marks.items()}

    def partitions(self) -> list[LogPartition]:
        """Raises ConnectError, WaitTimeout; NrtctlError: there is no such topic."""
        topic = self._config.pipeline.topic
        marks = positions.watermarks(
            self._admin, topic, address=self._address, timeout=self._timeout
        )
        offsets = positions.committed(
            self._admin,
            self._config.consumer.group,
            topic,
            sorted(marks),
            address=self._address,
            timeout=self._timeout,
        )
        now = self._incarnation or Incarnation(topic_id=self.topic_id())
        return [
            LogPartition.of(number, low_high, offsets.get(number, (None, "")), now)
            for number, low_high in sorted(marks.items())
        ]

    def topic_id(self) -> str:
        """Of the topic that has the name now. Raises as `topics.topic_id`."""
        return topics.topic_id(
            self._admin, self._config.pipeline.topic, address=self._address, timeout=self._timeout
        )

    def messages(
        self,
        partition: int,
        spans: Iterable[OffsetRange],
        damaged: Callable[[OffsetRange], None] | None = None,
    ) -> Iterator[Message]:
        """The messages that lie in `spans`, which ascend and do not overlap.

        One consumer reads on over small distances and jumps over large ones. It joins no group.

        Args:
            damaged: told each range, within `spans` or not, that cannot be read and is passed.

        Raises:
            WaitTimeout: no answer within six times the connect timeout.
            DamagedLog: messages cannot be read, and `damaged` is not given.
        """
        return read_messages(
            self._consumer(),
            self._config.pipeline.topic,
            partition,
            spans,
            patience=6 * self._timeout,
            clock=self._clock,
            finder=Finder(
                self._config.kafka,
                self._config.pipeline.topic,
                self._config.consumer.group + ".damage",
                address=self._address,
                clock=self._clock,
            ),
            damaged=damaged,
        )

    def _consumer(self) -> Any:
        return clients.make_consumer(
            self._config.kafka,
            self._config.consumer.group + ".verify",
            address=self._address,
            properties={
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": FETCH_QUEUE_KILOBYTES,
            },
        )


def read_messages(
    consumer: Any,
    topic: str,
    partition: int,
    spans: Iterable[OffsetRange],
    *,
    patience: float,
    clock: Clock,
    finder: Finder | None = None,
    damaged: Callable[[OffsetRange], None] | None = None,
) -> Iterator[Message]:
    """The messages of one partition that lie in `spans`. Closes `consumer`.

    Args:
        patience: seconds without an answer that are too many.
        finder: looks at what does not come.
        damaged: told what cannot be read and is passed.

    Raises:
        WaitTimeout: they have passed.
        DamagedLog: messages cannot be read, and `damaged` or `finder` is not given.
    """
    reader = _Reader(consumer, topic, partition, clock, finder, damaged)
    try:
        remaining = iter(spans)
        span = next(remaining, None)
        position: int | None = None
        while span is not None:
            if position is None or span.start - position > JUMP:
                reader.jump(span.start)
            for message in reader.read(patience):
                position = message.offset() + 1
                while span is not None and message.offset() >= span.end:
                    span = next(remaining, None)
                if span is None:
                    return
                if message.offset() >= span.start:
                    yield message
                elif span.start - position > JUMP:
                    break
            else:
                return
    finally:
        reader.close()


class _Reader:
    """Reads one partition forward. `consumer` is closed with it."""

    def __init__(
        self,
        consumer: Any,
        topic: str,
        partition: int,
        clock: Clock,
        finder: Finder | None,
        damaged: Callable[[OffsetRange], None] | None,
    ) -> None:
        self._consumer = consumer
        self._finder = finder
        self._damaged = damaged
        self._topic = topic
        self._partition = partition
        self._clock = clock
        self._position = 0
        self._last = 0.0
        """When a message came and was seen to, or reading began."""

    def jump(self, offset: int) -> None:
        self._position = offset
        self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])

    def read(self, patience: float) -> Iterator[Message]:
        """The messages from where it stands to the log's end.

        Raises:
            WaitTimeout: nothing came for `patience` seconds.
            DamagedLog: it cannot be read, and is not to be passed.
        """
        self._last = self._clock.monotonic()
        while True:
            for message in self._came(patience):
                error = message.error()
                if error is None:
                    if message.offset() >= self._position:
                        self._position = message.offset() + 1
                        yield message
                    self._last = self._clock.monotonic()
                elif is_damage(error):
                    self._pass(error.str())
                    break
                else:
                    return

    def _came(self, patience: float) -> list[Any]:
        """The next messages, what says that they cannot be read, or the log's end.

        Raises: as `read`.
        """
        look_at = self._last + STALLED_SECONDS
        with if_it_lasts(lambda: f"waiting for up to {patience:g} s: {self._silent()}"):
            while (now := self._clock.monotonic()) < self._last + patience:
                if self._finder is not None and now > look_at:
                    reason = self._finder.reason(self._partition, self._position)
                    if reason is not None:
                        self._pass(reason)
                    look_at = self._clock.monotonic() + STALLED_SECONDS
                fetched = self._consumer.consume(FETCH, 0.2)
                if found := [each for each in fetched if _says_something(each.error())]:
                    return found
        raise WaitTimeout(
            self._silent(),
            hint="`nrtctl status` shows the stack; kafka.connect_timeout sets how long to wait",
        )

    def _silent(self) -> str:
        where = f"{self._topic}/{self._partition}"
        return f"{where}: Kafka sends nothing from offset {self._position} onwards"

    def _pass(self, reason: str) -> None:
        """Go on after what cannot be read.

        Raises:
            DamagedLog: nobody wants to pass it.
        """
        at = self._position
        if self._finder is None or self._damaged is None:
            raise DamagedLog(self._topic, self._partition, at, reason, hint=RESTORE)
        span = self._finder.damaged(self._partition, at)
        if span is not None:
            self._damaged(span)
        self.jump(at if span is None else span.end)

    def close(self) -> None:
        self._consumer.close()


def _says_something(error: Any) -> bool:
    """Other errors pass: the client tries again by itself."""
    return error is None or meaning_of(error) is Meaning.END or is_damage(error)
