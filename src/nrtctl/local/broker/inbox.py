"""What a connection has received, cut into requests. Called by `connection`.

Memory follows the bytes that have come, never the size that a client announces: the buffer at most
doubles each time it is full, up to the size of the request that fills it.
"""

from __future__ import annotations

from typing import Final

FIRST_BUFFER: Final = 4 * 1024
SMALL_BUFFER: Final = 64 * 1024
KEPT_BUFFER: Final = 4 * 1024 * 1024
_LEAST_ROOM: Final = 2 * 1024


class Inbox:
    __slots__ = ("_buffer", "_end", "_is_busy", "_start")

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(FIRST_BUFFER))
        self._start = 0
        self._end = 0
        self._is_busy = False

    def __len__(self) -> int:
        """Bytes that no request has been made of yet."""
        return self._end - self._start

    @property
    def held(self) -> int:
        """Bytes of memory."""
        return len(self._buffer)

    def room(self) -> memoryview:
        """Where the next bytes go: at least one. A large request gets no others behind it."""
        if self._start == self._end:
            self._start = self._end = 0
            if self.held > KEPT_BUFFER:
                self.shrink()
        size = self.request_size() or 0
        if self._start and self._start + max(size, len(self) + _LEAST_ROOM) > self.held:
            self._move(self._buffer)
        if self.growth() > 0:
            self._move(memoryview(bytearray(self.held + self.growth())))
        if size > SMALL_BUFFER:
            return self._buffer[self._end : self._start + size]
        return self._buffer[self._end :]

    def growth(self) -> int:
        """By how many bytes `room` is going to make the buffer larger; it moves things first."""
        size = self.request_size() or 0
        if len(self) + min(_LEAST_ROOM, max(size - len(self), 1)) <= self.held:
            return SMALL_BUFFER - self.held if self._is_busy and self.held < SMALL_BUFFER else 0
        wanted = max(2 * self.held, SMALL_BUFFER)
        return (min(wanted, size) if size > SMALL_BUFFER else wanted) - self.held

    def _move(self, buffer: memoryview) -> None:
        """Let what is here begin `buffer`."""
        held = len(self)
        pending = self._buffer[self._start : self._end]
        buffer[:held] = bytes(pending) if buffer is self._buffer else pending
        self._buffer = buffer
        self._start, self._end = 0, held

    def add(self, size: int) -> None:
        """So many bytes have been written into what `room` returned."""
        self._end += size
        self._is_busy = self._end == self.held

    def request_size(self) -> int | None:
        """Size of the first request, its length field included; None: not known yet."""
        if len(self) < 4:
            return None
        return 4 + int.from_bytes(self._buffer[self._start : self._start + 4], "big")

    def head(self, size: int) -> bytes:
        """The first bytes, as far as they have come."""
        return bytes(self._buffer[self._start : min(self._start + size, self._end)])

    def take(self, size: int) -> memoryview:
        """The first request, without its length field. It stays where it is until `room`."""
        request = self._buffer[self._start + 4 : self._start + size]
        self._start += size
        return request

    def shrink(self) -> None:
        """Give the memory back, if nothing is in it."""
        if self._start == self._end and self.held > FIRST_BUFFER:
            self._buffer = memoryview(bytearray(FIRST_BUFFER))
            self._start = self._end = 0

    def clear(self) -> None:
        self._buffer = memoryview(bytearray())
        self._start = self._end = 0
