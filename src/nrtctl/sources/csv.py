"""CSV with a header: one row, one JSON object. Called by `produce --input`.

Cells stay the text they are, except where the pipeline says that a field is a number: `17850.0`
is a number in a Float64 field and text in a String. An empty cell is null. A row that does not
fit the header or its types as CSV is counted with its line, and the others go on.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.sources import Record, Unsendable
from nrtctl.sources.marks import FOREIGN
from nrtctl.sources.reading import STDIN, Chunks

MAX_FIELD = 2**20
MAX_LINE = 64 * 2**20
_NUMBER_TYPE = re.compile(r"U?Int(8|16|32|64|128|256)|B?Float(16|32|64)|Decimal.*")
_WRAPPER = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}
Convert = Callable[[str], Any]


class _NoLineYet(Exception):
    """The input holds no further complete line at this moment."""


class CsvRows:
    """Messages from the rows of a CSV file.

    Args:
        path: a file, or `-` for stdin.
        fields: JSON field = ClickHouse type, as in `Pipeline.fields`.
        key: the column whose text keys the message; None: no keys.
        encoding: of the file; a byte order mark is no part of the first name.

    Raises:
        ConfigError: no such file or encoding; later, from `take`: no header, or one that leaves a
            column without a name, names one twice, or lacks the key.
    """

    def __init__(
        self,
        path: str,
        *,
        fields: Mapping[str, str],
        key: str | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self._name = "stdin" if path == STDIN else path
        self._encoding = encoding
        self._lines = _TextLines(path, encoding)
        self._fields = fields
        self._key = key
        self._key_index: int | None = None
        self._names: list[str] = []
        self._converters: list[Convert] = []
        self._ended = False
        csv.field_size_limit(MAX_FIELD)
        self._reader = csv.reader(self._lines, strict=True)

    @property
    def exhausted(self) -> bool:
        return self._ended

    @property
    def bulk(self) -> bool:
        return False

    def size_hint(self) -> tuple[int, int] | None:
        chunks = self._lines.chunks
        return None if chunks.size is None else (chunks.bytes_read, chunks.size)

    def close(self) -> None:
        self._lines.chunks.close()

    def take(self, limit: int) -> list[Record]:
        records: list[Record] = []
        while len(records) < limit and not self._ended:
            try:
                row = next(self._reader, None)
            except _NoLineYet:
                self._lines.start_record_again()
                break
            except csv.Error as error:
                self._reject(str(error))
            else:
                if row is None:
                    self._end()
                elif not row:
                    self.skipped += 1
                elif self._names:
                    self._send(row, records)
                else:
                    self._read_header(row)
            self._lines.end_record()
        return records

    def _end(self) -> None:
        self._ended = True
        if not self._names:
            raise ConfigError(
                f"{self._name} is empty", hint="a CSV input starts with a header that names columns"
            )

    def _read_header(self, names: list[str]) -> None:
        names[0] = names[0].removeprefix("\ufeff")
        for name in names:
            if not name.strip():
                raise ConfigError(f"{self._name}: column {names.index(name) + 1} has no name")
            if names.count(name) > 1:
                raise ConfigError(f"{self._name}: two columns are named {name!r}")
        if self._key is not None:
            if self._key not in names:
                raise ConfigError(
                    f"{self._name} has no column {self._key!r} to key by",
                    hint=f"its columns are {', '.join(names)}; see --key and pipeline.key",
                )
            self._key_index = names.index(self._key)
        self._names = names
        self._converters = [converter(self._fields.get(name, "String")) for name in names]

    def _send(self, row: list[str], records: list[Record]) -> None:
        if len(row) != len(self._names):
            self._reject(f"{len(row)} cells, where the header has {len(self._names)}")
            return
        cells = zip(self._names, self._converters, row, strict=True)
        try:
            value = orjson.dumps(
                {name: convert(cell) if cell else None for name, convert, cell in cells}
            )
        except TypeError:
            self._reject(f"text that is not {self._encoding}")
            return
        key = None if self._key_index is None else row[self._key_index].encode() or None
        records.append((key, value, None, FOREIGN))

    def _reject(self, reason: str) -> None:
        first, last = self._lines.record_lines()
        where = f"line {first}" if first == last else f"lines {first} to {last}"
        self.unsendable.add(f"{self._name}, {where}: {reason}")


def converter(clickhouse_type: str) -> Convert:
    """From a cell's text to the value that a field of `clickhouse_type` should see in JSON.

    Numbers keep their digits exactly; what is no number (or boolean) stays text, for the pipeline
    to judge.
    """
    while wrapped := _WRAPPER.fullmatch(clickhouse_type.strip()):
        clickhouse_type = wrapped[1]
    if _NUMBER_TYPE.fullmatch(clickhouse_type.strip()):
        return lambda cell: orjson.Fragment(cell) if _NUMBER.fullmatch(cell) else cell
    if clickhouse_type.strip() in {"Bool", "Boolean"}:
        return lambda cell: _BOOLEANS.get(cell.lower(), cell)
    return str


class _TextLines:
    """The iterator under csv.reader: decoded lines, those of the present record kept.

    A record that is not complete yet is read again from its first line when more has come.
    """

    def __init__(self, path: str, encoding: str) -> None:
        try:
            decoder = codecs.getincrementaldecoder(encoding)
        except LookupError as error:
            raise ConfigError(
                f"{encoding!r} is no encoding", hint="for example utf-8, utf-16, cp1252, latin-1"
            ) from error
        self.chunks = Chunks(path)
        self._decoder = decoder("surrogateescape")
        self._lines: deque[str] = deque()
        self._rest: list[str] = []
        self._rest_size = 0
        self._record: list[str] = []
        self._position = 0
        self._before = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._position < len(self._record):
            line = self._record[self._position]
        else:
            line = self._next_line()
            self._record.append(line)
        self._position += 1
        return line

    def start_record_again(self) -> None:
        self._position = 0

    def end_record(self) -> None:
        self._before += len(self._record)
        self._record.clear()
        self._position = 0

    def record_lines(self) -> tuple[int, int]:
        """First and last line of the present record, counted from 1."""
        return self._before + 1, self._before + max(1, len(self._record))

    def _next_line(self) -> str:
        while not self._lines:
            if self.chunks.ended:
                raise StopIteration
            chunk = self.chunks.read()
            if not chunk and not self.chunks.ended:
                raise _NoLineYet
            self._split(chunk)
        return self._lines.popleft()

    def _split(self, chunk: bytes) -> None:
        ended = self.chunks.ended
        try:
            text = self._decoder.decode(chunk, final=ended)
        except UnicodeError as error:
            raise NrtctlError(
                f"{self.chunks.name} is not in this encoding: {error}", hint="see --encoding"
            ) from error
        *lines, rest = text.split("\n")
        if lines:
            lines[0] = "".join([*self._rest, lines[0]])
            self._rest, self._rest_size = [], 0
            self._lines.extend([line + "\n" for line in lines])
        if rest:
            self._rest.append(rest)
            self._rest_size += len(rest)
        if ended and self._rest:
            self._lines.append("".join(self._rest))
            self._rest = []
        if self._rest_size > MAX_LINE:
            raise NrtctlError(f"{self.chunks.name}: a line is longer than {MAX_LINE >> 20} MiB")
