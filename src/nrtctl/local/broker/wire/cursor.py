"""A position in a request, for the two requests read by hand: Produce and Fetch."""

from __future__ import annotations

from nrtctl.local.broker.wire.codec import MalformedRequest, read_uvarint, skip_tags


class Cursor:
    """Reads the primitive types of either encoding."""

    __slots__ = ("at", "flexible", "frame")

    def __init__(self, frame: memoryview, at: int, flexible: bool) -> None:
        self.frame = frame
        self.at = at
        self.flexible = flexible

    def take(self, size: int) -> memoryview:
        end = self.at + size
        if size < 0 or end > len(self.frame):
            raise MalformedRequest("a field runs over the end of the request")
        view = self.frame[self.at : end]
        self.at = end
        return view

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big", signed=True)

    def _length(self, size: int) -> int:
        if not self.flexible:
            return self.integer(size)
        length, self.at = read_uvarint(self.frame, self.at)
        return length - 1

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
        return max(length, 0)

    def tags(self) -> None:
        if self.flexible:
            self.at = skip_tags(self.frame, self.at)
