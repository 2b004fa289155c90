"""A message as the client fetches it, and runs of them."""

from __future__ import annotations

from nrtctl.kafka.fetched import Run, runs_of


class Message:
    def __init__(self, partition: int, offset: int = 0, value: bytes = b"{}") -> None:
        self._partition, self._offset, self._value = partition, offset, value

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None:
        return None

    def error(self) -> None:
        return None


def runs(*messages: Message) -> list[Run]:
    return list(runs_of(messages)) if messages else []
