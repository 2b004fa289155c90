"""Output formats: which can be sent in pieces, and their media types. Used by `app`, `results`.

The engine formats each piece of a result as a document of its own, so only formats whose documents
can be put one after another are sent in pieces; the names that head each piece are cut off from
the second on.
"""

from __future__ import annotations

from collections.abc import Container

from nrtctl.local.front.errors import EngineError

_PLAIN = frozenset(
    {"Native", "RowBinary", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "Raw", "CSV",
     "JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow", "JSONCompactEachRow",
     "JSONCompactStringsEachRow", "LineAsString", "RawBLOB", "Null"}
)  # fmt: skip
_NAMED = (
    "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "JSONCompactEachRow",
    "JSONCompactStringsEachRow",
)  # fmt: skip
_BINARY = {"RowBinaryWithNames": 1, "RowBinaryWithNamesAndTypes": 2}
"""Formats that begin with a number of columns and so many texts for each."""
HEAD_LINES = (
    dict.fromkeys(_PLAIN, 0)
    | {
        f"{name}{suffix}": lines
        for name in _NAMED
        for suffix, lines in (("WithNames", 1), ("WithNamesAndTypes", 2))
    }
    | _BINARY
)
"""Formats that can be sent in pieces, with the lines that head each document."""
_OF_WHOLE = (
    "output_format_json_array_of_rows", "output_format_binary_encode_types_in_binary_format",
)  # fmt: skip
"""Settings that make documents of those formats that cannot be put one after another."""
_OF_ROWS = frozenset({"JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow"})

_MEDIA = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "Arrow": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "XML": "application/xml; charset=UTF-8",
}


_AS_WRITTEN = {name.lower(): name for name in (*HEAD_LINES, *_MEDIA)}


def as_written(output: str) -> str:
    """A format's name in the letters of this module: the engine takes small ones for capitals."""
    return _AS_WRITTEN.get(output.lower(), output)


def comes_in_pieces(output: str, sql: bytes, settings: Container[str]) -> bool:
    """Whether a result can be sent in pieces. Args: settings: named beside the statement."""
    named = any(each in settings or each.encode() in sql for each in _OF_WHOLE)
    return output in HEAD_LINES and not named


def media_type(output: str) -> str:
    if output.upper().startswith("JSON") or output == "NDJSON":
        each = "eachrow" in output.lower() or output in {"JSONLines", "NDJSON"}
        return f"application/{'x-ndjson' if each else 'json'}; charset=UTF-8"
    return _MEDIA.get(output, "text/plain; charset=UTF-8")


class Joined:
    """Makes one document of the pieces of a result. Totals and extremes are a piece of their own,
    in which the head comes last."""

    def __init__(self, output: str) -> None:
        self._lines = HEAD_LINES.get(output, 0)
        self._size = _binary_head if output in _BINARY else _lines_head
        self._wrong = b"[" if output in _OF_ROWS else None
        self._head: bytes | None = None

    def piece(self, data: bytes) -> bytes:
        """The piece without the head that an earlier one already had. Raises EngineError: a setting
        of the session makes pieces that cannot follow one another."""
        if self._head is None:
            self._head = data[: self._size(data, self._lines)]
            return data
        if data[:1] == self._wrong:
            raise _not_in_pieces()
        if data.startswith(self._head):
            return data[len(self._head) :]
        if data.endswith(self._head):
            return data[: -len(self._head)]
        raise _not_in_pieces()


def _not_in_pieces() -> EngineError:
    return EngineError(
        "Code: 48. DB::Exception: a long result of this format cannot be sent as one document with "
        f"the setting {' or '.join(_OF_WHOLE)} of the session; give it with the statement. "
        "(NOT_IMPLEMENTED)"
    )


def _lines_head(data: bytes, lines: int) -> int:
    """Bytes of the first lines; a name in CSV may hold a line feed between quotes."""
    end = 0
    for _ in range(lines):
        start = end
        while True:
            end = data.find(b"\n", end) + 1
            if not end:
                return len(data)
            if data.count(b'"', start, end) % 2 == 0 or data[:1] != b'"':
                break
    return end


def _binary_head(data: bytes, texts: int) -> int:
    """Bytes of the names, and of the types."""

    def number(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            at += 1
            if data[at - 1] < 128:
                return value, at
            shift += 7

    try:
        columns, at = number(0)
        for _ in range(columns * texts):
            size, at = number(at)
            at += size
    except IndexError:  # types that are no texts
        return len(data)
    return at
