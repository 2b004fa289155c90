"""What a source has in common that changes the messages of another one. Used by `faults`,
`encoded`."""

from __future__ import annotations

from nrtctl.producer.sources import Source, Unsendable


class Around:
    """All but `take` is said by the other source."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def unsendable(self) -> Unsendable:
        return self._source.unsendable

    @property
    def skipped(self) -> int:
        return self._source.skipped

    @property
    def exhausted(self) -> bool:
        return self._source.exhausted

    @property
    def bulk(self) -> bool:
        return False

    def size_hint(self) -> tuple[int, int] | None:
        return self._source.size_hint()

    def close(self) -> None:
        self._source.close()
