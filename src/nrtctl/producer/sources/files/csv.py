"""CSV with a header: one row, one JSON object. Called by `opening`.

Cells stay the text they are, except where the pipeline says that a field is a number: `17850.0`
is a number in a Float64 field and text in a String. An empty cell is null, or empty text in a
field that is text and not Nullable. A row that does not fit the header or its types as CSV is
counted with its line, and the others go on.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from nrtctl.config.counted import counted
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.producer.sources import Record, Unsendable
from nrtctl.producer.sources.files.cells import Convert, converter, empty_cell
from nrtctl.producer.sources.files.delimiters import Form, names_in_comment
from nrtctl.producer.sources.files.encodings import checked
from nrtctl.producer.sources.files.kinds import Found
from nrtctl.producer.sources.files.reading import MAX_LINE, Chunks, wrong_encoding
from nrtctl.producer.sources.marks import FOREIGN

MAX_FIELD = 2**20
OTHER_NAMES = (
    "--columns NAMES names the columns if the first line is a row already; if it is a header, "
    "--skip-lines 1 --columns NAMES replaces it"
)


UNCLOSED = "a quote is opened that is not closed"
HEADER_AGAIN = "the line that names the columns is there again"


class _NoLineYet(Exception):
    """The input holds no further complete line at this moment."""


class CsvRows:
    """Messages from the rows of a CSV file.

    A first column without a name, as pandas writes its index, is left out. So is a last one, where
    all lines end with a separator, and nothing follows it.

    Args:
        source: a path, or what has been opened already.
        fields: column = ClickHouse type, as in `Pipeline.keys_to_types`.
        key: the column whose text keys the message; None: no keys.
        encoding: of the file; a byte order mark is no part of the first name.
        form: how cells are separated.
        columns: their names, where the file has no header.
        decimal_comma: whether numbers are like 1.234,56.

    Raises:
        ConfigError: no such file or encoding; later, from `take`: no header, or one that leaves a
            column without a name, names one twice, or lacks the key.
    """

    bulk = False

    def __init__(
        self,
        source: str | Chunks,
        *,
        fields: Mapping[str, str],
        key: str | None = None,
        encoding: str = "utf-8",
        form: Form | None = None,
        columns: tuple[str, ...] = (),
        decimal_comma: bool = False,
    ) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self._encoding = checked(encoding)
        self._lines = _TextLines(source, self._encoding)
        self._chunks = self._lines.chunks
        self._name = self._chunks.name
        self._form = form or Form()
        self._to_skip = self._form.skip
        self._fields = fields
        self._key = key
        self._decimal_comma = decimal_comma
        self._key_index: int | None = None
        self._names: list[str] = []
        self._first_line: list[str] = []
        self._header: list[list[str]] = []
        self._kept = slice(None)
        self._width = 0
        self._nothing_last = False
        self._seen_a_row = False
        self._empties: list[str | None] = []
        self._conversions: list[tuple[int, Convert]] = []
        self._ended = False
        csv.field_size_limit(MAX_FIELD)
        self._reader = self._form.reader(self._lines)
        self._columns_given = bool(columns)
        if columns:
            self._name_columns(list(columns))

    @property
    def exhausted(self) -> bool:
        return self._ended

    @property
    def within_lines(self) -> bool:
        """Whether a record has begun that goes on after the lines that have come."""
        return len(self._lines.record) > 1

    @property
    def found(self) -> Found | None:
        if not self._names:
            return None
        return Found(
            self._name, "csv", self._chunks.compression, self._encoding, self._form.delimiter,
            tuple(self._names),
        )  # fmt: skip

    @property
    def origin(self) -> str:
        return f"{self._name}, {_lines(*self._lines.last_record())}"

    def size_hint(self) -> tuple[int, int] | None:
        chunks = self._chunks
        return None if chunks.size is None else (chunks.bytes_read, chunks.size)

    def close(self) -> None:
        self._chunks.close()

    def take(self, limit: int) -> list[Record]:
        records: list[Record] = []
        lines = self._lines
        while len(records) < limit and not self._ended:
            try:
                if self._to_skip:
                    next(lines, None)
                    self._to_skip -= 1
                    lines.end_record()
                    continue
                if self._form.comments and lines.first().startswith("#"):
                    self._read_comment(next(lines))
                    lines.end_record()
                    continue
                row = next(self._reader, None)
            except _NoLineYet:
                lines.start_record_again()
                break
            except csv.Error as error:
                bare = "new-line character" in str(error)
                if bare and not self._names:
                    raise ConfigError(
                        f"{self._name}: its lines end with CR alone",
                        hint=f"tr '\\r' '\\n' < {self._name} makes them lines: pipe that into the "
                        "command, and name the file -, with --format csv",
                    ) from error
                self._reject("a CR outside of quotes" if bare else self._why(str(error)))
            else:
                if row is None:
                    self._end()
                elif not row or (self._width > 1 and len(row) == 1 and not row[0].strip()):
                    self.skipped += 1
                elif self._names:
                    self._send(row, records)
                else:
                    self._read_header(row)
            lines.end_record()
        return records

    def _why(self, said: str) -> str:
        """What csv says of a record, or that a quote in it is never closed: then the lines after
        that of the quote are read again, as other records."""
        at_end = said == "unexpected end of data"
        opened = self._form.quote_opened_in(self._lines.record)
        if opened is None or not (at_end or said.startswith("field larger")):
            return said
        self._lines.keep_first(opened + 1)
        if at_end:
            return UNCLOSED
        return f"{UNCLOSED} within the next {MAX_FIELD >> 20} MiB"

    def _end(self) -> None:
        self._ended = True
        if not self._names:
            raise ConfigError(
                f"{self._name} is empty", hint="a CSV input starts with a header that names columns"
            )

    def _read_comment(self, line: str) -> None:
        names = names_in_comment(line)
        if names and not self._columns_given and names != self._names:
            self._width = 0
            self._name_columns(names)

    def _read_header(self, names: list[str]) -> None:
        names[0] = names[0].removeprefix("\ufeff")
        self._width = len(names)
        self._first_line = list(names)
        first = 1 if len(names) > 1 and not names[0].strip() else 0
        last = len(names)
        if last - first > 1 and not names[-1].strip():
            self._nothing_last = True
            last -= 1
        self._kept = slice(first, last)
        self._name_columns(names[self._kept])

    def _name_columns(self, names: list[str]) -> None:
        for name in names:
            if not name.strip():
                place = names.index(name) + 1 + (self._kept.start or 0)
                raise ConfigError(f"{self._name}: column {place} has no name", hint=OTHER_NAMES)
            if names.count(name) > 1:
                raise ConfigError(f"{self._name}: two columns are named {name!r}", hint=OTHER_NAMES)
        if self._key is not None:
            if self._key not in names:
                raise ConfigError(
                    f"{self._name} has no column {self._key!r} for the key",
                    hint=f"its columns are {', '.join(names)}; see --key and pipeline.key",
                )
            self._key_index = names.index(self._key)
        self._names = names
        self._width = self._width or len(names)
        self._conversions = []
        if len(names) > 1:
            whole = self._first_line or names
            firsts = (whole[0], f"\ufeff{whole[0]}", f'\ufeff"{whole[0]}"')
            self._header = [[first, *whole[1:]] for first in firsts]
        types = [self._fields.get(name) for name in names]
        self._empties = [empty_cell(kind) for kind in types]
        for place, kind in enumerate(types):
            if convert := converter(kind or "String", decimal_comma=self._decimal_comma):
                self._conversions.append((place, convert))

    def _send(self, row: list[str], records: list[Record]) -> None:
        if len(row) != self._width and not self._fits_otherwise(row):
            self._reject(f"{counted(len(row), 'cell')}, but the header has {self._width}")
            return
        if row in self._header:
            self._reject(HEADER_AGAIN)
            return
        self._seen_a_row = True
        if self._nothing_last and row[-1]:
            self._reject(f"the last cell, {row[-1][:40]!r}, is in a column without a name")
            return
        if len(row) != len(self._names):
            row = row[self._kept]
        cells: list[Any] = row
        key = None
        if self._key_index is not None:
            key = row[self._key_index].encode("utf-8", "surrogateescape") or None
        if "" in row:
            cells = [cell or empty for cell, empty in zip(row, self._empties, strict=True)]
        for place, convert in self._conversions:
            if cell := cells[place]:
                cells[place] = convert(cell)
        try:
            value = orjson.dumps(dict(zip(self._names, cells, strict=True)))
        except TypeError:
            self._reject(f"text that is not {self._encoding.removesuffix('-sig')}")
            return
        records.append((key, value, None, FOREIGN))

    def _fits_otherwise(self, row: list[str]) -> bool:
        """Whether this is the first row, and shows that all rows end with a separator."""
        if self._seen_a_row or len(row) != self._width + 1 or row[-1]:
            return False
        self._width += 1
        self._nothing_last = True
        self._kept = slice(self._kept.start, len(self._names) + (self._kept.start or 0))
        return True

    def _reject(self, reason: str) -> None:
        where = _lines(*self._lines.record_lines())
        self.unsendable.add(f"{self._name}, {where}: {reason}")


def _lines(first: int, last: int) -> str:
    return f"line {first}" if first == last else f"lines {first} to {last}"


class _TextLines:
    """The iterator under csv.reader: decoded lines, those of the present record kept.

    A record that is not complete yet is read again from its first line when more has come.

    Attributes:
        record: the lines of the present record.
    """

    def __init__(self, source: str | Chunks, encoding: str) -> None:
        decoder = codecs.getincrementaldecoder(encoding)
        self.chunks = Chunks(source) if isinstance(source, str) else source
        self._decoder = decoder("surrogateescape")
        self._lines: deque[str] = deque()
        self._rest: list[str] = []
        self._rest_size = 0
        self.record: list[str] = []
        self._position = 0
        self._before = self._before_last = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._position < len(self.record):
            line = self.record[self._position]
        else:
            line = self._lines.popleft() if self._lines else self._next_line()
            self.record.append(line)
        self._position += 1
        return line

    def first(self) -> str:
        """The first line of the next record, which stays to be read; empty: there is none."""
        if self.record:
            return self.record[0]
        if not self._lines:
            try:
                self._lines.appendleft(self._next_line())
            except StopIteration:
                return ""
        return self._lines[0]

    def start_record_again(self) -> None:
        self._position = 0

    def keep_first(self, count: int) -> None:
        """The lines of the present record after these belong to the next ones."""
        self._lines.extendleft(reversed(self.record[count:]))
        del self.record[count:]

    def end_record(self) -> None:
        self._before_last = self._before
        self._before += len(self.record)
        self.record.clear()
        self._position = 0

    def last_record(self) -> tuple[int, int]:
        """First and last line of the record that was ended last."""
        return self._before_last + 1, self._before

    def record_lines(self) -> tuple[int, int]:
        """First and last line of the present record, counted from 1."""
        return self._before + 1, self._before + max(1, len(self.record))

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
            raise wrong_encoding(self.chunks.name, error) from error
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
