"""Messages that librdkafka holds, made into rows without an object for each by `native/fetch.c`.
Without that, `membership` fetches confluent-kafka's messages.

A client that confluent-kafka makes serves its group, its commits and its errors. Of each partition
that it is assigned, librdkafka is told to put what it fetches into a queue of ours beside. What is
in it is taken as events, so that librdkafka does not call back confluent-kafka, which bears that
within its own calls only.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ctypes import c_char, c_void_p, py_object
from functools import cache
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError

from nrtctl.kafka.error_codes import Meaning, meaning_of
from nrtctl.kafka.fetched import End, Failure, Run
from nrtctl.kafka.librdkafka import CONF_OK, Functions, functions
from nrtctl.kafka.native import LIBRARY, Native, native
from nrtctl.store.envelope import Rows, RowsEncoder

PLUGINS: Final = "plugin.library.paths"

_USED: Final = (
    "conf_interceptor_add_on_new", "queue_poll", "event_type", "event_message_next",
    "event_destroy", "event_error", "event_topic_partition", "topic_partition_destroy",
    "message_timestamp", "message_headers", "header_get_all",
)  # fmt: skip
"""librdkafka's functions that the compiled code calls, in its order."""

_RUN: Final = struct.Struct("=QQii")
"""The first of its messages, the one behind it, its partition, and what it is."""

_MESSAGES, _END = 0, 2
"""Else it is an error."""

_POINTER: Final = ctypes.sizeof(c_void_p)

_NEW_BYTES: Final = ctypes.PYFUNCTYPE(py_object, c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)

_OF_THE_TOPIC: Final = frozenset({Meaning.UNKNOWN_PARTITION, Meaning.UNKNOWN_TOPIC})
"""What is said of each partition where a topic changes: confluent-kafka calls `error_cb` for it."""


@cache
def fetching() -> tuple[Native, Functions] | None:
    """Our functions and librdkafka's. None where either are missing, or it takes no plugins."""
    ours, kafka = native(), functions()
    if ours is None or kafka is None:
        return None
    used = [ctypes.cast(getattr(kafka, name), c_void_p) for name in _USED]
    ours.use((c_void_p * len(used))(*used))
    configuration = kafka.conf_new()
    told = kafka.conf_set(configuration, PLUGINS.encode(), str(LIBRARY).encode(), None, 0)
    kafka.conf_destroy(configuration)
    return (ours, kafka) if told == CONF_OK else None


Made = TypeVar("Made", bound=Consumer)


def with_handle(make: Callable[[Mapping[str, Any]], Made], properties: Mapping[str, Any]) -> Made:
    """A client with these properties, whose messages `queue_of` can fetch."""
    found = fetching()
    if found is None:
        return make(properties)
    plugins = filter(None, [str(properties.get(PLUGINS, "")), str(LIBRARY)])
    client: Any = make({**properties, PLUGINS: ";".join(plugins)})
    client.handle = found[0].made()
    made: Made = client
    return made


def queue_of(consumer: Consumer, topic: str) -> FetchQueue | None:
    """None: its messages are to be fetched from itself."""
    found, handle = fetching(), getattr(consumer, "handle", None)
    return FetchQueue(*found, handle, consumer, topic) if found and handle else None


