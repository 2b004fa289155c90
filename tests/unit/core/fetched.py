"""A message as the client fetches it."""

from __future__ import annotations


class Message:
    def __init__(self, partition: int, offset: int = 0) -> None:
        self._partition, self._offset = partition, offset

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"{}"

    def headers(self) -> None:
        return None

    def error(self) -> None:
        return None
