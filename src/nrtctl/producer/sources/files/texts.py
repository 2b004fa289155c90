"""JSON texts over any number of lines: one after the other, or the elements of an array.

Called by `opening`. A text is sent as it stands, byte for byte: Python's own parser says where it
ends, and what it makes of it is thrown away. Nothing but the text at hand is held.
"""

from __future__ import annotations

import codecs
import json
import re
from enum import Enum
from typing import Any

from nrtctl.errors import NrtctlError
from nrtctl.kafka import messages as message_lines
from nrtctl.pipeline.fields import Path
from nrtctl.producer.sources import Record, Unsendable
from nrtctl.producer.sources.files.jsonl import key_of
from nrtctl.producer.sources.files.kinds import Found
from nrtctl.producer.sources.files.reading import MAX_LINE, Chunks
from nrtctl.producer.sources.marks import FOREIGN

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_CLOSED = frozenset('}]"')
_NEAR_THE_END = 12
"""Characters: the longest that the parser stands before the end of a text that is cut off, which
is in the middle of `-Infinity` or of an escape."""
_IN_A_NUMBER = 3
"""Characters: more than stand between the digits that a number may end with, as in `1e+5`."""
_LONG = 2**20
_PARSER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


class CutOff(Exception):
    """The text goes on beyond what is there."""


def text_at(buffer: str, start: int, *, whole: bool) -> tuple[Any, int]:
    """The JSON value that begins at `start`, its numbers as text, and where it ends.

    Args:
        whole: nothing comes after the buffer.

    Raises:
        CutOff: it may go on after the buffer.
        ValueError: it is no JSON; a JSONDecodeError where it is known at which place.
    """
    try:
        value, end = _PARSER.raw_decode(buffer, start)
    except json.JSONDecodeError as error:
        unterminated = error.msg.startswith("Unterminated string")
        if not whole and (unterminated or len(buffer) - error.pos < _NEAR_THE_END):
            raise CutOff from None
        raise
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not whole and len(buffer) - end < _IN_A_NUMBER and buffer[end - 1] not in _CLOSED:
        raise CutOff
    return value, end


def space_to(buffer: str, start: int) -> int:
    """Where the white space that begins at `start` ends."""
    found = _SPACE.match(buffer, start)
    return found.end() if found else start


class _Within(Enum):
    NOTHING = "between texts that follow each other"
    BEGUN = "after the [ of an array"
    AFTER_COMMA = "after a comma of an array"
    AFTER_ELEMENT = "after an element of an array"


class JsonTexts:
    """Messages from JSON texts.

    Args:
        chunks: UTF-8.
        key: the key, or path, whose value keys the message; None: no keys.
        described: whether a text may be what `consume -o jsonl` writes.
        found: what the file is.
    """

    bulk = False

    def __init__(
        self, chunks: Chunks, *, key: str | Path | None, described: bool, found: Found
    ) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self.found: Found | None = found
        self.exhausted = False
        self._chunks = chunks
        self._key = key
        self._described = described
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._buffer = ""
        self._position = 0
        self._coming: list[str] = []
        self._coming_size = 0
        self._within = _Within.NOTHING
        self._counted = 0
        self._line = 1

    @property
    def origin(self) -> str:
        return f"{self._chunks.name}, line {self._line}"

    def size_hint(self) -> tuple[int, int] | None:
        chunks = self._chunks
        return None if chunks.size is None else (chunks.bytes_read, chunks.size)

    def close(self) -> None:
        self._chunks.close()

    def take(self, limit: int) -> list[Record]:
        records: list[Record] = []
        while len(records) < limit and not self.exhausted:
            try:
                if self._coming:
                    raise CutOff
                self._step(records)
            except CutOff:
                if not self._read():
                    break
            except json.JSONDecodeError as error:
                raise self._wrong(error.pos, f"not JSON: {error.msg}") from error
            except ValueError as error:
                raise self._wrong(self._position, f"not JSON: {error}") from error
        return records

    def _step(self, records: list[Record]) -> None:
        """A value, or a sign between values."""
        buffer, within = self._buffer, self._within
        at = self._position = space_to(buffer, self._position)
        if at == len(buffer):
            self._end()
            return
        mark = buffer[at]
        if within is _Within.NOTHING and mark == "[":
            self._within = _Within.BEGUN
        elif within in {_Within.BEGUN, _Within.AFTER_ELEMENT} and mark == "]":
            self._within = _Within.NOTHING
        elif within is _Within.AFTER_ELEMENT:
            if mark != ",":
                raise self._wrong(at, "not JSON: a comma is missing between elements of the array")
            self._within = _Within.AFTER_COMMA
        else:
            self._value(at, records)
            return
        self._position = at + 1

    def _end(self) -> None:
        if not self._chunks.ended:
            raise CutOff
        if self._within is not _Within.NOTHING:
            raise self._wrong(self._position, "the file ends in the middle of an array")
        self.exhausted = True

    def _value(self, at: int, records: list[Record]) -> None:
        buffer = self._buffer
        value, end = text_at(buffer, at, whole=self._chunks.ended)
        self._line += buffer.count("\n", self._counted, at)
        self._counted = at
        self._position = end
        if self._within is not _Within.NOTHING:
            self._within = _Within.AFTER_ELEMENT
        text = buffer[at:end].encode("utf-8", "surrogateescape")
        if not (self._described and isinstance(value, dict) and "nrtctl_message" in value):
            key = None if self._key is None else key_of(text, self._key)
            records.append((key, text, None, FOREIGN))
            return
        try:
            key, message, extra = message_lines.decode(text)
        except ValueError as error:
            self.unsendable.add(f"{self.origin}: {error}")
        else:
            records.append((key, message, extra, FOREIGN))

    def _read(self) -> bool:
        """Put more into the buffer; False: nothing has come yet. A long text that is cut off is
        looked at again only once it is twice as long."""
        held = len(self._buffer) - self._position
        enough = 2 * held if held > _LONG else 0
        while True:
            piece = self._decode(self._chunks.read(), final=self._chunks.ended)
            self._coming.append(piece)
            self._coming_size += len(piece)
            total = held + self._coming_size
            if total > MAX_LINE + 2 * _LONG:
                why = f"one JSON text is longer than {MAX_LINE >> 20} MiB"
                raise self._wrong(self._position, why)
            if self._chunks.ended or (piece and total >= enough):
                break
            if not piece:
                return False
        self._line += self._buffer.count("\n", self._counted, self._position)
        self._buffer = "".join([self._buffer[self._position :], *self._coming])
        self._coming, self._coming_size = [], 0
        self._position = self._counted = 0
        return True

    def _wrong(self, at: int, reason: str) -> NrtctlError:
        line = self._line + self._buffer.count("\n", self._counted, at)
        return NrtctlError(f"{self._chunks.name}, line {line}: {reason}")
