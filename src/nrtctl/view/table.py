"""What fits into a width: a table, whose least needed columns go, and text in lines.

Used by the blocks and the screens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """`rank`: 0 stays, the highest goes first. Text columns may be cut to `least`."""

    title: str
    rank: int = 0
    text: bool = False
    least: int = 8


def lay(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, styles: Sequence[str]
) -> tuple[Text, list[Text]]:
    """The heading and the rows, no wider than `width`.

    Args:
        rows: a cell for each column.
        styles: one for each row, "" for none.
    """
    widths = [
        max([cell_len(column.title), *(cell_len(row[at]) for row in rows)])
        for at, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))

    def total() -> int:
        return sum(widths[at] for at in shown) + GAP * (len(shown) - 1)

    while total() > width:
        texts = [at for at in shown if columns[at].text and widths[at] > columns[at].least]
        if texts:
            widest = max(texts, key=lambda at: widths[at])
            over = total() - width
            widths[widest] = max(columns[widest].least, widths[widest] - over)
            continue
        goes = max(shown, key=lambda at: (columns[at].rank, at))
        if columns[goes].rank == 0:
            break
        shown.remove(goes)

    def line(cells: Sequence[str], style: str) -> Text:
        parts = []
        for at in shown:
            cell, room = cells[at], widths[at]
            short = cell if cell_len(cell) <= room else set_cell_size(cell, room - 1) + "…"
            pad = " " * (room - cell_len(short))
            parts.append(short + pad if columns[at].text else pad + short)
        return Text((" " * GAP).join(parts).rstrip(), style=style)

    heading = line([column.title for column in columns], "dim")
    return heading, [line(row, style) for row, style in zip(rows, styles, strict=True)]


def folded(text: Text, width: int, most: int, indent: int = 3) -> list[Text]:
    """On as many lines as it needs, `most` at most; `indent` spaces before all but the first."""
    lines: list[Text] = []
    while text.cell_len > width and len(lines) < most - 1:
        at = text.plain.rfind(" ", max(8, indent + 1), width)
        at = at if at > 0 else width
        lines.append(text[:at])
        text = Text(" " * indent).append_text(text[at + 1 :])
    text.truncate(width, overflow="ellipsis")
    return [*lines, text]
