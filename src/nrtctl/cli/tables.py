"""Tables as text: as wide as they need, narrower on a terminal, a line a value where that is too
narrow. Used by `output`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nrtctl.cli.diagnostics import color_options

MIN_TEXT_WIDTH = 16
"""A column of text is folded to no less than this."""
UNBOUNDED = 10_000
Rows = Sequence[Sequence[str]]


class Layout:
    """One table, written in parts: `begin`, then `more` with the rows that did not come at once."""

    def __init__(self, names: Sequence[str], color: str) -> None:
        self._names = names
        self._terminal = sys.stdout.isatty()
        options: Any = color_options(color)
        width = None if self._terminal else UNBOUNDED
        self._console = Console(highlight=False, width=width, **options)
        self._widths = [0] * len(names)

    def begin(self, numbers: Sequence[bool], rows: Rows) -> None:
        self._numbers = numbers
        self._widen(rows, [_width(name) for name in self._names])
        full = sum(self._widths) + 2 * (len(self._names) - 1)
        least = sum(self._least(at, rows) + 1 for at in range(len(self._names))) - 1
        self._gap = 2 if full <= self._console.width else 1
        self._upright = least > self._console.width
        self._write(rows, first=True)

    def more(self, rows: Rows) -> None:
        if rows:
            self._widen(rows, self._widths)
            self._write(rows, first=False)

    def _widen(self, rows: Rows, widths: Sequence[int]) -> None:
        for at, width in enumerate(widths):
            self._widths[at] = max([width, *(_width(row[at]) for row in rows)])

    def _least(self, at: int, rows: Rows) -> int:
        word = max(map(cell_len, self._names[at].split()), default=0)
        widest = max((_width(row[at]) for row in rows), default=0)
        return max(word, widest if self._numbers[at] else min(widest, MIN_TEXT_WIDTH))

    def _write(self, rows: Rows, *, first: bool) -> None:
        if self._upright:
            self._values(rows, first=first)
            return
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, self._gap - 1, 0, 0),
            show_header=first,
        )
        fixed = not self._terminal or self._gap == 2
        for name, number, width in zip(self._names, self._numbers, self._widths, strict=True):
            table.add_column(
                Text(name),
                justify="right" if number else "left",
                overflow="fold",
                width=width if fixed else None,
                no_wrap=number and not fixed,
            )
        for row in rows:
            table.add_row(*map(Text, row))
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
                sys.stdout.write(f"{name:<{width}}  {value}".rstrip() + "\n")


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")), default=0)
