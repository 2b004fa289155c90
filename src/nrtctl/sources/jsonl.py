"""JSON lines: one line, one message, its bytes untouched. Called by `produce --input`.

A line that is no JSON is sent like any other: the pipeline stores it as a dead letter with the
reason, which a check here would only hide. The key is looked for with one regular expression;
where that could be wrong, the line is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from nrtctl.sources import Record, Unsendable
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
        self._key = None if key is None else key_finder(key)
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
            return [(None, line, None, None) for line in kept]
        find = self._key
        return [(find(line), line, None, None) for line in kept]


def key_finder(field: str) -> Callable[[bytes], bytes | None]:
    """A function from a JSON object's bytes to the key in its `field`.

    The key is a string's text in UTF-8, or a number or boolean as JSON; None where the field is
    missing or null, or holds an array or object. Of two equal names the last counts. A line that
    is no JSON object may be keyed or not.
    """
    quoted = re.escape(orjson.dumps(field))
    pattern = re.compile(quoted + rb'\s*:\s*(?:"([^"\\]*)"|(0|-?[1-9][0-9]{0,17})(?=\s*[,}])|())')
    name = orjson.dumps(field)
    search = pattern.search

    def find(line: bytes) -> bytes | None:
        match = search(line)
        if (
            match is None
            or match.lastindex == 3
            or b"\\" in line
            or line.find(b"{", 1) >= 0
            or line.find(name, match.end()) >= 0
        ):
            return _parsed_key(line, field)
        return match[match.lastindex or 0]

    return find


def _parsed_key(line: bytes, field: str) -> bytes | None:
    try:
        value: Any = orjson.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    found = value.get(field)
    if found is None or isinstance(found, dict | list):
        return None
    return found.encode() if isinstance(found, str) else orjson.dumps(found)
