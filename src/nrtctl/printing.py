"""A topic's messages as lines: no group, nothing stored, no offset committed.

Called by `consume -o jsonl`. One consumer is assigned every partition; `message_lines` is the form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Event
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, TopicPartition

from nrtctl import kafka, message_lines
from nrtctl.clock import Clock
from nrtctl.config.model import Kafka
from nrtctl.consumer.unreadable import Unreadable
from nrtctl.errors import NrtctlError, WaitTimeout
from nrtctl.kafka_damage import Finder, is_damage

FETCH = 5_000
FETCH_QUEUE_KILOBYTES = 32 * 1024
WAIT = 0.2
LOOK_SECONDS = 4.0
"""Between two looks for partitions that were added."""

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
    skip_damaged: bool = False,
    warn: Callable[[str], None] = lambda text: None,
    added: Callable[[list[int]], None] | None = None,
) -> int:
    """Write the messages from `starts` on until `stop`, `ends` or `count`; how many there were.

    Args:
        starts: offset by partition; only these partitions are read.
        write: takes whole lines.
        ends: log ends to stop at; None: go on for ever.
        idle: asked while nothing comes; False: nobody reads what is written any more.
        skip_damaged: go on after what cannot be read; else its partition is stopped.
        warn: told of both.
        added: told the partitions that the topic has got meanwhile, which are read from their start
            on; None: they are not looked for.

    Raises:
        DamagedLog: a partition was stopped; everything else is written.
        WaitTimeout: `ends` are not reached and nothing came for six connect timeouts.
        NrtctlError: Kafka has an error that does not pass.
    """
    group = f"nrtctl.print.{topic}"
    consumer = kafka.make_consumer(
        settings,
        group,
        address=address,
        properties={
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": FETCH_QUEUE_KILOBYTES,
        },
    )
    unreadable = Unreadable(
        topic,
        Finder(settings, topic, group, address=address, clock=clock),
        clock=clock,
        skip=skip_damaged,
        waiting=lambda reason, _: warn(reason),
        note=warn,
    )
    try:
        return _Run(consumer, topic, starts, ends, count, unreadable, added).go(
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
        unreadable: Unreadable,
        added: Callable[[list[int]], None] | None,
    ) -> None:
        self._added = added
        self._next = max(starts, default=-1) + 1
        self._consumer = consumer
        self._topic = topic
        self._starts = starts
        self._ends = ends
        self._count = count
        self._at = dict(starts)
        self._unreadable = unreadable
        unreadable.seen = self._at.get
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
        self._consumer.incremental_assign(
            [TopicPartition(self._topic, n, self._starts[n]) for n in sorted(self._open)]
        )
        deadline = clock.monotonic() + patience
        look = clock.monotonic() + LOOK_SECONDS
        while self._open and not stop.is_set():
            if self._added is not None and clock.monotonic() >= look:
                self._take_added(self._added, address)
                look = clock.monotonic() + LOOK_SECONDS
            limit = FETCH if self._count is None else min(FETCH, self._count - done)
            if limit == 0:
                break
            self._see_to_damage(self._unreadable.turn(tuple(self._open), self._log_end))
            lines = []
            for message in self._consumer.consume(limit, WAIT):
                if self._unreadable.holds(message.partition()):
                    continue
                if (error := message.error()) is not None:
                    self._failed(error, message, address)
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
        for damage in self._unreadable.stopped.values():
            raise damage
        return done

    def _see_to_damage(self, moves: Mapping[int, int | None]) -> None:
        for partition, offset in moves.items():
            if offset is None:
                self._open.discard(partition)
                self._consumer.pause([TopicPartition(self._topic, partition)])
            else:
                self._at[partition] = offset
                self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def _log_end(self, partition: int) -> int | None:
        where = TopicPartition(self._topic, partition)
        _, end = self._consumer.get_watermark_offsets(where, cached=True)
        return int(end) if end >= 0 else None

    def _take_added(self, added: Callable[[list[int]], None], address: str) -> None:
        """Kafka is asked for a second at most; where it is away, later."""
        with suppress(NrtctlError):
            count = kafka.partition_count(self._consumer, self._topic, address=address, timeout=1)
            new = list(range(self._next, count))
            if new:
                self._consumer.incremental_assign([TopicPartition(self._topic, n, 0) for n in new])
                self._open.update(new)
                self._at.update(dict.fromkeys(new, 0))
                self._next = count
                added(new)

    def _wanted(self, partition: int, offset: int) -> bool:
        self._at[partition] = offset + 1
        if self._ends is None:
            return True
        end = self._ends.get(partition, 0)
        if offset + 1 >= end:
            self._open.discard(partition)
        return offset < end

    def _failed(self, error: KafkaError, message: Any, address: str) -> None:
        partition = message.partition()
        if is_damage(error):
            at = self._at[partition]
            self._unreadable.found(partition, at, error.str())
            if partition in self._unreadable.stopped:
                self._see_to_damage({partition: None})
        elif error.code() == KafkaError._PARTITION_EOF:
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
