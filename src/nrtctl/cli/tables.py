"""Tables as text: as wide as they need, narrower on a terminal, a line a value where that is too
narrow. Used by `output`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nrtctl.cli.diagnostics import color_options
from nrtctl.view.colours import BAD

MIN_TEXT_WIDTH = 16
"""A column of text is folded to no less than this."""
LEAST_CUT, LEAST_LAST = 19, 10
"""Where a row is one line, its texts are cut to no less: a time is whole, the last is a preview."""
UNBOUNDED = 10_000


class Cell(NamedTuple):
    """`bad`: it tells of a fault."""

    text: str
    bad: bool = False

    @property
    def width(self) -> int:
        return _width(self.text)

    def within(self, width: int) -> Text:
        """On one line of `width`."""
        text = self.text.replace("\n", " ")
        short = text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"
        return Text(short, style=BAD if self.bad else "")

    @property
    def whole(self) -> Text:
        return Text(self.text, style=BAD if self.bad else "")


Rows = Sequence[Sequence[Cell]]


class Layout:
    """One table, written in parts: `begin`, then `more` with the rows that did not come at once."""

    def __init__(self, names: Sequence[str], color: str, *, a_line_each: bool = False) -> None:
        self._names = names
        self._terminal = sys.stdout.isatty()
        self._a_line_each = a_line_each and self._terminal
        options: Any = color_options(color)
        width = None if self._terminal else UNBOUNDED
        self._console = Console(highlight=False, width=width, **options)
        self._headings = [_width(name) for name in names]
        self._words = [max(map(cell_len, name.split()), default=0) for name in names]
        self._widest = [0] * len(names)

    def begin(self, numbers: Sequence[bool], rows: Rows) -> None:
        self._numbers = numbers
        self._upright = self._shares(rows) is None
        self._write(rows, first=True)

    def more(self, rows: Rows) -> None:
        if rows:
            self._write(rows, first=False)

    def _shares(self, rows: Rows) -> tuple[int, list[int]] | None:
        """The gap between columns, and their widths; None: there is no room for them side by side.

        Headings are broken between their words first, then text is folded; numbers and the words
        of a heading stay whole.
        """
        for at in range(len(self._names)):
            self._widest[at] = max([self._widest[at], *(row[at].width for row in rows)])
        full = [max(both) for both in zip(self._headings, self._widest, strict=True)]
        least = [
            max(word, widest if number else min(widest, text))
            for word, widest, number, text in zip(
                self._words, self._widest, self._numbers, self._least_of_texts(), strict=True
            )
        ]
        if not self._terminal:
            return 2, full
        room = self._console.width
        for gap in (2, 1):
            between = gap * (len(full) - 1)
            if sum(least) + between <= room:
                broken = [max(both) for both in zip(self._words, self._widest, strict=True)]
                widths = _narrowed(full, broken, room - between)
                # What a row is about stays whole as long as the rest has room.
                widths = _narrowed(widths, [*full[:1], *least[1:]], room - between)
                return gap, _narrowed(widths, least, room - between)
        return None

    def _least_of_texts(self) -> list[int]:
        """Of a line each, the last column is cut first."""
        if not self._a_line_each:
            return [MIN_TEXT_WIDTH] * len(self._names)
        return [LEAST_CUT] * (len(self._names) - 1) + [LEAST_LAST]

    def _write(self, rows: Rows, *, first: bool) -> None:
        shares = None if self._upright else self._shares(rows)
        if shares is None:
            self._values(rows, first=first)
            return
        gap, widths = shares
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, gap - 1, 0, 0),
            show_header=first,
        )
        for name, number, width in zip(self._names, self._numbers, widths, strict=True):
            table.add_column(
                Text(name),
                justify="right" if number else "left",
                overflow="fold",
                width=width,
            )
        for row in rows:
            if self._a_line_each:
                table.add_row(
                    *(each.within(width) for each, width in zip(row, widths, strict=True))
                )
            else:
                table.add_row(*(each.whole for each in row))
        with self._console.capture() as captured:
            self._console.print(table)
        for line in captured.get().splitlines():
            sys.stdout.write(line.rstrip() + "\n")

    def _values(self, rows: Rows, *, first: bool) -> None:
        """Each value on a line of its own, a blank line between rows."""
        width = max(map(_width, self._names))
        for row in rows:
            if not first:
                sys.stdout.write("\n")
            first = False
            for name, value in zip(self._names, row, strict=True):
                line = Text(f"{name:<{width}}  ").append_text(value.whole)
                with self._console.capture() as captured:
                    self._console.print(line, soft_wrap=True)
                sys.stdout.write(captured.get().rstrip() + "\n")


def write_coloured(text: str, style: str, color: str) -> None:
    """A line of text to stdout, coloured where colours are wanted."""
    options: Any = color_options(color)
    console = Console(highlight=False, **options)
    with console.capture() as captured:
        console.print(Text(text, style=style), soft_wrap=True)
    sys.stdout.write(captured.get())


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """As far as needed, the widest first, none below its `least`."""
    found = list(widths)
    while (over := sum(found) - room) > 0:
        at = max(range(len(found)), key=lambda at: (found[at] > least[at], found[at]))
        if found[at] <= least[at]:
            break
        others = [each for other, each in enumerate(found) if other != at and each > least[other]]
        to = max(least[at], max(others, default=0) - 1, found[at] - over)
        found[at] = to
    return found


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")), default=0)
