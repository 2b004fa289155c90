"""A client that keeps what it is given and delivers when told to, for failure injection."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from nrtctl.clock import ManualClock


class Delivered:
    """The part of a delivered Message that is used."""

    def __init__(self, value: bytes | None, partition: int, offset: int) -> None:
        self._value, self._partition, self._offset = value, partition, offset

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def __len__(self) -> int:
        return len(self._value or b"")


class FakeClient:
    """Takes `room` messages; delivers `speed` of them at each poll that waits, and the clock moves.

    Args:
        verdict: the error code that a value's delivery ends with; None: it is stored.
        too_large: values longer than this are not taken at all.
    """

    def __init__(
        self,
        clock: ManualClock,
        *,
        room: int = 10_000,
        speed: int = 10_000,
        only_failures: bool = False,
        verdict: Callable[[bytes | None], int | None] = lambda value: None,
        too_large: int = 1_000_000,
    ) -> None:
        self.clock = clock
        self.room = room
        self.speed = speed
        self.verdict = verdict
        self.too_large = too_large
        self.only_failures = only_failures
        self.queue: list[tuple[bytes | None, bytes | None, Any]] = []
        self.stored: list[tuple[bytes | None, bytes | None]] = []
        self.timestamps: list[int | None] = []
        self.polls = 0
        self.calls = 0
        self.on_poll: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self.queue)

    def produce(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None,
        on_delivery: Any,
        timestamp: int | None = None,
    ) -> None:
        self.calls += 1
        if len(value or b"") > self.too_large:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        if len(self.queue) >= self.room:
            raise BufferError
        self.timestamps.append(timestamp)
        self.queue.append((key, value, on_delivery))

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], *, on_delivery: Any) -> int:
        self.calls += 1
        taken = 0
        for message in messages:
            if len(message["value"] or b"") > self.too_large:
                message["_error"] = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
            elif len(self.queue) >= self.room:
                message["_error"] = KafkaError(KafkaError._QUEUE_FULL)
            else:
                self.queue.append((message.get("key"), message["value"], on_delivery))
                taken += 1
        return taken

    def poll(self, timeout: float) -> int:
        self.polls += 1
        self.on_poll()
        if not timeout:
            return 0
        self.clock.advance(timeout)
        return self._deliver(self.speed)

    def flush(self, timeout: float) -> int:
        self.clock.advance(timeout)
        self.on_poll()
        self._deliver(self.speed)
        return len(self.queue)

    def purge(self) -> None:
        queue, self.queue = self.queue, []
        for _, value, callback in queue:
            callback(KafkaError(KafkaError._PURGE_QUEUE), Delivered(value, 0, -1001))

    def _deliver(self, most: int) -> int:
        batch, self.queue = self.queue[:most], self.queue[most:]
        for key, value, callback in batch:
            code = self.verdict(value)
            if code is not None:
                callback(KafkaError(code), Delivered(value, 0, -1001))
                continue
            self.stored.append((key, value))
            if not self.only_failures:
                callback(None, Delivered(value, len(self.stored) % 3, len(self.stored)))
        return len(batch)


class FullFile:
    """A file on a disk that is full after `room` bytes."""

    closed = False

    def __init__(self, room: int) -> None:
        self.room = room
        self.written = b""

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data[: self.room]
        self.room -= len(taken)
        self.written += taken
        return len(taken)

    def close(self) -> None:
        self.closed = True
