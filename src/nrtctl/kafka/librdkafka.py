"""librdkafka's own functions, for what confluent-kafka has no call for: many messages of one text
handed over, or fetched, without an object for each. Called by `bulk` and `native_fetch`.

The library is the one that confluent-kafka brings along. Declared as in its rdkafka.h (2.x), whose
functions and `rd_kafka_message_t` have been the same since 1.0.
"""

from __future__ import annotations

import ctypes
import re
import sys
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p
from functools import cache
from importlib import metadata
from typing import Any, Final

PRODUCER: Final = 0
CONF_OK: Final = 0
ANY_PARTITION: Final = -1
COPY: Final = 0x2
PURGE_ALL: Final = 0x3
"""What is queued, and what is on its way."""

DELIVERY, LOG, ERROR, STATISTICS = 0x1, 0x4, 0x8, 0x40
"""Events."""

ERROR_TEXT: Final = 512
_LIBRARY: Final = re.compile(r"(lib)?rdkafka[-.\w]*(\.so[.\d]*|\.dylib|\.dll)")


class Message(ctypes.Structure):
    """`rd_kafka_message_t`."""

    _fields_ = [
        ("error", c_int),
        ("topic", c_void_p),
        ("partition", c_int32),
        ("payload", c_void_p),
        ("size", c_size_t),
        ("key", c_void_p),
        ("key_size", c_size_t),
        ("offset", c_int64),
        ("opaque", c_void_p),
    ]


class TopicPartition(ctypes.Structure):
    """The beginning of `rd_kafka_topic_partition_t`."""

    _fields_ = [("topic", c_char_p), ("partition", c_int32), ("offset", c_int64)]


_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "conf_new": (c_void_p, []),
    "conf_set": (c_int, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t]),
    "conf_set_events": (None, [c_void_p, c_int]),
    "conf_destroy": (None, [c_void_p]),
    "new": (c_void_p, [c_int, c_void_p, c_char_p, c_size_t]),
    "set_log_queue": (c_int, [c_void_p, c_void_p]),
    "topic_new": (c_void_p, [c_void_p, c_char_p, c_void_p]),
    "topic_destroy": (None, [c_void_p]),
    "metadata": (c_int, [c_void_p, c_int, c_void_p, POINTER(c_void_p), c_int]),
    "metadata_destroy": (None, [c_void_p]),
    "produce_batch": (c_int, [c_void_p, c_int32, c_int, c_void_p, c_int]),
    "outq_len": (c_int, [c_void_p]),
    "flush": (c_int, [c_void_p, c_int]),
    "purge": (c_int, [c_void_p, c_int]),
    "queue_get_main": (c_void_p, [c_void_p]),
    "queue_poll": (c_void_p, [c_void_p, c_int]),
    "queue_destroy": (None, [c_void_p]),
    "event_type": (c_int, [c_void_p]),
    "event_message_next": (POINTER(Message), [c_void_p]),
    "event_error": (c_int, [c_void_p]),
    "event_error_string": (c_char_p, [c_void_p]),
    "event_error_is_fatal": (c_int, [c_void_p]),
    "event_stats": (c_char_p, [c_void_p]),
    "event_log": (c_int, [c_void_p, POINTER(c_char_p), POINTER(c_char_p), POINTER(c_int)]),
    "event_topic_partition": (POINTER(TopicPartition), [c_void_p]),
    "event_destroy": (None, [c_void_p]),
    "topic_partition_destroy": (None, [c_void_p]),
    "destroy": (None, [c_void_p]),
    "queue_new": (c_void_p, [c_void_p]),
    "queue_get_consumer": (c_void_p, [c_void_p]),
    "queue_get_partition": (c_void_p, [c_void_p, c_char_p, c_int32]),
    "queue_forward": (None, [c_void_p, c_void_p]),
    "queue_length": (c_size_t, [c_void_p]),
    "queue_io_event_enable": (None, [c_void_p, c_int, c_char_p, c_size_t]),
    "conf_interceptor_add_on_new": (c_int, [c_void_p, c_char_p, c_void_p, c_void_p]),
    "message_timestamp": (c_int64, [c_void_p, c_void_p]),
    "message_headers": (c_int, [c_void_p, c_void_p]),
    "header_get_all": (c_int, [c_void_p, c_size_t, c_void_p, c_void_p, c_void_p]),
}


class Functions:
    """Each under its name without `rd_kafka_`. Raises AttributeError: the library lacks one."""

    def __init__(self, library: ctypes.CDLL) -> None:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, f"rd_kafka_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@cache
def functions() -> Functions | None:
    """None where the library is not found, or addresses are not of 64 bits."""
    if sys.maxsize < 2**32:
        return None
    try:
        files = metadata.files("confluent-kafka") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if _LIBRARY.fullmatch(file.name):
            try:
                return Functions(ctypes.CDLL(str(file.locate())))
            except (OSError, AttributeError):
                continue
    return None
