"""A source for a file, by what the file is. Called by `in_turn`.

A file is looked at before anything is sent: what it is, and whether what stands in its beginning
can be read. A pipe is looked at when its first bytes have come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.pipeline.fields import Path
from nrtctl.producer.sources import Taken, Unsendable
from nrtctl.producer.sources.files.csv import HEADER_AGAIN, MAX_FIELD, UNCLOSED, CsvRows
from nrtctl.producer.sources.files.delimiters import lines_before_header
from nrtctl.producer.sources.files.jsonl import AUTO, MESSAGES, RAW, JsonLines
from nrtctl.producer.sources.files.kinds import FileSource, Found, Reading
from nrtctl.producer.sources.files.looking import Look, Undecided, look_at
from nrtctl.producer.sources.files.parquet import ColumnRows
from nrtctl.producer.sources.files.reading import CHUNK, Chunks, Seen
from nrtctl.producer.sources.files.text_lines import TextLines
from nrtctl.producer.sources.files.texts import JsonTexts

_ROWS_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be made of the files.

    Attributes:
        types: column = ClickHouse type.
        key: the key, or path, whose value keys a message; None: no keys.
        own_key: whether the user has asked for this key: then no line is taken for a line of
            `consume -o jsonl`, which has its own.
        numbered: whether `origin` will be asked for.
    """

    reading: Reading
    types: Mapping[str, str]
    key: str | Path | None = None
    own_key: bool = False
    numbered: bool = False

    @property
    def described(self) -> bool:
        return self.reading.kind in {None, "json"} and not self.own_key


def open_source(path: str, wanted: Wanted) -> FileSource:
    """What is sent of one file.

    Raises:
        ConfigError: it cannot be read, or is nothing that can be sent.
    """
    chunks = Chunks(path)
    if chunks.waits:
        return Coming(chunks, wanted)
    try:
        look = _look(chunks, wanted)
        _try_beginning(chunks, look, wanted)
        return _source(chunks, look, wanted)
    except BaseException:
        chunks.close()
        raise


class Coming:
    """A source of what comes through a pipe: what it is shows with its first bytes."""

    bulk = False

    def __init__(self, chunks: Chunks, wanted: Wanted) -> None:
        self.unsendable = Unsendable()
        self._chunks = chunks
        self._wanted = wanted
        self._source: FileSource | None = None

    @property
    def found(self) -> Found | None:
        return None if self._source is None else self._source.found

    @property
    def origin(self) -> str:
        return self._chunks.name if self._source is None else self._source.origin

    @property
    def skipped(self) -> int:
        return 0 if self._source is None else self._source.skipped

    @property
    def exhausted(self) -> bool:
        return self._source is not None and self._source.exhausted

    def size_hint(self) -> None:
        return None

    def close(self) -> None:
        self._chunks.close()
        if self._source is not None:
            self._source.close()

    def take(self, limit: int) -> Taken:
        if self._source is None:
            try:
                look = _look(self._chunks, self._wanted)
            except Undecided:
                return []
            self._source = _source(self._chunks, look, self._wanted)
            self._source.unsendable = self.unsendable
        return self._source.take(limit)


def _look(chunks: Chunks, wanted: Wanted) -> Look:
    """Raises Undecided: more of a pipe must have come."""
    head = chunks.look()
    for whole in (chunks.seen_whole, True):
        try:
            return look_at(
                head,
                name=chunks.name,
                inner=chunks.inner,
                whole=whole,
                reading=wanted.reading,
                known=frozenset(wanted.types),
            )
        except Undecided:
            if chunks.waits and not chunks.seen_whole and len(head) < CHUNK:
                raise
    raise Undecided


def _try_beginning(chunks: Chunks, look: Look, wanted: Wanted) -> None:
    """Read what has been seen of it, for nothing.

    Raises:
        ConfigError: a row does not fit, or what comes after a JSON text is none.
    """
    if look.kind not in {"csv", "tsv", "json"}:
        return
    source, fitting = _read_beginning(chunks, look, wanted)
    if isinstance(source, CsvRows) and source.within_lines and not chunks.waits:
        chunks.look(MAX_FIELD + CHUNK)  # a quote that is not closed in them never is
        source, fitting = _read_beginning(chunks, look, wanted)
    count = source.unsendable.count
    if count and not wanted.reading.skip_bad_rows:
        more = f" ({count - 1:,} more of its first rows do not fit either)" if count > 1 else ""
        before = _lines_before_header(chunks, look) if count > fitting and look.form else 0
        hint = (
            "no row of it is sent: correct the file, give --delimiter if something else "
            "separates its cells, or send the other rows with --skip-bad-rows"
        )
        if UNCLOSED in source.unsendable.examples[0]:
            hint = (
                "no row of it is sent: correct the file, give --no-quotes if its quotes are "
                "ordinary text, or send the other rows with --skip-bad-rows"
            )
        elif HEADER_AGAIN in source.unsendable.examples[0]:
            hint = (
                "no row of it is sent: take that line out, or send the other rows with "
                "--skip-bad-rows"
            )
        elif before:
            hint = (
                f"no row of it is sent: most of its rows are like line {before + 1}; if that line "
                f"names the columns, give --skip-lines {before}"
            )
        raise ConfigError(f"{source.unsendable.examples[0]}{more}", hint=hint)


def _read_beginning(chunks: Chunks, look: Look, wanted: Wanted) -> tuple[FileSource, int]:
    """The source, after what has been seen of the file, and how many messages there are in it.

    Raises:
        ConfigError: as of `_try_beginning`.
    """
    source, fitting = _source(Seen(chunks), look, wanted), 0
    try:
        while taken := source.take(_ROWS_AT_A_TIME):
            fitting += len(taken)
    except ConfigError:
        raise
    except NrtctlError as error:
        raise ConfigError(str(error), hint=error.hint) from error
    return source, fitting


def _lines_before_header(chunks: Chunks, look: Look) -> int:
    """How many lines precede the first row that is as wide as most are; 0: none do."""
    if look.form is None:
        return 0
    text = chunks.look().decode(look.encoding, "replace").removeprefix("\ufeff")
    return lines_before_header(text, look.form)


def _source(chunks: Chunks, look: Look, wanted: Wanted) -> FileSource:
    reading, key = wanted.reading, wanted.key
    match look.kind:
        case "parquet" | "arrow" | "orc":
            return ColumnRows(
                chunks, look.kind, fields=wanted.types, key=key, binary=reading.binary
            )
        case "avro":
            from nrtctl.producer.sources.files.avro import AvroRecords

            return AvroRecords(chunks, key=key)
        case "csv" | "tsv":
            return CsvRows(
                chunks,
                fields=wanted.types,
                key=".".join(map(str, key)) if isinstance(key, tuple) else key,
                encoding=look.encoding,
                form=look.form,
                columns=reading.columns,
                decimal_comma=reading.decimal_comma,
            )
    if not look.encoding.startswith("utf-8"):
        chunks.recode(look.encoding)
    if look.kind == "json":
        found = Found(chunks.name, "json", chunks.compression, look.encoding)
        return JsonTexts(chunks, key=key, described=wanted.described, found=found)
    if look.kind == "text":
        return TextLines(chunks, key=key, encoding=look.encoding, numbered=wanted.numbered)
    form = MESSAGES if reading.kind == "messages" else AUTO if wanted.described else RAW
    return JsonLines(chunks, key=key, form=form, encoding=look.encoding, numbered=wanted.numbered)
