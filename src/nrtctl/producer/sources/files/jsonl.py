"""JSON lines: one line, one message, its bytes untouched. Called by `produce --input`.

A line that is no JSON is sent like any other: the pipeline stores it as a dead letter with the
reason, which a check here would only hide. Lines are parsed only to find a key in them. Lines of
`consume -o jsonl` become the messages that they describe; a file may have both.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from nrtctl.kafka import messages as message_lines
from nrtctl.pipeline import json_text
from nrtctl.pipeline.fields import Path, value_at
from nrtctl.producer.sources import Record, Spans, Taken, Unsendable, Values
from nrtctl.producer.sources.files.kinds import Found, Kind
from nrtctl.producer.sources.files.reading import Chunks, Lines, lines_in
from nrtctl.producer.sources.marks import FOREIGN

if TYPE_CHECKING:
    from nrtctl.kafka.native import Native
    from nrtctl.producer.sources.files.line_spans import LineKeys

AUTO, RAW, MESSAGES = "auto", "raw", "messages"
"""What lines are: each as it says; messages' values; lines of `consume -o jsonl`."""

BOM = b"\xef\xbb\xbf"

SPANS_FROM = 32 * 2**20
"""Bytes of a file whose lines are taken as spans: that needs a second connection to Kafka."""

SPANS_PIECE = 2**20
"""Bytes whose lines are looked at together then."""


def spanning(size: int | None) -> Native | None:
    """What takes so many bytes of files as spans; None: it does not pay, or nothing does."""
    if size is None or size < SPANS_FROM:
        return None
    from nrtctl.kafka.native import native

    return native()


