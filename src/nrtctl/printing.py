"""A topic's messages as lines: no group, nothing stored, no offset committed.

Called by `consume -o jsonl`. One consumer is assigned every partition; `message_lines` is the form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, TopicPartition

from nrtctl import kafka, message_lines
from nrtctl.clock import Clock
from nrtctl.config.model import Kafka
from nrtctl.errors import WaitTimeout

FETCH = 5_000
FETCH_QUEUE_KILOBYTES = 32 * 1024
WAIT = 0.2

Write = Callable[[bytes], None]


def print_messages(
    settings: Kafka,
    topic: str,
    starts: Mapping[int, int],
    write: Write,
    *,
    address: str,
    clock: Clock,
    stop: Event,
    ends: Mapping[int, int] | None = None,
    count: int | None = None,
    idle: Callable[[], bool] = lambda: True,
) -> int:
    """Write the messages from `starts` on until `stop`, `ends` or `count`; how many there were.

    Args:
        starts: offset by partition; only these partitions are read.
        write: takes whole lines.
        ends: log ends to stop at; None: go on for ever.
        idle: asked while nothing comes; False: nobody reads what is written any more.

    Raises:
        WaitTimeout: `ends` are not reached and nothing came for six connect timeouts.
        NrtctlError: Kafka has an error that does not pass.
    """
    consumer = kafka.make_consumer(
        settings,
        f"nrtctl.print.{topic}",
        address=address,
        properties={
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": FETCH_QUEUE_KILOBYTES,
        },
    )
    try:
        return _Run(consumer, topic, starts, ends, count).go(
            write, address, clock, stop, idle, 6 * settings.connect_timeout
        )
    finally:
        consumer.close()


class _Run:
    def __init__(
        self,
        consumer: Any,
        topic: str,
        starts: Mapping[int, int],
        ends: Mapping[int, int] | None,
        count: int | None,
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._starts = starts
        self._ends = ends
        self._count = count
        self._open = {n for n, start in starts.items() if ends is None or start < ends.get(n, 0)}

    def go(
        self,
        write: Write,
        address: str,
        clock: Clock,
        stop: Event,
        idle: Callable[[], bool],
        patience: float,
    ) -> int:
        done = 0
        if not self._open:
            return done
        self._consumer.assign(
            [TopicPartition(self._topic, n, self._starts[n]) for n in sorted(self._open)]
        )
        deadline = clock.monotonic() + patience
        while self._open and not stop.is_set():
            limit = FETCH if self._count is None else min(FETCH, self._count - done)
            if limit == 0:
                break
            lines = []
            for message in self._consumer.consume(limit, WAIT):
                if (error := message.error()) is not None:
                    self._failed(error, message.partition(), address)
                elif self._wanted(message.partition(), message.offset()):
                    lines.append(_line(message))
            if lines:
                write(b"".join(lines))
                done += len(lines)
                deadline = clock.monotonic() + patience
            elif not idle():
                break
            elif self._ends is not None and self._open and clock.monotonic() > deadline:
                raise WaitTimeout(
                    f"{self._topic}: nothing comes any more before the end is reached",
                    hint="`nrtctl status` shows the stack",
                )
        return done

    def _wanted(self, partition: int, offset: int) -> bool:
        if self._ends is None:
            return True
        end = self._ends.get(partition, 0)
        if offset + 1 >= end:
            self._open.discard(partition)
        return offset < end

    def _failed(self, error: KafkaError, partition: int, address: str) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            if self._ends is not None:
                self._open.discard(partition)
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return  # of a group that is only a name here: nothing is joined or committed
        elif not error.retriable() and error.code() not in kafka.UNREACHABLE:
            raise kafka.translate(error, address=address, topic=self._topic)


def _line(message: Any) -> bytes:
    kind, timestamp = message.timestamp()
    return message_lines.encode(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp=None if kind == TIMESTAMP_NOT_AVAILABLE or timestamp < 0 else timestamp,
        key=message.key(),
        headers=message.headers() or (),
        value=message.value(),
    )
