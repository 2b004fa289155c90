"""Lines of any text: one line, one message, `{"line": "…"}`. Called by `opening`."""

from __future__ import annotations

import orjson

from nrtctl.producer.sources import Record, Values
from nrtctl.producer.sources.files.jsonl import RAW, JsonLines
from nrtctl.producer.sources.files.kinds import Found
from nrtctl.producer.sources.files.reading import Chunks

FIELD = "line"


class TextLines(JsonLines):
    """Messages from lines, without the characters that end them. Blank ones are skipped.

    Args: as of `JsonLines`, in the form RAW. The source gives UTF-8; a line that is none is
        counted as unsendable.
    """

    def __init__(
        self,
        source: str | Chunks,
        *,
        key: str | tuple[str | int, ...] | None = None,
        encoding: str = "utf-8",
        numbered: bool = False,
    ) -> None:
        super().__init__(source, key=key, form=RAW, encoding=encoding, numbered=numbered)
        self._text_encoding = encoding
        self._before = 0

    @property
    def found(self) -> Found:
        chunks = self._lines.chunks
        return Found(chunks.name, "text", chunks.compression, self._text_encoding)

    def as_spans(self) -> bool:
        """Each line is written anew."""
        return False

    def _records(self, lines: list[bytes]) -> list[Record] | Values:
        unsendable = self.unsendable.count
        sent = [self._message(line, number) for number, line in enumerate(lines, self._before + 1)]
        self._before += len(lines)
        records = super()._records(sent)
        self.skipped -= self.unsendable.count - unsendable
        return records

    def _message(self, line: bytes, number: int) -> bytes:
        """Empty: it is no message."""
        if not line or line.isspace():
            return b""
        try:
            return orjson.dumps({FIELD: line.removesuffix(b"\r").decode()})
        except UnicodeDecodeError:
            self.unsendable.add(f"{self._lines.chunks.name}, line {number}: text that is not UTF-8")
            return b""
