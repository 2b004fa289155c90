"""Record batches that cannot be read: what says so, and where the log can be read again.

Every consumer checks checksums (`clients.make_consumer`). What librdkafka 2.16 then says of a batch
was tried: a wrong checksum, a codec or a format it does not know, and data that does not decompress
are errors of the partition; records that are malformed within a good checksum are no error at all,
it asks for them again and again and says so in its debug log only. Called by whatever reads Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from nrtctl.clock import Clock, SystemClock
from nrtctl.config.servers import Kafka
from nrtctl.errors import CheckFailed, WaitTimeout
from nrtctl.kafka import clients
from nrtctl.kafka.error_codes import DAMAGE, Meaning, meaning_of, translated
from nrtctl.store.intents import OffsetRange

STALLED_SECONDS = 3.0
"""Without a message although the log goes on, until the batch there is looked at."""

LOOK_SECONDS = 4.0
"""In which a batch shows whether it can be read."""

UNDECODABLE = "its records cannot be decoded"
_PARSER = "rd_kafka_msgset_reader"
_ENOUGH = 2
_SAMPLES = 16


class DamagedLog(CheckFailed):
    """Messages of one partition cannot be read from `offset` on. Exit code 5."""

    def __init__(self, topic: str, partition: int, offset: int, reason: str, *, hint: str) -> None:
        super().__init__(
            f"{topic}/{partition}: the record batch at offset {offset} is damaged and cannot be "
            f"read: {reason}",
            hint=hint,
        )
        self.partition = partition
        self.offset = offset
        self.reason = reason


def is_damage(error: KafkaError) -> bool:
    """Whether the answer to a fetch means that these bytes cannot be read, now or later."""
    return meaning_of(error, fetched=True) in DAMAGE


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at an offset. `damage`: why it cannot be read. `base`: where the damaged batch
    begins, where that is known. `told`: False: Kafka did not answer in time."""

    damage: str | None
    base: int | None = None
    told: bool = True


class Finder:
    """Looks at single offsets of a topic, with a consumer of its own that joins no group.

    Args:
        group: named to Kafka; nothing is committed.
    """

    def __init__(
        self, settings: Kafka, topic: str, group: str, *, address: str, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._group = group
        self._address = address
        self._clock = clock or SystemClock()
        self._undecodable = 0

    def reason(self, partition: int, offset: int) -> str | None:
        """Why the batch that holds `offset` cannot be read; None: it can, or nobody can tell."""
        with self._consumer() as consumer:
            return self._look(consumer, partition, offset).damage

    def damaged(self, partition: int, offset: int) -> OffsetRange | None:
        """From `offset`, which cannot be read, to where the log goes on: at most the log's end.
        None: it can be read, after all.

        Raises:
            ConnectError, WaitTimeout: Kafka does not answer.
        """
        with self._consumer() as consumer:
            where = TopicPartition(self._topic, partition)
            with translated(self._address, topic=self._topic):
                _, log_end = consumer.get_watermark_offsets(where, timeout=LOOK_SECONDS)
            first = self._told(consumer, partition, offset)
            if first.damage is None:
                return None

            def good(at: int) -> bool:
                return self._told(consumer, partition, at).damage is None

            def elsewhere(at: int) -> bool:
                look = self._told(consumer, partition, at)
                return look.damage is None or look.base not in {None, first.base}

            if first.base is None:
                return OffsetRange(offset, first_good(good, offset, log_end))
            return OffsetRange(offset, _change(elsewhere, offset, log_end))

    def _told(self, consumer: Any, partition: int, offset: int) -> Look:
        look = self._look(consumer, partition, offset)
        if not look.told:
            raise WaitTimeout(
                f"{self._topic}/{partition}: Kafka does not say what is at offset {offset}",
                hint="run the same command again",
            )
        return look

    @contextmanager
    def _consumer(self) -> Iterator[Any]:
        consumer: Any = clients.make_consumer(
            self._settings,
            self._group,
            address=self._address,
            properties={
                "enable.partition.eof": True,
                "queued.min.messages": 1,
                "fetch.queue.backoff.ms": 1,
                "fetch.error.backoff.ms": 20,
                "fetch.wait.max.ms": 50,
                "debug": "protocol",
            },
        )
        consumer.heard.listen = self._hear
        try:
            yield consumer
        finally:
            consumer.close()

    def _hear(self, line: str) -> None:
        self._undecodable += _PARSER in line

    def _look(self, consumer: Any, partition: int, offset: int) -> Look:
        self._undecodable = 0
        consumer.assign([TopicPartition(self._topic, partition, offset)])
        deadline = self._clock.monotonic() + LOOK_SECONDS
        while self._clock.monotonic() < deadline:
            message = consumer.poll(0.05)
            if message is None:
                if self._undecodable >= _ENOUGH:
                    return Look(UNDECODABLE)
                continue
            error = message.error()
            meaning = meaning_of(error, fetched=True)
            if meaning in {None, Meaning.END}:
                return Look(None)
            if meaning in DAMAGE:
                known = meaning is Meaning.DAMAGED_BATCH
                return Look(error.str(), message.offset() if known else None)
        return Look(None, told=False)


def first_good(good: Callable[[int], bool], bad: int, end: int) -> int:
    """The first offset above `bad` that can be read again; `end`, if there is none below.

    Several damaged batches may lie close together, with good ones between that must not be passed:
    the found range is sampled, and a good offset within it makes it smaller.
    """
    while True:
        found = _change(good, bad, end)
        step = max(1, (found - bad) // _SAMPLES)
        inner = next((at for at in range(bad + step, found - 1, step) if good(at)), None)
        if inner is None:
            return found
        end = inner


def _change(changed: Callable[[int], bool], start: int, end: int) -> int:
    """The first offset above `start` that has `changed`, by doubling steps and then halving."""
    low, step = start, 1
    while low + step < end and not changed(low + step):
        low, step = low + step, step * 2
    high = min(low + step, end)
    while high - low > 1:
        middle = (low + high) // 2
        if changed(middle):
            high = middle
        else:
            low = middle
    return high
