"""What separates the cells of a file, found in its header and first rows. Called by `looking`."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from nrtctl.errors import ConfigError

CANDIDATES = (",", ";", "\t", "|", " ")
NAMED = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " ",
    "colon": ":",
}  # fmt: skip
_SAID = re.compile(r'"?sep=(.)"?', re.I)
"""The first line by which Excel is told, and tells, the separator."""
_ROWS = 100
_FIELDS = re.compile(r"#fields:?\s+(\S.*)", re.I)
_A_NUMBER = re.compile(r"[-+]?[0-9][0-9.,:/ -]*")


_QUOTED = re.compile('"[^"]*(?:""[^"]*)*"(?!")')


@dataclass(frozen=True, slots=True)
class Form:
    """How a CSV file is written.

    Attributes:
        skip: lines before the header.
        spaced: spaces after a separator are no part of the cell.
        comments: lines that begin with # are no rows, and one of them names the columns.
    """

    delimiter: str = ","
    quotes: bool = True
    skip: int = 0
    spaced: bool = False
    comments: bool = False

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quotes else csv.QUOTE_NONE,
            skipinitialspace=self.spaced,
            strict=True,
        )

    def quote_opened_in(self, lines: Sequence[str]) -> int | None:
        """In which of the lines of a record a quote is opened that they do not close; None: in
        none."""
        text, at = "".join(lines), 0
        while self.quotes:
            while self.spaced and text[at : at + 1] == " ":
                at += 1
            if text[at : at + 1] == '"':
                closed = _QUOTED.match(text, at)
                if closed is None:
                    return text.count("\n", 0, at)
                at = closed.end()
            at = text.find(self.delimiter, at) + 1
            if not at:
                break
        return None


def delimiter_named(text: str) -> str:
    """The separator that a user has typed: a character, or its name.

    Raises:
        ConfigError: it cannot separate.
    """
    found = NAMED.get(text.lower(), text)
    if len(found) != 1 or found in '"\r\n\0':
        names = ", ".join(name for name in NAMED if name.isalpha())
        raise ConfigError(
            f"--delimiter {text!r} is not one character", hint=f"its names are {names}"
        )
    return found


@dataclass(frozen=True, slots=True)
class Beginning:
    """The beginning of a CSV file, and what is known of it.

    Attributes:
        whole: the text is all of the file.
        known: names that its columns may have; empty: no one knows.
        columns: the names of its columns; empty: its first row has them.
        skip: lines before the header.
    """

    text: str
    whole: bool
    known: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()
    quotes: bool = True
    skip: int = 0

    def lines(self) -> list[str]:
        found = _lines(self.text)
        if not self.whole and len(found) > 1 and not found[-1].endswith("\n"):
            del found[-1]
        return found[self.skip :]


@dataclass(frozen=True, slots=True)
class _Tried:
    """A separator, and what the text looks like with it. `fitting` is the share of its rows that
    have as many cells as the header."""

    form: Form
    names: tuple[str, ...]
    rows: list[list[str]]
    fitting: float

    def hits(self, known: frozenset[str]) -> int:
        return len(known & set(self.names))

    def rank(self, known: frozenset[str]) -> tuple[int, bool, bool, float, int]:
        several = len(self.names) > 1
        return (
            self.hits(known), several, self.form.delimiter != " ", self.fitting, len(self.names),
        )  # fmt: skip


def form_of(beginning: Beginning) -> Form:
    """The form that the beginning of a CSV file shows; with commas, where it shows none."""
    first = next(iter(beginning.lines()), "").strip()
    if said := _SAID.fullmatch(first):
        return Form(said[1], beginning.quotes, beginning.skip + 1)
    found = _best(beginning)
    return found.form if found else Form(quotes=beginning.quotes, skip=beginning.skip)


def names_in_comment(line: str) -> list[str]:
    """The names of columns in a line such as `#Fields: date time c-ip`; empty: it has none."""
    found = _FIELDS.match(line)
    return found[1].split() if found else []


def form_with_comments(beginning: Beginning) -> Form | None:
    """The form of a log whose columns are named in a comment, as Zeek, IIS and CloudFront write
    it; None: it is none."""
    lines = beginning.lines()
    if not lines or not lines[0].startswith("#"):
        return None
    naming = next((line for line in lines if names_in_comment(line)), "")
    if not naming:
        return None
    first = next((line for line in lines if not line.startswith("#") and line.strip()), naming)
    tabs = "\t" in first or "\t" in naming
    quotes = beginning.quotes and not tabs
    return Form("\t" if tabs else " ", quotes, beginning.skip, comments=True)


def lines_before_header(text: str, form: Form) -> int:
    """How many lines precede the first row that is as wide as most are."""
    lines = _lines(text)[form.skip :]
    reader = csv.reader(
        lines, delimiter=form.delimiter, skipinitialspace=form.spaced,
        quoting=csv.QUOTE_MINIMAL if form.quotes else csv.QUOTE_NONE,
    )  # fmt: skip
    widths: list[tuple[int, int]] = []
    before = 0
    try:
        for row in reader:
            if any(row):
                widths.append((len(row), before))
            before = reader.line_num
            if len(widths) == _ROWS:
                break
    except csv.Error:
        pass
    counted = Counter(width for width, _ in widths)
    width, count = max(counted.items(), key=lambda each: each[1], default=(0, 0))
    if width < 2 or count < 2:
        return 0
    return form.skip + next(at for each, at in widths if each == width)


def shows_columns(beginning: Beginning) -> bool:
    """Whether a text must be CSV, whatever its name: two columns or more, one of them known, or
    else all with names, and every row fits."""
    found = _best(beginning)
    if found is None or len(found.names) < 2 or found.fitting < 1 or not found.rows:
        return False
    if beginning.known:
        return found.hits(beginning.known) > 0
    named = all(name.strip() and not _A_NUMBER.fullmatch(name) for name in found.names)
    return named and len(set(found.names)) == len(found.names)


def _best(beginning: Beginning) -> _Tried | None:
    lines = beginning.lines()
    tried = [_tried(beginning, lines, each) for each in CANDIDATES]
    known = beginning.known
    return max((each for each in tried if each), key=lambda each: each.rank(known), default=None)


def _tried(beginning: Beginning, lines: list[str], delimiter: str) -> _Tried | None:
    form = Form(delimiter, beginning.quotes, beginning.skip)
    rows = _rows(form, lines)
    if rows and delimiter != " " and _all_spaced(rows):
        form = replace(form, spaced=True)
        rows = _rows(form, lines)
    if not rows:
        return None
    names = beginning.columns or tuple(rows.pop(0))
    fitting = [
        len(row) == len(names) or (len(row) == len(names) + 1 and not row[-1]) for row in rows
    ]
    found = _Tried(form, names, rows, sum(fitting) / max(1, len(rows)) if rows else 1.0)
    return found if delimiter != " " or _space_separates(found, beginning.known) else None


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _rows(form: Form, lines: list[str]) -> list[list[str]]:
    """The first rows, up to one that cannot be read."""
    found: list[list[str]] = []
    reader = form.reader(lines)
    try:
        for row in reader:
            if any(row):
                found.append(row)
            if len(found) == _ROWS:
                break
    except csv.Error:
        return found
    return found


def _all_spaced(rows: list[list[str]]) -> bool:
    after = [cell for row in rows for cell in row[1:] if cell]
    return bool(after) and all(cell.startswith(" ") for cell in after)


def _space_separates(tried: _Tried, known: frozenset[str]) -> bool:
    """A space is in many texts: it separates where a known name says so, or where every row fits
    and a column has numbers only."""
    if tried.hits(known):
        return True
    if known or len(tried.names) < 2 or tried.fitting < 1:
        return False
    columns = zip(*tried.rows, strict=False)
    return any(all(map(_A_NUMBER.fullmatch, column)) for column in columns)