class JsonLines:
    """Messages from lines.

    Args:
        source: a path, or what has been opened already.
        key: the key, or path, whose value keys the message; None: no keys.
        form: one of the three above.
        encoding: that it was in; `source` gives UTF-8.
        numbered: whether `origin` will be asked for.
    """

    def __init__(
        self,
        source: str | Chunks,
        *,
        key: str | Path | None = None,
        form: str = RAW,
        encoding: str = "utf-8",
        numbered: bool = False,
    ) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self._lines = Lines(source)
        self._encoding = encoding
        self._ready: Taken = []
        self._taken = 0
        self._key = key
        self._form = form
        self._begins = RAW if form == AUTO else form
        self._number = 0
        self._numbers: list[int] = []
        self._numbered = numbered
        self._first = True
        self._spans: Native | None = None
        self._keys: LineKeys | None = None

    def as_spans(self) -> bool:
        chunks = self._lines.chunks
        is_plain = not (self._numbered or chunks.waits or self._begins == MESSAGES)
        self._spans = spanning(chunks.size) if is_plain else None
        if self._spans is not None:
            chunks.piece_size = SPANS_PIECE
        return self._spans is not None

    @property
    def exhausted(self) -> bool:
        return self._lines.chunks.ended and self._taken == len(self._ready)

    @property
    def bulk(self) -> bool:
        keyed = self._key is not None or self._begins == MESSAGES
        return not keyed and not self._lines.chunks.waits

    @property
    def found(self) -> Found | None:
        if self._form == AUTO and self._first:
            return None
        chunks = self._lines.chunks
        kind: Kind = "messages" if self._begins == MESSAGES else "jsonl"
        return Found(chunks.name, kind, chunks.compression, self._encoding)

    @property
    def origin(self) -> str:
        return f"{self._lines.chunks.name}, line {self._numbers[self._taken - 1]}"

    def size_hint(self) -> tuple[int, int] | None:
        chunks = self._lines.chunks
        return None if chunks.size is None else (chunks.bytes_read, chunks.size)

    def close(self) -> None:
        self._lines.chunks.close()

    def take(self, limit: int) -> Taken:
        ready = self._ready
        if self._taken == len(ready):
            ready = self._ready = self._next()
            self._taken = 0
        if self._taken == 0 and len(ready) <= limit:
            self._taken = len(ready)
            return ready
        piece = slice(self._taken, min(len(ready), self._taken + limit))
        self._taken = piece.stop
        return Values(ready[piece]) if isinstance(ready, Values) else ready[piece]

    def _next(self) -> Taken:
        text = self._lines.text()
        if self._first and text:
            self._first = False
            text = text.removeprefix(BOM)
            if self._form == AUTO and message_lines.describes(text.partition(b"\n")[0]):
                self._begins = MESSAGES
        self._numbers = []
        if self._begins == MESSAGES or (self._form == AUTO and self._may_describe(text)):
            return self._described(lines_in(text))
        if self._spans is not None and text:
            return self._as_spans(self._spans, text)
        return self._records(lines_in(text))

    def _may_describe(self, text: bytes) -> bool:
        mark = message_lines.MARK
        if self._spans is None:
            return mark in text
        return bool(self._spans.has(text, len(text), mark, len(mark)))

    def _as_spans(self, ours: Native, text: bytes) -> Spans:
        from nrtctl.producer.sources.files.line_spans import LineKeys, lines_of

        lines, blank = lines_of(ours, text)
        self._number += len(lines) + blank
        self.skipped += blank
        if self._key is None:
            return lines
        if self._keys is None:
            first, *rest = (self._key,) if isinstance(self._key, str) else self._key
            name = None if rest else orjson.dumps(first)
            self._keys = LineKeys(ours, name, partial(key_of, field=self._key))
        return self._keys.of(lines)

    def _records(self, lines: list[bytes]) -> list[Record] | Values:
        if self._numbered:
            numbered = enumerate(lines, self._number + 1)
            self._numbers = [number for number, line in numbered if line and not line.isspace()]
        self._number += len(lines)
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
            if self._form == AUTO and self._is_itself(line):
                own = None if self._key is None else key_of(line, self._key)
                records.append((own, line, None, FOREIGN))
                self._numbers.append(self._number)
                continue
            try:
                key, value, extra = message_lines.decode(line)
            except ValueError as error:
                self.unsendable.add(f"{self._lines.chunks.name}, line {self._number}: {error}")
            else:
                records.append((key, value, extra, FOREIGN))
                self._numbers.append(self._number)
        return records

    def _is_itself(self, line: bytes) -> bool:
        """Whether it is a message's value, and not a message that is described, nor what is left
        of one."""
        if self._begins == RAW and message_lines.MARK not in line:
            return True
        try:
            fields = orjson.loads(line)
        except ValueError:
            return self._begins == RAW
        return not (isinstance(fields, dict) and "nrtctl_message" in fields)


def key_of(line: bytes, field: str | Path) -> bytes | None:
    """The key at `field` of a JSON object: a string's UTF-8, a number or boolean as JSON.

    None where the field is missing, null, an array or an object, and for what is no JSON object.
    (Parsing the whole line costs less than searching it safely with a regular expression.)
    """
    first, rest = (field, ()) if isinstance(field, str) else (field[0], field[1:])
    try:
        value: Any = orjson.loads(line)
    except ValueError:
        return _key_with_digits(line, (first, *rest))
    found = value.get(first) if isinstance(value, dict) else None
    if rest:
        found = value_at(found, rest)
    if isinstance(found, str):
        return found.encode()
    if isinstance(found, float):
        return _key_with_digits(line, (first, *rest))
    return None if found is None or isinstance(found, dict | list) else orjson.dumps(found)


def _key_with_digits(line: bytes, path: Path) -> bytes | None:
    """The key of a line that has a whole number beyond 64 bits, or perhaps; None: no JSON either
    way."""
    try:
        found = json_text.value_of(line, path)
    except ValueError:
        return None
    if isinstance(found, str):
        return found.encode()
    return None if found is None or isinstance(found, dict | list) else orjson.dumps(found)
