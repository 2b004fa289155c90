"""JSON lines: one line, one message, its bytes untouched. Called by `produce --input`.

A line that is no JSON is sent like any other: the pipeline stores it as a dead letter with the
reason, which a check here would only hide. Lines are parsed only to find a key in them. Lines of
`consume -o jsonl` become the messages that they describe.
"""

from __future__ import annotations

from typing import Any

import orjson

from nrtctl import message_lines
from nrtctl.sources import Record, Unsendable, Values
from nrtctl.sources.marks import FOREIGN
from nrtctl.sources.reading import Lines

AUTO, RAW, MESSAGES = "auto", "raw", "messages"
"""What lines are: as the first one says; messages' values; lines of `consume -o jsonl`."""

BOM = b"\xef\xbb\xbf"


class JsonLines:
    """Messages from lines.

    Args:
        path: a file, or `-` for stdin.
        key: the field whose value keys the message; None: no keys.
        form: one of the three above.
    """

    def __init__(self, path: str, *, key: str | None = None, form: str = RAW) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self._lines = Lines(path)
        self._ready: list[Record] | Values = []
        self._taken = 0
        self._key = key
        self._form = form
        self._number = 0
        self._first = True

    @property
    def exhausted(self) -> bool:
        return self._lines.chunks.ended and self._taken == len(self._ready)

    @property
    def bulk(self) -> bool:
        keyed = self._key is not None or self._form == MESSAGES
        return not keyed and not self._lines.chunks.waits

    def size_hint(self) -> tuple[int, int] | None:
        chunks = self._lines.chunks
        return None if chunks.size is None else (chunks.bytes_read, chunks.size)

    def close(self) -> None:
        self._lines.chunks.close()

    def take(self, limit: int) -> list[Record] | Values:
        ready = self._ready
        if self._taken == len(ready):
            ready = self._ready = self._records(self._lines.read())
            self._taken = 0
        if self._taken == 0 and len(ready) <= limit:
            self._taken = len(ready)
            return ready
        piece = slice(self._taken, min(len(ready), self._taken + limit))
        self._taken = piece.stop
        return Values(ready[piece]) if isinstance(ready, Values) else ready[piece]

    def _records(self, lines: list[bytes]) -> list[Record] | Values:
        if self._first and lines:
            self._first = False
            lines[0] = lines[0].removeprefix(BOM)
            if self._form == AUTO:
                described = lines[0].startswith(message_lines.PREFIX)
                self._form = MESSAGES if described else RAW
        if self._form == MESSAGES:
            return self._described(lines)
        kept = lines
        if not all(lines) or any(map(bytes.isspace, lines)):
            kept = [line for line in lines if line and not line.isspace()]
            self.skipped += len(lines) - len(kept)
        if self._key is None:
            return Values(kept)
        key = self._key
        return [(key_of(line, key), line, None, FOREIGN) for line in kept]

    def _described(self, lines: list[bytes]) -> list[Record]:
        records: list[Record] = []
        for line in lines:
            self._number += 1
            if not line or line.isspace():
                self.skipped += 1
                continue
            try:
                key, value, extra = message_lines.decode(line)
            except ValueError as error:
                self.unsendable.add(f"{self._lines.chunks.name}, line {self._number}: {error}")
            else:
                records.append((key, value, extra or None, FOREIGN))
        return records


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
