"""What keeps a small message of Avro from becoming a large value. Pure; used by `avro`.

A record of nulls takes no bytes, and may have two of another one, and so on: a schema of 2,000
characters stands for 2**50 values then. And a field that is named twice, as its alias, stands twice
in the text, with all that is repeated within it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nrtctl.kafka.formats.wire import Undecodable

Read = Callable[[bytes, int], tuple[Any, int]]

MOST_WITHOUT_BYTES = 100_000
"""Values that take no bytes (null, a fixed of size 0, records of them) in a message, beside one for
each of its bytes."""

MOST_REPEATED = 16 * 2**20
"""Bytes of a message that stand in its text again, under aliases."""


class Bounds:
    """Of one schema, for one message at a time."""

    def __init__(self) -> None:
        self._without_bytes = self._repeated = 0
        self._needed = False

    def of_message(self, read: Read) -> Read:
        """Args: read: what reads a whole message; it is complete."""

        def read_bounded(data: bytes, at: int) -> tuple[Any, int]:
            self._without_bytes, self._repeated = MOST_WITHOUT_BYTES + len(data), MOST_REPEATED
            return read(data, at)

        return read_bounded if self._needed else read

    def counted(self, read: Read, number: int) -> Read:
        """Args: read: of a record, which has so many values that take no bytes."""
        if not number:
            return read
        self._needed = True

        def read_counted(data: bytes, at: int) -> tuple[Any, int]:
            self._without_bytes -= number
            if self._without_bytes < 0:
                raise Undecodable("they stand for too many values that take no bytes")
            return read(data, at)

        return read_counted

    def again(self, read: Read, names: Mapping[str, str]) -> Read:
        """Args: names: of a record, under which it has the values of these fields, too."""
        self._needed = True

        def read_again(data: bytes, at: int) -> tuple[dict[str, Any], int]:
            before = self._repeated
            value, end = read(data, at)
            self._repeated -= len(names) * (end - at + before - self._repeated)
            if self._repeated < 0:
                raise Undecodable("aliases repeat too much of it")
            for alias, name in names.items():
                value[alias] = value[name]
            return value, end

        return read_again
