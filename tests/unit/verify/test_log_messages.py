"""Reading single messages of a log: what is read on, what is jumped over, when it ends."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from nrtctl.clock import notices
from nrtctl.errors import WaitTimeout
from nrtctl.kafka.log import JUMP, read_messages
from nrtctl.store.intents import OffsetRange
from tests.plugins.waiting import eventually


class Fetched:
    def __init__(self, offset: int, error: int | None = None) -> None:
        self._offset = offset
        self._error = error

    def offset(self) -> int:
        return self._offset

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)


class FakeConsumer:
    """A partition that holds `offsets`; answers like confluent-kafka's consumer."""

    def __init__(self, offsets: list[int], *, silent: bool = False) -> None:
        self._offsets = offsets
        self._silent = silent
        self._position = 0
        self.jumps: list[int] = []
        self.read = 0
        self.closed = False

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._position = partitions[0].offset
        self.jumps.append(self._position)

    def consume(self, number: int, timeout: float) -> list[Any]:
        if self._silent:
            return []
        found = [offset for offset in self._offsets if offset >= self._position][:number]
        self.read += len(found)
        if not found:
            return [Fetched(self._position, KafkaError._PARTITION_EOF)]
        self._position = found[-1] + 1
        return [Fetched(offset) for offset in found]

    def close(self) -> None:
        self.closed = True


class Clock:
    """Every look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def time(self) -> float:
        return self.now


def read(consumer: FakeConsumer, *spans: tuple[int, int]) -> list[int]:
    found = read_messages(
        consumer, "t", 0, (OffsetRange(*span) for span in spans), patience=30, clock=Clock()
    )
    return [message.offset() for message in found]


def test_only_what_lies_in_the_ranges() -> None:
    consumer = FakeConsumer(list(range(100)))
    assert read(consumer, (3, 5), (9, 10), (98, 100)) == [3, 4, 9, 98, 99]
    assert consumer.jumps == [3]
    assert consumer.closed


def test_gaps_of_the_log_are_passed_over() -> None:
    consumer = FakeConsumer([0, 1, 2, 50, 51])
    assert read(consumer, (1, 2), (3, 10), (11, 50), (51, 60), (70, 80)) == [1, 51]
    assert consumer.closed


def test_thousands_of_near_ranges_are_one_pass() -> None:
    consumer = FakeConsumer(list(range(20_000)))
    spans = [(offset, offset + 1) for offset in range(0, 20_000, 4)]
    assert read(consumer, *spans) == [start for start, _ in spans]
    assert len(consumer.jumps) == 1


def test_far_ranges_are_jumped_to() -> None:
    far = 5 * JUMP
    consumer = FakeConsumer(list(range(far + 10)))
    assert read(consumer, (0, 2), (far, far + 1)) == [0, 1, far]
    assert consumer.jumps == [0, far]
    assert consumer.read < JUMP


def test_no_ranges_ask_nothing() -> None:
    consumer = FakeConsumer([1, 2, 3])
    assert read(consumer) == []
    assert consumer.jumps == []
    assert consumer.closed


def test_a_silent_broker_is_an_error_in_the_end() -> None:
    consumer = FakeConsumer([1, 2, 3], silent=True)
    with pytest.raises(WaitTimeout, match="t/0: Kafka sends nothing from offset 2 on"):
        read(consumer, (2, 3))
    assert consumer.closed


def test_who_takes_long_over_a_message_does_not_make_kafka_silent() -> None:
    """A repair waits for ClickHouse between two of them."""
    clock, seen = Clock(), []
    consumer = FakeConsumer([1, 2])
    spans = iter([OffsetRange(1, 9)])
    for message in read_messages(consumer, "t", 0, spans, patience=30, clock=clock):
        seen.append(message.offset())
        clock.now += 1000
    assert seen == [1, 2]


def test_it_is_said_that_kafka_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "AFTER_SECONDS", 0.01)
    said: list[str] = []

    class Silent(FakeConsumer):
        """Until that is said."""

        def consume(self, number: int, timeout: float) -> list[Any]:
            eventually(lambda: bool(said), "it is said")
            return super().consume(number, timeout)

    notices.listen(said.append)
    try:
        assert read(Silent([1, 2]), (2, 3)) == [2]
    finally:
        notices.listen(None)
    assert said[0] == "waiting for up to 30 s: t/0: Kafka sends nothing from offset 2 onwards"
