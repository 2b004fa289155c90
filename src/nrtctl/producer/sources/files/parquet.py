"""Rows of Parquet, Arrow and ORC: one row, one JSON object. Called by `opening`; needs the extra
`parquet`.

Integers and decimals keep their digits, times become ISO 8601 with the digits that they have
(those with a zone in UTC, with a Z), and not-a-number and the infinities become text, for JSON has
none of them. The file is read in batches, so memory is bounded by a batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import orjson

from nrtctl.config.counted import counted
from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline.fields import Path
from nrtctl.producer.sources import Record, Unsendable
from nrtctl.producer.sources.files.cells import INTEGER_TYPE, plain_type
from nrtctl.producer.sources.files.jsonl import key_of
from nrtctl.producer.sources.files.kinds import Binary, Found, Kind
from nrtctl.producer.sources.files.reading import STDIN, Chunks
from nrtctl.producer.sources.marks import FOREIGN

BATCH_ROWS = 2048
_BUFFER = 2**20
ARROW_FILE = b"ARROW1"


_NAMES: Mapping[Kind, str] = {"parquet": "Parquet", "arrow": "Arrow", "orc": "ORC"}


class ColumnRows:
    """Messages from the rows of a file that is kept by columns.

    Args:
        chunks: of the file. What comes through a pipe, or packed, is first written to a temporary
            file, for the description of such a file stands at its end.
        kind: parquet, arrow or orc.
        fields: column = ClickHouse type: a whole number in a column of floats is an integer
            where the field is one.
        key: the column, or path, whose value keys the message; None: no keys.
        binary: what bytes become.

    Raises:
        ConfigError: pyarrow is not there, the file is damaged, or it lacks the key; of what is
            written to a temporary file first, only pyarrow, and the others from `take`.
    """

    bulk = False

    def __init__(
        self,
        chunks: Chunks,
        kind: Kind,
        *,
        fields: Mapping[str, str],
        key: str | Path | None,
        binary: Binary,
    ) -> None:
        self.unsendable = Unsendable()
        self.skipped = 0
        self.exhausted = False
        self.found: Found | None = None
        self._chunks = chunks
        self._kind: Kind = kind
        self._fields = fields
        self._key = key
        self._binary: Binary = binary
        self._ready: list[tuple[int, Record]] = []
        self._taken = 0
        self._number = 0
        self._rows: int | None = None
        self._spool: IO[bytes] | None = None
        self._batches: Iterator[Any] | None = None
        check_library(kind)
        if chunks.waits or chunks.compression is not None or chunks.path == STDIN:
            self._spool = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        else:
            self._open(chunks.path)

    @property
    def origin(self) -> str:
        return f"{self._chunks.name}, row {self._ready[self._taken - 1][0]}"

    def size_hint(self) -> tuple[int, int] | None:
        size, rows = self._chunks.size, self._rows
        if size is None or rows is None:
            return None
        return size * self._number // max(1, rows), size

    def close(self) -> None:
        self._batches = None
        self._chunks.close()
        if self._spool is not None:
            with suppress(OSError):  # of a full disk, which has been told
                self._spool.close()

    def take(self, limit: int) -> list[Record]:
        if self._batches is None:
            self._write_temporary()
            return []
        if self._taken == len(self._ready):
            self._next_batch(self._batches)
        piece = self._ready[self._taken : self._taken + limit]
        self._taken += len(piece)
        return [record for _, record in piece]

    def _write_temporary(self) -> None:
        if self._spool is None:
            return
        piece = self._chunks.read()
        try:
            self._spool.write(piece)
            if self._chunks.ended:
                self._spool.seek(0)
        except OSError as error:
            where = f"a temporary file in {tempfile.gettempdir()}"
            raise NrtctlError(
                f"{self._chunks.name} cannot be written to {where}: {error.strerror}",
                hint="TMPDIR names another directory for it, or unpack the file and give its name",
            ) from error
        if self._chunks.ended:
            self._open(self._spool)

    def _open(self, file: str | IO[bytes]) -> None:
        import pyarrow as pa

        from nrtctl.producer.sources.files.arrow import twice, types_of

        name, what = self._chunks.name, _NAMES[self._kind]
        try:
            opened = _OPEN[self._kind](file)
            names = tuple(opened.schema.names)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name} is a damaged {what} file: {error}") from error
        for column in names:
            if names.count(column) > 1:
                raise ConfigError(f"{name}: two columns are named {column!r}")
        for field in opened.schema:
            if (again := twice(field.type)) is not None:
                raise ConfigError(
                    f"{name}: two fields in the column {field.name!r} are named {again!r}"
                )
        key = self._key[0] if isinstance(self._key, tuple) else self._key
        if key is not None and key not in names:
            raise ConfigError(
                f"{name} has no column {key!r} for the key",
                hint=f"its columns are {', '.join(names)}; see --key and pipeline.key",
            )
        self._rows, self._batches = opened.rows, opened.batches
        types = types_of(opened.schema)
        packed = self._chunks.compression
        self.found = Found(name, self._kind, packed, header=names, types=types)

    def _next_batch(self, batches: Iterator[Any]) -> None:
        """The next rows that can be sent; none of them: it has ended."""
        import pyarrow as pa

        self._ready, self._taken = [], 0
        while not self._ready:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                why = f"{self._chunks.name} cannot be read any further: {error}"
                raise NrtctlError(
                    why, hint=f"{counted(self._number, 'row')} before that were read"
                ) from error
            if batch is None:
                self.exhausted = True
                return
            self._add(batch)

    def _add(self, batch: Any) -> None:
        import pyarrow as pa

        from nrtctl.producer.sources.files.arrow import Unfit

        first = self._number + 1
        self._number += batch.num_rows
        try:
            rows = self._values(batch)
        except (Unfit, UnicodeDecodeError, TypeError, pa.ArrowException):
            self._add_singly(batch, first)
            return
        self._ready = [
            (number, self._record(value)) for number, value in enumerate(rows, start=first)
        ]

    def _add_singly(self, batch: Any, first: int) -> None:
        """A batch of which not every row can be sent."""
        import pyarrow as pa

        from nrtctl.producer.sources.files.arrow import Unfit

        for place in range(batch.num_rows):
            where = f"{self._chunks.name}, row {first + place}"
            try:
                (value,) = self._values(batch.slice(place, 1))
            except (Unfit, TypeError, pa.ArrowException) as error:
                self.unsendable.add(f"{where}: {error}")
            except UnicodeDecodeError:
                self.unsendable.add(f"{where}: text that is not UTF-8")
            else:
                self._ready.append((first + place, self._record(value)))

    def _values(self, batch: Any) -> list[bytes]:
        """The rows as JSON."""
        from nrtctl.producer.sources.files import arrow

        names, columns = batch.schema.names, []
        for name, values in zip(names, batch.columns, strict=True):
            made = arrow.column(values)
            kind = plain_type(self._fields.get(name, ""))
            integers = INTEGER_TYPE.fullmatch(kind) is not None
            shape = arrow.shape(made.type, self._binary, integers=integers)
            cells = made.to_pylist()
            if shape is not None and (integers or not arrow.is_plain(made)):
                try:
                    cells = [None if cell is None else shape(cell) for cell in cells]
                except arrow.Unfit as error:
                    raise arrow.Unfit(f"column {name!r}: {error}") from None
            columns.append(cells)
        return [
            orjson.dumps(dict(zip(names, row, strict=True)), default=arrow.default)
            for row in zip(*columns, strict=True)
        ]

    def _record(self, value: bytes) -> Record:
        key = None if self._key is None else key_of(value, self._key)
        return key, value, None, FOREIGN


def check_library(kind: Kind) -> None:
    """Raises ConfigError: pyarrow is not installed."""
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"reading {_NAMES[kind]} needs pyarrow, which is not installed",
            hint="install nrtctl with its extra parquet: pip install 'nrtctl[parquet]'",
        ) from error


@dataclass(frozen=True, slots=True)
class _Opened:
    """Attributes: rows: how many there are; None: not known."""

    schema: Any
    rows: int | None
    batches: Iterator[Any]


def _parquet(file: str | IO[bytes]) -> _Opened:
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file, buffer_size=_BUFFER)
    batches = opened.iter_batches(batch_size=BATCH_ROWS)
    return _Opened(opened.schema_arrow, opened.metadata.num_rows, batches)


def _orc(file: str | IO[bytes]) -> _Opened:
    from pyarrow import orc

    opened = orc.ORCFile(file)
    stripes = (opened.read_stripe(number) for number in range(opened.nstripes))
    return _Opened(opened.schema, opened.nrows, _pieces(stripes))


def _arrow(file: str | IO[bytes]) -> _Opened:
    import pyarrow as pa

    source = pa.memory_map(file) if isinstance(file, str) else pa.PythonFile(file)
    stream = source.read(len(ARROW_FILE)) != ARROW_FILE
    source.seek(0)
    if stream:
        incoming = pa.ipc.open_stream(source)
        return _Opened(incoming.schema, None, _pieces(incoming))
    opened = pa.ipc.open_file(source)
    parts = (opened.get_batch(number) for number in range(opened.num_record_batches))
    return _Opened(opened.schema, None, _pieces(parts))


_OPEN: Mapping[Kind, Callable[[str | IO[bytes]], _Opened]] = {
    "parquet": _parquet, "arrow": _arrow, "orc": _orc,
}  # fmt: skip


def _pieces(batches: Iterable[Any]) -> Iterator[Any]:
    """The same rows, not too many at once: as Python's values they take far more memory."""
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)
