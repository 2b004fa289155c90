"""JSON lines: one line, one message, its bytes untouched. Called by `produce --input`.

A line that is no JSON is sent like any other: the pipeline stores it as a dead letter with the
reason, which a check here would only hide. Lines are parsed only to find a key in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from nrtctl.sources import Record, Unsendable
from nrtctl.sources.marks import FOREIGN
from nrtctl.sources.reading import Lines

BOM = b"\xef\xbb\xbf"
Decode = Callable[[bytes], Record]


class JsonLines:
    """Messages from lines.

    Args:
        path: a file, or `-` for stdin.
        key: the field whose value keys the message; None: no keys.
        decode: makes the record of a line; None: the line is the value.
    """

    def __init__(self, path: str, *, key: str | None = None, decode: Decode | None = None) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self._lines = Lines(path)
        self._ready: list[Record] = []
        self._taken = 0
        self._key = key
        self._decode = decode
        self._first = True

    @property
    def exhausted(self) -> bool:
        return self._lines.chunks.ended and self._taken == len(self._ready)

    def size_hint(self) -> tuple[int, int] | None:
        chunks = self._lines.chunks
        return None if chunks.size is None else (chunks.bytes_read, chunks.size)

    def close(self) -> None:
        self._lines.chunks.close()

    def take(self, limit: int) -> list[Record]:
        if self._taken == len(self._ready):
            self._ready = self._records(self._lines.read())
            self._taken = 0
        records = self._ready[self._taken : self._taken + limit]
        self._taken += len(records)
        return records

    def _records(self, lines: list[bytes]) -> list[Record]:
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(BOM)
        kept = [line for line in lines if line and not line.isspace()]
        self.skipped += len(lines) - len(kept)
        if self._decode is not None:
            return [self._decode(line) for line in kept]
        if self._key is None:
            return [(None, line, None, FOREIGN) for line in kept]
        key = self._key
        return [(key_of(line, key), line, None, FOREIGN) for line in kept]


def key_of(line: bytes, field: str) -> bytes | None:
    """The key in `field` of a JSON object: a string's UTF-8, a number or boolean as JSON.

    None where the field is missing, null, an array or an object, and for what is no JSON object.
    (Parsing the whole line costs less than searching it safely with a regular expression.)
    """
    try:
        value: Any = orjson.loads(line)
    except ValueError:
        return None
    found = value.get(field) if isinstance(value, dict) else None
    if isinstance(found, str):
        return found.encode()
    return None if found is None or isinstance(found, dict | list) else orjson.dumps(found)
