"""What a command hands back: values. `cli.formats` writes them in the format that was asked for.

Every start of a command makes these classes, so they have only what is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(eq=False, repr=False)
class Table:
    """Rows with named columns.

    `numbers`: which columns are right-justified for people; None: those that hold numbers.
    `bad`: whether a value of a column is a fault, and red where there are colours.
    `a_line_each`: on a terminal a row is one line, and text that has no room is cut.
    """

    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]
    numbers: Sequence[bool] | None = None
    bad: Callable[[str, Any], bool] = lambda column, value: False
    a_line_each: bool = False

    def as_dicts(self) -> Iterable[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


@dataclass(eq=False, repr=False)
class Bad:
    """A line that tells of a fault: red where there are colours."""

    text: str


@dataclass(eq=False, repr=False)
class Drawing:
    """Something of rich."""

    renderable: Any


@dataclass(eq=False, repr=False)
class Note:
    """Goes to stderr, unless -q was given."""

    text: str


@dataclass(eq=False, repr=False)
class Warn:
    """Goes to stderr."""

    text: str


Block = str | Bad | Table | Drawing | Note | Warn
"""What people read, piece by piece. Text may have several lines."""


@dataclass(eq=False, repr=False, kw_only=True)
class Result:
    """`said`: beside the result, whatever the format; `failure`: how the command ends after it."""

    said: Sequence[Note | Warn] = ()
    failure: BaseException | None = None


@dataclass(eq=False, repr=False)
class Document(Result):
    """One object. `shown`: what people read instead, made only when it is read; None: the JSON."""

    data: Mapping[str, Any]
    shown: Iterable[Block] | None = None


@dataclass(eq=False, repr=False)
class Rows(Result):
    """Any number of objects. `shown`: what people read instead of the table."""

    table: Table
    shown: Iterable[Block] | None = None


@dataclass(eq=False, repr=False)
class Raw(Result):
    """Bytes that are written as they are, in every format."""

    blocks: Iterable[bytes]


@dataclass(eq=False, repr=False)
class Stream(Result):
    """Rows that the server writes in the form that it is asked for. One of the two is called.

    `lines`: blocks of whole JSON lines; where the first is no object, all is written as it is.
    `cells`: the same as a table.
    """

    lines: Callable[[], Iterable[bytes]]
    cells: Callable[[], Iterable[Block] | Raw]
