"""Messages that a program gives, one after the other. Called by `Client.produce`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

import orjson

from nrtctl.clock import Clock
from nrtctl.pipeline.fields import Path
from nrtctl.producer.sources import Record, Unsendable
from nrtctl.producer.sources.files.jsonl import key_of
from nrtctl.producer.sources.marks import FOREIGN

WAIT_SECONDS = 0.1
"""For the next message, before those that have come are handed over."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        value: its bytes; None: Kafka's null, which becomes a dead letter.
        key: decides the partition; None: any.
        headers: names and values, in order; a name may be there twice. A mapping is taken, too.
        timestamp: milliseconds since the epoch; None: the time of sending.
        partition: where it goes; None: the key decides.
    """

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] | Mapping[str, bytes | None] = ()
    timestamp: int | None = None
    partition: int | None = None


Item = Message | Mapping[str, Any] | bytes | str
"""A mapping is sent as JSON, text as UTF-8. Times and UUIDs in a mapping become text, and so do the
floats that JSON lacks: "nan", "inf" and "-inf"."""


class Given:
    """Messages from an iterable, which is asked for the next one on the producer's thread.

    Args:
        key: the key, or path, in a mapping that keys its message; None: no keys.
    """

    bulk = False
    skipped = 0

    def __init__(self, items: Iterable[Item], *, key: str | Path | None, clock: Clock) -> None:
        self.unsendable = Unsendable()
        self.exhausted = False
        self.failure: Exception | None = None
        """What the iterable raised, or what is wrong with an item; nothing is taken after it."""
        self._items: Iterator[Item] = iter(items)
        self._key = key
        self._clock = clock

    def take(self, limit: int) -> list[Record]:
        found: list[Record] = []
        until = self._clock.monotonic() + WAIT_SECONDS
        try:
            while not self.exhausted and len(found) < limit and self._clock.monotonic() < until:
                found.append(_record(next(self._items), self._key))
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # noqa: BLE001  (raised again once all before it is flushed)
            self.failure = error
            self.exhausted = True
        return found

    def size_hint(self) -> None:
        return None

    def close(self) -> None:
        """The iterable is the caller's."""


def _record(item: Item, key: str | Path | None) -> Record:
    """Raises TypeError, ValueError: no message can be made of it."""
    match item:
        case bytes():
            return None, item, None, FOREIGN
        case str():
            return None, item.encode(), None, FOREIGN
        case Message():
            extra: dict[str, object] = {}
            if item.headers:
                given = item.headers
                pairs = given.items() if isinstance(given, Mapping) else given
                extra["headers"] = [(_text(name), value) for name, value in pairs]
            if item.timestamp is not None:
                extra["timestamp"] = item.timestamp
            if item.partition is not None:
                extra["partition"] = item.partition
            return item.key, item.value, extra or None, FOREIGN
        case Mapping():
            value = _json(dict(item))
            return None if key is None else key_of(value, key), value, None, FOREIGN
    raise TypeError(f"a message is a Message, a mapping, bytes or text, not {type(item).__name__}")


def _json(item: dict[str, Any]) -> bytes:
    """As the readers of files write floats that JSON lacks; orjson makes null of them."""
    value = orjson.dumps(item)
    return orjson.dumps(_spelled(item)) if b"null" in value else value


def _spelled(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return repr(value)
        case dict():
            return {key: _spelled(each) for key, each in value.items()}
        case list() | tuple():
            return [_spelled(each) for each in value]
        case Enum():
            return _spelled(value.value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            names = [each.name for each in fields(value) if not each.name.startswith("_")]
            return {name: _spelled(getattr(value, name)) for name in names}
    return value


def _text(name: str) -> str:
    """Raises ValueError: it has no UTF-8. The client of Kafka would crash."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name of a header, {name!r}, cannot be written in UTF-8") from None
    return name
