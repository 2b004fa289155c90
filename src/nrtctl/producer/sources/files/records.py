"""The messages of files one by one, each with its origin. Called by `files.open_records`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from nrtctl.producer.sources import Record, Unsendable, records_of
from nrtctl.producer.sources.files.kinds import FileSource, Found, Reading
from nrtctl.producer.sources.files.opening import Wanted, open_source


@dataclass(frozen=True, slots=True)
class Read:
    """One message of a file.

    Attributes:
        value: the bytes that are sent; None: Kafka's null.
        headers: names and values, in order.
        timestamp: milliseconds since the epoch; None: the time of sending.
        origin: for people: `export.csv, line 3`.
    """

    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp: int | None
    origin: str


class Records:
    """An iterator of `Read`. Close it, or use it in a `with`.

    Attributes:
        found: what the files are, one entry a file, made when the first message of it is asked for.
        unsendable: input that became no message, and where it was.
        skipped: blank lines that were passed over.
    """

    def __init__(
        self, paths: Sequence[str], reading: Reading, *, types: Mapping[str, str], key: str | None
    ) -> None:
        self.found: list[Found] = []
        self.unsendable = Unsendable()
        self.skipped = 0
        self._paths = tuple(paths)
        self._wanted = Wanted(reading, types, key, numbered=True)
        self._records = self._all()
        self._now: tuple[str, FileSource] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Read:
        return next(self._records)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def position(self) -> tuple[str, int, int] | None:
        """Of the file that is read just now, its name, how many of its bytes have been read, and
        how many it has; None: it is none, or a pipe."""
        if self._now is None:
            return None
        path, source = self._now
        size = source.size_hint()
        return None if size is None else (path, *size)

    def close(self) -> None:
        self._records.close()

    def _all(self) -> Generator[Read]:
        for path in self._paths:
            source = open_source(path, self._wanted)
            self._now = path, source
            source.unsendable = self.unsendable
            before = self.skipped
            known = False
            try:
                while not source.exhausted:
                    taken = source.take(1)
                    self.skipped = before + source.skipped
                    if not known and (found := source.found) is not None:
                        self.found.append(found)
                        known = True
                    for record in records_of(taken):
                        yield _read(record, source.origin)
            finally:
                source.close()


def _read(record: Record, origin: str) -> Read:
    key, value, extra, _ = record
    said: dict[str, Any] = extra or {}
    return Read(value, key, tuple(said.get("headers", ())), said.get("timestamp"), origin)
