"""Messages that librdkafka holds, made into rows without an object for each: by `fetch.c`, where it
was compiled when nrtctl was installed. Without it, `membership` fetches confluent-kafka's messages.

A client that confluent-kafka makes serves its group, its commits and its errors. Of each partition
that it is assigned, librdkafka is told to put what it fetches into a queue of ours beside: there is
nothing in it that calls Python back.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from ctypes import c_char, c_char_p, c_int, c_size_t, c_void_p, py_object
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError

from nrtctl.kafka.fetched import Failure, Run
from nrtctl.kafka.librdkafka import CONF_OK, Functions, functions
from nrtctl.store.envelope import Rows, RowsEncoder

LIBRARY: Final = Path(__file__).with_name("fetch.native")
PLUGINS: Final = "plugin.library.paths"

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "use": (None, [c_void_p]),
    "made": (c_void_p, []),
    "fetch": (c_size_t, [c_void_p, c_int, c_void_p, c_size_t]),
    "runs": (c_size_t, [c_void_p, c_size_t, c_void_p, c_void_p]),
    "sizes": (c_size_t, [c_void_p, c_size_t, c_size_t, c_void_p]),
    "rows": (None, [c_void_p, c_size_t, c_char_p, c_size_t, c_char_p]),
    "destroy": (None, [c_void_p, c_size_t]),
}
_USED: Final = (
    "conf_interceptor_add_on_new", "consume_batch_queue", "message_timestamp", "message_headers",
    "header_get_all", "message_destroy",
)  # fmt: skip
"""librdkafka's functions that the compiled code calls, in its order."""

_RUN: Final = struct.Struct("=QQii")
"""The first of its messages, the one behind it, its partition, its error."""

_POINTER: Final = ctypes.sizeof(c_void_p)

_new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.restype, _new_bytes.argtypes = py_object, [c_void_p, ctypes.c_ssize_t]


class Compiled:
    """Its functions, each under its name without `nrtctl_`; `kafka`: librdkafka's."""

    def __init__(self, path: Path, kafka: Functions) -> None:
        waits, does_not_wait = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            library = waits if name == "fetch" else does_not_wait
            function = getattr(library, f"nrtctl_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.kafka = kafka
        used = [ctypes.cast(getattr(kafka, name), c_void_p) for name in _USED]
        self.use((c_void_p * len(used))(*used))

    def is_a_plugin(self) -> bool:
        """Whether librdkafka takes it for one."""
        configuration = self.kafka.conf_new()
        told = self.kafka.conf_set(configuration, PLUGINS.encode(), str(LIBRARY).encode(), None, 0)
        self.kafka.conf_destroy(configuration)
        return bool(told == CONF_OK)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@cache
def compiled() -> Compiled | None:
    """None where it was not compiled, or librdkafka's functions are not found."""
    if sys.byteorder != "little" or not LIBRARY.exists():
        return None
    kafka = functions()
    if kafka is None:
        return None
    try:
        library = Compiled(LIBRARY, kafka)
    except (OSError, AttributeError):
        return None
    return library if library.is_a_plugin() else None


Made = TypeVar("Made", bound=Consumer)


def with_handle(make: Callable[[Mapping[str, Any]], Made], properties: Mapping[str, Any]) -> Made:
    """A client with these properties, whose messages `queue_of` can fetch."""
    library = compiled()
    if library is None:
        return make(properties)
    plugins = filter(None, [str(properties.get(PLUGINS, "")), str(LIBRARY)])
    client: Any = make({**properties, PLUGINS: ";".join(plugins)})
    client.handle = library.made()
    made: Made = client
    return made


def queue_of(consumer: Consumer, topic: str) -> FetchQueue | None:
    """None: its messages are to be fetched from itself."""
    library, handle = compiled(), getattr(consumer, "handle", None)
    return FetchQueue(library, handle, consumer, topic) if library and handle else None


class FetchQueue:
    """The messages of one consumer's partitions.

    Args:
        client: the handle of `consumer`, which keeps it alive.
    """

    def __init__(self, library: Compiled, client: int, consumer: Consumer, topic: str) -> None:
        self.library = library
        self._client = client
        self._consumer = consumer
        self._topic = topic.encode()
        self._most = 0
        self._found: Any = None
        self._runs = bytearray()
        self._count = 0
        self.fetches = 0
        kafka = library.kafka
        self._queue = kafka.queue_new(client)
        self._events = kafka.queue_get_consumer(client)
        self._readable, self._rung = os.pipe()
        for end in (self._readable, self._rung):
            os.set_blocking(end, False)
        for queue in (self._queue, self._events):
            kafka.queue_io_event_enable(queue, self._rung, b"1", 1)
        self._poll = select.poll()
        self._poll.register(self._readable, select.POLLIN)

    def add(self, partitions: Iterable[int]) -> None:
        """What is fetched of these comes here. To be called before they are assigned."""
        kafka = self.library.kafka
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
        return int(self.library.kafka.queue_length(self._queue))

    def wait(self, seconds: float) -> None:
        """Until something has come since `heed`, here or for the consumer; that long at most."""
        self._poll.poll(seconds * 1000)

    def fetch(self, most: int, gather: float) -> list[Run | Failure]:
        """At most `most` messages and errors; behind the first of them, what comes within `gather`
        seconds. What was fetched before is no longer there."""
        self._release()
        if most > self._most:
            self._most = most
            self._found = (c_void_p * most)()
            self._runs = bytearray(most * _RUN.size)
        count = self._count = self.library.fetch(self._queue, int(gather * 1000), self._found, most)
        return self._taken_apart(count) if count else []

    def _taken_apart(self, count: int) -> list[Run | Failure]:
        address = ctypes.addressof(self._found)
        offsets = array("q", bytes(8 * count))
        runs = (c_char * len(self._runs)).from_buffer(self._runs)
        many = self.library.runs(address, count, offsets.buffer_info()[0], runs)
        found: list[Run | Failure] = []
        for first, behind, partition, error in _RUN.iter_unpack(
            memoryview(self._runs)[: many * _RUN.size]
        ):
            if error:
                text = self.library.kafka.message_errstr(self._found[first]) or b""
                told = KafkaError(error, text.decode(errors="replace"))
                found.append(Failure(told, partition, offsets[first]))
            else:
                at = address + first * _POINTER
                found.append(NativeRun(self, partition, at, offsets[first:behind]))
        return found

    def _release(self) -> None:
        self.fetches += 1
        count, self._count = self._count, 0
        if count:
            self.library.destroy(self._found, count)

    def close(self) -> None:
        """To be called before the consumer is closed."""
        if not self._queue:
            return
        self._release()
        kafka = self.library.kafka
        queues, self._queue = (self._queue, self._events), None
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
            raise ValueError(f"there are {len(self.offsets)} messages, not {count}")
        library, prefix, sizes = self._queue.library, encode.prefix, array("Q", bytes(8 * count))
        size = library.sizes(self._at, count, len(prefix), sizes.buffer_info()[0])
        piece: bytes = _new_bytes(None, size)  # which nobody else has seen yet
        library.rows(self._at, count, prefix, len(prefix), piece)
        return Rows(piece, sizes)
