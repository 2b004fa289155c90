"""How files are read: the options of every command that reads some."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from nrtctl.producer.sources.files.kinds import Binary, Kind, Reading

FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Read files as jsonl, messages, json, csv, tsv, text, parquet, avro, arrow or orc; "
        "otherwise the format is recognised by the content, and CSV by the file name.",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Read text in this encoding; otherwise as UTF-8, or as UTF-16 or UTF-32 if it "
        "looks like that.",
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHARACTER",
        help="Split CSV rows at this character, or at comma, semicolon, tab, pipe or space by "
        "name; otherwise it is found in the header.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Give CSV columns these names, separated by commas, if there is no header.",
    ),
]
SkipLines = Annotated[
    int,
    typer.Option(metavar="COUNT", min=0, help="Skip this many lines before the CSV header."),
]
NoQuotes = Annotated[
    bool,
    typer.Option("--no-quotes", help='Treat the character " in CSV as ordinary text.'),
]
DecimalComma = Annotated[
    bool,
    typer.Option(
        "--decimal-comma", help="Read numbers in CSV with a decimal comma, as in 1.234,56."
    ),
]
SkipBadRows = Annotated[
    bool,
    typer.Option(
        "--skip-bad-rows",
        help="Leave out CSV rows that do not fit the header; otherwise one near the beginning "
        "of a file is an error.",
    ),
]
BinaryAs = Annotated[
    str,
    typer.Option(
        "--binary",
        metavar="FORM",
        help="Send binary values of Parquet, Arrow and ORC as text (which must be UTF-8), base64 "
        "or hex.",
    ),
]


_OF_CSV = (
    "delimiter", "columns", "skip_lines", "no_quotes", "decimal_comma", "skip_bad_rows",
)  # fmt: skip
FORMATS = {**dict.fromkeys(_OF_CSV, ("csv", "tsv")), "binary": ("parquet", "arrow", "orc")}
"""The formats that an option is about, where it is not about all of them."""


@dataclass(frozen=True)
class HowToRead:
    """All of them."""

    format: FileFormat = None
    encoding: Encoding = None
    delimiter: Delimiter = None
    columns: Columns = None
    skip_lines: SkipLines = 0
    no_quotes: NoQuotes = False
    decimal_comma: DecimalComma = False
    skip_bad_rows: SkipBadRows = False
    binary: BinaryAs = "text"

    def reading(self) -> Reading:
        """Raises ConfigError: a value is none that there is."""
        from nrtctl.errors import ConfigError
        from nrtctl.producer.sources.files.kinds import BINARIES, KINDS, Reading

        for option, value, known in (
            ("format", self.format, KINDS), ("binary", self.binary, BINARIES)
        ):  # fmt: skip
            if value and value not in known:
                names = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ConfigError(f"--{option} {value!r} is not known", hint=f"it can be {names}")
        self._refuse_for_another_format()
        return Reading(
            kind=cast("Kind | None", self.format or None),
            encoding=self.encoding or None,
            delimiter=self.delimiter or None,
            skip_lines=self.skip_lines,
            columns=tuple(name.strip() for name in self.columns.split(",")) if self.columns else (),
            quotes=not self.no_quotes,
            decimal_comma=self.decimal_comma,
            skip_bad_rows=self.skip_bad_rows,
            binary=cast("Binary", self.binary),
        ).checked()

    def _refuse_for_another_format(self) -> None:
        """Raises ConfigError: an option would change nothing in files of the format that was named.
        Where the content decides, it is for those of the files that it is about."""
        from nrtctl.errors import ConfigError

        if self.format is None:
            return
        for each in fields(self):
            about = FORMATS.get(each.name, (self.format,))
            if self.format not in about and getattr(self, each.name) != each.default:
                raise ConfigError(
                    f"{_option(each.name)} is for {' and '.join(about)}, and cannot be used with "
                    f"--format {self.format}"
                )

    def as_arguments(self) -> list[str]:
        """As they are typed."""
        found = []
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default:
                option = _option(each.name)
                found += [option] if value is True else [option, str(value)]
        return found


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


AS_FOUND = HowToRead()
"""Nothing was said: the files' content decides."""
