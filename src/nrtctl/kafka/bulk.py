"""A producer that also takes many messages of one text at once, without an object for each.

What `confluent_kafka.Producer.produce_batch` costs is a dictionary a message, six look-ups in it,
and a callback that is made for each delivery; see
docs/decisions/0076-lines-are-sent-as-parts-of-one-text.md. Called by `producer`.
"""

from __future__ import annotations

import ctypes
import logging
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError

from nrtctl.kafka import librdkafka
from nrtctl.kafka.error_codes import queue_full
from nrtctl.kafka.librdkafka import Functions
from nrtctl.kafka.native import Native
from nrtctl.kafka.producing import Client

OnDelivery = Callable[[Any, Any], None]

_LEVELS: Final = (*[logging.ERROR] * 4, logging.WARNING, *[logging.INFO] * 2, logging.DEBUG)
"""Of syslog's levels, in which librdkafka logs."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The part of a delivered message of confluent_kafka's that is used."""

    _partition: int
    _value: bytes

    def partition(self) -> int:
        return self._partition

    def value(self) -> bytes:
        return self._value

    def __len__(self) -> int:
        return len(self._value)


class BulkClient:
    """A `Client` beside another one: what is said message by message goes through that.

    Each waits until the other has nothing under way, so that all messages keep their order.

    Args:
        plain: takes messages one by one.
        properties: librdkafka's, without functions. Only failures are told.
        on_error, on_statistics, on_log: as confluent_kafka calls them.

    Raises:
        ValueError: the library does not take a property.
    """

    def __init__(
        self,
        library: Functions,
        native: Native,
        plain: Client,
        topic: str,
        properties: Mapping[str, Any],
        *,
        on_error: Callable[[KafkaError], None],
        on_statistics: Callable[[str], None],
        on_log: Callable[[int, str], object],
    ) -> None:
        self._plain = plain
        self._library = library
        self._native = native
        self._on_error = on_error
        self._on_statistics = on_statistics
        self._on_log = on_log
        self._on_delivery: OnDelivery = lambda error, message: None
        self._handle: Any = _made(library, properties)
        self._queue: Any = library.queue_get_main(self._handle)
        library.set_log_queue(self._handle, self._queue)
        self._topic: Any = library.topic_new(self._handle, topic.encode(), None)
        self._messages: Any = (librdkafka.Message * 0)()

    def connect(self, timeout: float) -> None:
        """Ask twice for the topic, for what `producer.run.find_topic` does so; seconds. No answer
        is no error: then each message waits for it."""
        for _ in range(2):
            answer = ctypes.c_void_p()
            milliseconds = int(timeout * 1000)
            self._library.metadata(self._handle, 0, self._topic, ctypes.byref(answer), milliseconds)
            if answer:
                self._library.metadata_destroy(answer)

    # ------------------------------------------------------------------ many at once

    def send_spans(
        self, text: bytes, begins: array[int], sizes: array[int],
        keys: tuple[bytes, array[int], array[int]] | None,
        on_delivery: OnDelivery,
    ) -> dict[int, int]:  # fmt: skip
        """Hand over parts of a text, in their order.

        Args:
            begins, sizes: arrays of 64 bits a number, one a message.
            keys: the text, begins and sizes of the keys; a size below 0: it has none.

        Returns:
            of the messages that were not taken, by number, librdkafka's code of why.

        Raises:
            BufferError: messages that were given one by one are still under way.
            ValueError: a part lies outside its text.
        """
        if len(self._plain):
            raise BufferError
        self._on_delivery = on_delivery
        count = len(begins)
        if len(self._messages) < count:
            self._messages = (librdkafka.Message * count)()
        key_text, *key_parts = (None, None, None) if keys is None else keys
        if any(part is not None and len(part) != count for part in (sizes, *key_parts)):
            raise ValueError("there are not as many sizes as parts")
        made = self._native.messages(
            text, len(text), _address(begins), _address(sizes), count,
            key_text, len(key_text or b""), *map(_address, key_parts), self._messages,
        )  # fmt: skip
        if made < count:
            raise ValueError(f"part {made} lies outside its text")
        taken = self._library.produce_batch(
            self._topic, librdkafka.ANY_PARTITION, librdkafka.COPY, self._messages, count
        )
        if taken == count:
            return {}
        numbers = array("q", bytes(8 * count))
        many = self._native.refused(self._messages, count, _address(numbers))
        return {number: self._messages[number].error for number in numbers[:many]}

    # ------------------------------------------------------------------ as any client

    @property
    def produce(self) -> Callable[..., None]:
        return self._produce

    def _produce(self, topic: str, **message: Any) -> None:
        if self._queued():
            raise BufferError
        self._plain.produce(topic, **message)

    def produce_batch(self, topic: str, messages: list[dict[str, Any]], *, on_delivery: Any) -> int:
        if self._queued():
            for message in messages:
                message["_error"] = queue_full()
            return 0
        return self._plain.produce_batch(topic, messages, on_delivery=on_delivery)

    def poll(self, timeout: float) -> int:
        """Raises as that of confluent_kafka."""
        waits = len(self._plain) == 0
        served = self._serve(timeout if waits else 0)
        return served + self._plain.poll(0 if waits else timeout)

    def flush(self, timeout: float) -> int:
        """Raises as that of confluent_kafka."""
        if self._queued():
            self._library.flush(self._handle, int(timeout * 1000))
            self._serve(0)
        elif len(self._plain):
            self._plain.flush(timeout)
        return len(self)

    def purge(self) -> None:
        self._library.purge(self._handle, librdkafka.PURGE_ALL)
        self._plain.purge()

    def __len__(self) -> int:
        return self._queued() + len(self._plain)

    def close(self) -> None:
        """End its threads and connections. Nothing may be queued any more."""
        if self._handle is not None:
            self._library.topic_destroy(self._topic)
            self._library.queue_destroy(self._queue)
            self._library.destroy(self._handle)
            self._handle = None

    def _queued(self) -> int:
        return int(self._library.outq_len(self._handle)) if self._handle is not None else 0

    # ------------------------------------------------------------------ what it says

    def _serve(self, timeout: float) -> int:
        served, wait = 0, int(timeout * 1000)
        while event := self._library.queue_poll(self._queue, wait):
            try:
                self._tell(event)
            finally:
                self._library.event_destroy(event)
            served, wait = served + 1, 0
        return served

    def _tell(self, event: Any) -> None:
        library = self._library
        match library.event_type(event):
            case librdkafka.DELIVERY:
                while message := library.event_message_next(event):
                    self._failed(message.contents)
            case librdkafka.ERROR:
                fatal = bool(library.event_error_is_fatal(event))
                text = library.event_error_string(event).decode(errors="replace")
                self._on_error(KafkaError(library.event_error(event), text, fatal))
            case librdkafka.STATISTICS:
                self._on_statistics(library.event_stats(event).decode(errors="replace"))
            case librdkafka.LOG:
                facility, text, level = ctypes.c_char_p(), ctypes.c_char_p(), ctypes.c_int()
                library.event_log(event, facility, text, level)
                said = b"%s %s" % (facility.value or b"", text.value or b"")
                self._on_log(_LEVELS[level.value & 7], said.decode(errors="replace"))

    def _failed(self, message: librdkafka.Message) -> None:
        if message.error:
            value = ctypes.string_at(message.payload, message.size) if message.size else b""
            self._on_delivery(KafkaError(message.error), Failed(message.partition, value))


def _made(library: Functions, properties: Mapping[str, Any]) -> Any:
    said = ctypes.create_string_buffer(librdkafka.ERROR_TEXT)
    events = librdkafka.DELIVERY | librdkafka.ERROR | librdkafka.STATISTICS | librdkafka.LOG
    given = {**properties, "delivery.report.only.error": True, "log.queue": True}
    configuration = library.conf_new()
    for name, value in given.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if library.conf_set(configuration, name.encode(), text.encode(), said, len(said)):
            library.conf_destroy(configuration)
            raise ValueError(said.value.decode(errors="replace"))
    library.conf_set_events(configuration, events)
    handle = library.new(librdkafka.PRODUCER, configuration, said, len(said))
    if not handle:
        library.conf_destroy(configuration)
        raise ValueError(said.value.decode(errors="replace"))
    return handle


def _address(numbers: array[int] | None) -> int | None:
    return None if numbers is None else numbers.buffer_info()[0]
