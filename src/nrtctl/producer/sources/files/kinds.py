"""How files are to be read, and what they are found to be. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, get_args

from nrtctl.errors import ConfigError
from nrtctl.producer.sources import Source, Unsendable
from nrtctl.producer.sources.files.delimiters import delimiter_named
from nrtctl.producer.sources.files.encodings import checked
from nrtctl.producer.sources.files.unpacking import Compression

Kind = Literal["jsonl", "messages", "json", "csv", "tsv", "text", "parquet", "avro", "arrow", "orc"]
"""Lines of JSON; lines of `consume -o jsonl`; JSON texts that follow each other, or the elements of
an array, over as many lines as they like; CSV with a header; the same with tabs; lines of any text;
Parquet; Avro files; Arrow files and streams, also as Feather; ORC."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Binary = Literal["text", "base64", "hex"]
BINARIES: tuple[Binary, ...] = get_args(Binary)

Types = dict[tuple[str, ...], str]
"""Places in a message to what the file says is there: a type, or a `Map` of whatever values.
"*" in a place is each element of an array, and each value of a map."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the user says of the files.

    Attributes:
        kind: None: the content decides, and for CSV the name as well.
        encoding: of text; None: a byte order mark or the pattern of zeros decides, else UTF-8.
        delimiter: one character between cells of CSV; None: the header decides.
        skip_lines: lines before the header of CSV.
        columns: names of the columns of CSV that has no header; empty: it has one.
        quotes: whether `"` quotes in CSV.
        decimal_comma: whether numbers in CSV are like 1.234,56.
        skip_bad_rows: whether CSV whose beginning has rows that do not fit is sent without these.
        binary: what bytes of Parquet, Arrow and ORC become: text, which must be UTF-8, or a code.
    """

    kind: Kind | None = None
    encoding: str | None = None
    delimiter: str | None = None
    skip_lines: int = 0
    columns: tuple[str, ...] = ()
    quotes: bool = True
    decimal_comma: bool = False
    skip_bad_rows: bool = False
    binary: Binary = "text"

    def checked(self) -> Reading:
        """The same, with separator and encoding by Python's names.

        Raises:
            ConfigError: a value is none that there is.
        """
        for what, value, known in (("kind", self.kind, KINDS), ("binary", self.binary, BINARIES)):
            if value is not None and value not in known:
                names = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ConfigError(f"{what} {value!r} is not known", hint=f"it can be {names}")
        return replace(
            self,
            encoding=checked(self.encoding) if self.encoding else None,
            delimiter=delimiter_named(self.delimiter) if self.delimiter else None,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is.

    Attributes:
        name: its path, or `stdin`.
        compression: None: none.
        encoding: of text, as Python names it; None: it is no text.
        delimiter: of CSV; None for others.
        header: the names of the columns of CSV or Parquet and its relatives; None for others.
        types: what the file says of its columns that their values in JSON do not show.
    """

    name: str
    kind: Kind
    compression: Compression | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: tuple[str, ...] | None = None
    types: Types = field(default_factory=dict)


class FileSource(Source, Protocol):
    """A source that knows its file."""

    unsendable: Unsendable

    @property
    def found(self) -> Found | None:
        """None: not known before something has been taken."""
        ...

    @property
    def origin(self) -> str:
        """Where the last message of a `take(1)` came from, for people: `export.csv, line 3`."""
        ...
