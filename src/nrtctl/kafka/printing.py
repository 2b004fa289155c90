"""A topic's messages as lines: no group, nothing stored, no offset committed.

Called by `peek` and `consume -o jsonl`. One consumer is assigned every partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from threading import Event
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, TopicPartition

from nrtctl.clock import Clock
from nrtctl.config.servers import Kafka
from nrtctl.errors import NrtctlError, WaitTimeout
from nrtctl.kafka import clients, topics
from nrtctl.kafka import messages as message_lines
from nrtctl.kafka.damage import Finder
from nrtctl.kafka.error_codes import AWAY, DAMAGE, Meaning, meaning_of, translate
from nrtctl.kafka.silence import Silence, why_silent
from nrtctl.kafka.unreadable import Unreadable

FETCH = 5_000
FETCH_QUEUE_KILOBYTES = 32 * 1024
LARGEST_ANSWER = 2**30
"""Bytes of one answer of a broker; the client refuses a larger one, be it of one message."""

WAIT = 0.2
LOOK_SECONDS = 4.0
"""Between two looks for partitions that were added."""

PASSED = AWAY | {Meaning.RETRIABLE, Meaning.GROUP_UNAUTHORIZED}
"""Errors that end nothing. The group is only a name here: nothing is joined or committed."""

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

    Args and errors: as of `read_topic`.
        write: takes whole lines.
    """
    done = 0
    for messages in read_topic(
        settings,
        topic,
        starts,
        address=address,
        clock=clock,
        stop=stop,
        ends=ends,
        count=count,
        idle=idle,
        skip_damaged=skip_damaged,
        warn=warn,
        added=added,
    ):
        write(b"".join(map(line_of, messages)))
        done += len(messages)
    return done


def read_topic(
    settings: Kafka,
    topic: str,
    starts: Mapping[int, int],
    *,
    address: str,
    clock: Clock,
    stop: Event,
    ends: Mapping[int, int] | None = None,
    count: int | None = None,
    wanted: Callable[[Any], bool] | None = None,
    idle: Callable[[], bool] = lambda: True,
    skip_damaged: bool = False,
    warn: Callable[[str], None] = lambda text: None,
    added: Callable[[list[int]], None] | None = None,
) -> Iterator[list[Any]]:
    """confluent-kafka's messages from `starts` on until `stop`, `ends` or `count`.

    Args:
        starts: offset by partition; only these partitions are read.
        ends: log ends to stop at; None: go on for ever.
        count: of messages that are wanted.
        wanted: whether a message is; None: all are.
        idle: asked while nothing comes; False: nobody reads what is written any more.
        skip_damaged: go on after what cannot be read; else its partition is stopped.
        warn: told of both, and of Kafka when it does not answer.
        added: told the partitions that the topic has got meanwhile, which are read from their start
            on; None: they are not looked for.

    Raises:
        DamagedLog: a partition was stopped; everything else has come.
        WaitTimeout: `ends` are not reached and nothing came for six connect timeouts.
        NrtctlError: Kafka has an error that does not pass.
    """
    group = f"nrtctl.print.{topic}"
    consumer = clients.make_consumer(
        settings,
        group,
        address=address,
        properties={
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": FETCH_QUEUE_KILOBYTES,
            "receive.message.max.bytes": LARGEST_ANSWER,
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
    silence = Silence(
        clock,
        lambda timeout: why_silent(consumer, topic, address, timeout),
        lambda reason, _: warn(f"waiting: {reason}"),
        warn,
    )
    try:
        yield from _Run(
            consumer, topic, starts, ends, count, unreadable, added, silence, wanted
        ).go(address, clock, stop, idle, 6 * settings.connect_timeout)
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
        silence: Silence,
        wanted: Callable[[Any], bool] | None,
    ) -> None:
        self._added = added
        self._next = max(starts, default=-1) + 1
        self._consumer = consumer
        self._topic = topic
        self._starts = starts
        self._ends = ends
        self._left = count
        self._wanted = wanted
        self._silence = silence
        self._at = dict(starts)
        self._unreadable = unreadable
        unreadable.seen = self._at.get
        self._open = {n for n, start in starts.items() if ends is None or start < ends.get(n, 0)}

    def go(
        self,
        address: str,
        clock: Clock,
        stop: Event,
        idle: Callable[[], bool],
        patience: float,
    ) -> Iterator[list[Any]]:
        if not self._open:
            return
        self._consumer.incremental_assign(
            [TopicPartition(self._topic, n, self._starts[n]) for n in sorted(self._open)]
        )
        deadline = clock.monotonic() + patience
        look = clock.monotonic() + LOOK_SECONDS
        while self._open and not stop.is_set() and self._left != 0:
            if self._added is not None and clock.monotonic() >= look:
                self._take_added(self._added, address)
                look = clock.monotonic() + LOOK_SECONDS
            self._see_to_damage(self._unreadable.turn(tuple(self._open), self._log_end))
            came, messages = self._fetch(address)
            if came:
                self._silence.ended()
            if messages:
                yield messages
            if came:
                deadline = clock.monotonic() + patience
            elif not idle():
                break
            else:
                self._silence.lasts()
                if self._ends is not None and self._open and clock.monotonic() > deadline:
                    raise WaitTimeout(
                        f"{self._topic}: Kafka sends nothing more, but the end is not reached",
                        hint="`nrtctl status` shows the stack",
                    )
        for damage in self._unreadable.stopped.values():
            raise damage

    def _fetch(self, address: str) -> tuple[bool, list[Any]]:
        """Whether something came, and what of it is wanted."""
        most = FETCH if self._left is None or self._wanted is not None else self._left
        came, messages = False, []
        for message in self._consumer.consume(min(FETCH, most), WAIT):
            if self._unreadable.holds(message.partition()):
                continue
            if (error := message.error()) is not None:
                self._failed(error, message, address)
                continue
            came = True
            if not self._in_range(message.partition(), message.offset()) or self._left == 0:
                continue
            if self._wanted is None or self._wanted(message):
                messages.append(message)
                if self._left is not None:
                    self._left -= 1
        return came, messages

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
            count = topics.partition_count(self._consumer, self._topic, address=address, timeout=1)
            new = list(range(self._next, count))
            if new:
                self._consumer.incremental_assign([TopicPartition(self._topic, n, 0) for n in new])
                self._open.update(new)
                self._at.update(dict.fromkeys(new, 0))
                self._next = count
                added(new)

    def _in_range(self, partition: int, offset: int) -> bool:
        self._at[partition] = offset + 1
        if self._ends is None:
            return True
        end = self._ends.get(partition, 0)
        if offset + 1 >= end:
            self._open.discard(partition)
        return offset < end

    def _failed(self, error: KafkaError, message: Any, address: str) -> None:
        partition, meaning = message.partition(), meaning_of(error, fetched=True)
        if meaning in DAMAGE:
            at = self._at[partition]
            self._unreadable.found(partition, at, error.str())
            if partition in self._unreadable.stopped:
                self._see_to_damage({partition: None})
        elif meaning is Meaning.END:
            if self._ends is not None:
                self._open.discard(partition)
        elif meaning not in PASSED:
            raise translate(error, address=address, topic=self._topic)


def line_of(message: Any) -> bytes:
    """As `messages` has it."""
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