class FetchQueue:
    """The messages of one consumer's partitions.

    Args:
        client: the handle of `consumer`, which keeps it alive.
    """

    def __init__(
        self, ours: Native, kafka: Functions, client: int, consumer: Consumer, topic: str
    ) -> None:
        self.native = ours
        self._kafka = kafka
        self._client = client
        self._consumer = consumer
        self._heard: Callable[[KafkaError], None] = getattr(consumer, "heard", lambda error: None)
        self._topic = topic.encode()
        self._most = 0
        self._found: Any = None
        self._events: Any = None
        self._runs = bytearray()
        self._count = 0
        self.fetches = 0
        self._queue = kafka.queue_new(client)
        self._served = kafka.queue_get_consumer(client)
        self._readable, self._rung = os.pipe()
        for end in (self._readable, self._rung):
            os.set_blocking(end, False)
        for queue in (self._queue, self._served):
            kafka.queue_io_event_enable(queue, self._rung, b"1", 1)
        self._poll = select.poll()
        self._poll.register(self._readable, select.POLLIN)

    def add(self, partitions: Iterable[int]) -> None:
        """What is fetched of these comes here. To be called before they are assigned."""
        kafka = self._kafka
        for number in partitions:
            if queue := kafka.queue_get_partition(self._client, self._topic, number):
                kafka.queue_forward(queue, self._queue)
                kafka.queue_destroy(queue)

    def heed(self) -> None:
        """From here on, `wait` ends at whatever comes."""
        with suppress(BlockingIOError):
            while len(os.read(self._readable, 4096)) == 4096:
                pass

    def waiting(self) -> int:
        """How many messages wait to be fetched."""
        return int(self._kafka.queue_length(self._queue))

    def wait(self, seconds: float) -> None:
        """Until something has come since `heed`, here or for the consumer; that long at most."""
        self._poll.poll(seconds * 1000)

    def fetch(self, most: int, gather: float) -> list[Run | Failure]:
        """At most `most` messages and errors; behind the first of them, what comes within `gather`
        seconds. What was fetched before is no longer there."""
        self._release()
        if most > self._most:
            self._most = most
            self._found, self._events = (c_void_p * most)(), (c_void_p * most)()
            self._runs = bytearray(most * _RUN.size)
        count = self._count = self.native.fetch(
            self._queue, int(gather * 1000), self._events, self._found, most
        )
        return self._taken_apart(count) if count else []

    def _taken_apart(self, count: int) -> list[Run | Failure]:
        address = ctypes.addressof(self._found)
        offsets = array("q", bytes(8 * count))
        runs = (c_char * len(self._runs)).from_buffer(self._runs)
        many = self.native.runs(self._events, address, count, offsets.buffer_info()[0], runs)
        found: list[Run | Failure] = []
        for first, behind, partition, kind in _RUN.iter_unpack(
            memoryview(self._runs)[: many * _RUN.size]
        ):
            if kind == _MESSAGES:
                at = address + first * _POINTER
                found.append(NativeRun(self, partition, at, offsets[first:behind]))
            elif kind == _END:
                found.append(End(partition, offsets[first]))
            elif (failure := self._failure(self._events[first])) is not None:
                found.append(failure)
        return found

    def _failure(self, event: Any) -> Failure | None:
        kafka = self._kafka
        text = (kafka.event_error_string(event) or b"").decode(errors="replace")
        error = KafkaError(kafka.event_error(event), text, bool(kafka.event_error_is_fatal(event)))
        if meaning_of(error) in _OF_THE_TOPIC:
            self._heard(error)
            return None
        if not (place := kafka.event_topic_partition(event)):
            return Failure(error, -1, -1)
        partition, offset = place.contents.partition, place.contents.offset
        kafka.topic_partition_destroy(place)
        return Failure(error, partition, offset)

    def _release(self) -> None:
        self.fetches += 1
        count, self._count = self._count, 0
        if count:
            self.native.destroy(self._events, count)

    def close(self) -> None:
        """To be called before the consumer is closed."""
        if not self._queue:
            return
        self._release()
        kafka = self._kafka
        queues, self._queue = (self._queue, self._served), None
        for queue in queues:
            kafka.queue_io_event_enable(queue, -1, None, 0)
            kafka.queue_destroy(queue)
        os.close(self._readable)
        os.close(self._rung)


class NativeRun:
    """Messages that a `FetchQueue` holds until its next fetch. Args: at: the address of the first
    one's pointer."""

    end: int | None = None

    def __init__(self, queue: FetchQueue, partition: int, at: int, offsets: array[int]) -> None:
        self.partition = partition
        self.offsets: Sequence[int] = offsets
        self._queue = queue
        self._fetch = queue.fetches
        self._at = at

    def rows(self, encode: RowsEncoder, count: int) -> Rows:
        """Raises ValueError: the messages are not held any more."""
        if self._fetch != self._queue.fetches:
            raise ValueError("messages of an earlier fetch are not held any more")
        if not 0 <= count <= len(self.offsets):
            raise ValueError(f"{count} is not a number of these messages")
        ours, prefix, sizes = self._queue.native, encode.prefix, array("Q", bytes(8 * count))
        size = ours.sizes(self._at, count, len(prefix), sizes.buffer_info()[0])
        piece: bytes = _NEW_BYTES(None, size)  # which nobody else has seen yet
        ours.rows(self._at, count, prefix, len(prefix), piece)
        return Rows(piece, sizes)
