"""A position in a request: reads the primitive types, and believes no length.

Used for the two requests read by hand (Produce and Fetch), and to go over all the others before
`kio` reads them (`announced`).
"""

from __future__ import annotations

import struct
from typing import Any, Final

MAX_ITEMS: Final = 20_000
"""Array items in one request, all arrays together. The broker holds 4,000 partitions."""


class MalformedRequest(Exception):
    """The bytes are not what the header announces."""


def read_uvarint(data: memoryview, at: int) -> tuple[int, int]:
    """Raises IndexError at the end of `data`."""
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 28:
            raise MalformedRequest("a varint is too long")


def skip_tags(data: memoryview, at: int) -> int:
    count, at = read_uvarint(data, at)
    if 2 * count > len(data) - at:
        raise MalformedRequest("there are more tagged fields than bytes")
    for _ in range(count):
        _, at = read_uvarint(data, at)
        size, at = read_uvarint(data, at)
        at += size
    if at > len(data):
        raise MalformedRequest("tagged fields run over the end of the request")
    return at


class Cursor:
    """Reads the primitive types of either encoding."""

    __slots__ = ("at", "flexible", "frame", "items")

    def __init__(self, frame: memoryview, at: int, flexible: bool) -> None:
        self.frame = frame
        self.at = at
        self.flexible = flexible
        self.items = 0

    def take(self, size: int) -> memoryview:
        end = self.at + size
        if size < 0 or end > len(self.frame):
            raise MalformedRequest("a field runs over the end of the request")
        view = self.frame[self.at : end]
        self.at = end
        return view

    def unpack(self, fields: struct.Struct) -> tuple[Any, ...]:
        """Fields of fixed sizes, at once."""
        return fields.unpack(self.take(fields.size))

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big", signed=True)

    def _length(self, size: int) -> int:
        """-1 for null."""
        if self.flexible:
            length, self.at = read_uvarint(self.frame, self.at)
            return length - 1
        length = self.integer(size)
        if length < -1:
            raise MalformedRequest("a length is negative")
        return length

    def skip(self, size: int) -> None:
        """Go over a field of a fixed size."""
        self.at += size
        if self.at > len(self.frame):
            raise MalformedRequest("a field runs over the end of the request")

    def skip_sized(self, size: int) -> None:
        """Go over a string or bytes, whose length takes `size` bytes in the older encoding."""
        self.skip(max(self._length(size), 0))

    def string(self) -> str | None:
        length = self._length(2)
        return None if length < 0 else str(self.take(length), "utf-8")

    def data(self) -> memoryview:
        """Null bytes are read as empty."""
        return self.take(max(self._length(4), 0))

    def array_length(self) -> int:
        """At most one item a byte that is left, so a lying length cannot cost memory."""
        length = self._length(4)
        if length > len(self.frame) - self.at:
            raise MalformedRequest("an array is longer than the request")
        self.items += max(length, 0)
        if self.items > MAX_ITEMS:
            raise MalformedRequest(f"more than {MAX_ITEMS} items")
        return max(length, 0)

    def tags(self) -> None:
        if self.flexible:
            at = self.at
            self.at = at + 1 if self.frame[at] == 0 else skip_tags(self.frame, at)
