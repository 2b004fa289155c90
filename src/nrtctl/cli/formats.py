"""The output formats: a class each, and its name. Whoever adds one does it here only.

What commands hand back is in `cli.results`; `Session.show` calls `write`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from nrtctl.cli.streams import stdout_failed

if TYPE_CHECKING:
    from nrtctl.cli.diagnostics import Diagnostics
    from nrtctl.cli.output import Output
    from nrtctl.cli.results import Block, Document, Result, Rows, Stream


class FormatName(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Format(ABC):
    """Writes results to stdout. `about`: what `--help` says of the format."""

    about: ClassVar[str]

    def __init__(self, out: Output, say: Diagnostics) -> None:
        self.out = out
        self.say = say

    def write(self, result: Result) -> None:
        from nrtctl.cli.results import Document, Raw, Rows, Stream

        match result:
            case Document():
                self.document(result)
            case Rows():
                self.rows(result)
            case Stream():
                self.stream(result)
            case Raw():
                self.out.raw(result.blocks)

    @abstractmethod
    def document(self, result: Document) -> None:
        """One object."""

    @abstractmethod
    def rows(self, result: Rows) -> None:
        """Objects of one kind; as they come, where there may be many."""

    @abstractmethod
    def stream(self, result: Stream) -> None:
        """Rows of a query."""

    def next(self, result: Document) -> None:
        """One object of several that follow each other."""
        self.document(result)


class ForPeople(Format):
    about = "table"

    def document(self, result: Document) -> None:
        if result.shown is None:
            self.out.json(result.data, indent=True)
        else:
            self._blocks(result.shown)

    def rows(self, result: Rows) -> None:
        self._blocks([result.table] if result.shown is None else result.shown)

    def stream(self, result: Stream) -> None:
        from nrtctl.cli.results import Raw

        cells = result.cells()
        if isinstance(cells, Raw):
            self.out.raw(cells.blocks)
        else:
            self._blocks(cells)

    def next(self, result: Document) -> None:
        self.document(result)
        self.out.text("")

    def _blocks(self, blocks: Iterable[Block]) -> None:
        from nrtctl.cli.results import Bad, Drawing, Note, Table, Warn

        for block in blocks:
            match block:
                case str():
                    self.out.text(block)
                case Bad():
                    self.out.bad(block.text)
                case Table():
                    self.out.table(
                        block.columns,
                        block.rows,
                        block.numbers,
                        bad=block.bad,
                        a_line_each=block.a_line_each,
                    )
                case Drawing():
                    self._draw(block.renderable)
                case Note():
                    self.say.note(block.text)
                case Warn():
                    self.say.warn(block.text)

    def _draw(self, renderable: Any) -> None:
        from rich.console import Console

        from nrtctl.cli.diagnostics import color_options

        Console(highlight=False, **color_options(self.say.color)).print(renderable)


class Json(Format):
    """A command writes one JSON text: an object, or an array of them."""

    about = "json"

    def document(self, result: Document) -> None:
        self.out.json(result.data, indent=True)

    def rows(self, result: Rows) -> None:
        self.out.json(list(result.table.as_dicts()), indent=True)

    def stream(self, result: Stream) -> None:
        """Written as it comes. An error in the middle leaves the array open."""
        blocks = iter(result.lines())
        first = next(blocks, None)
        if first is None:
            self.out.text("[]")
            return
        if first[:1] != b"{":
            self.out.raw(itertools.chain([first], blocks))
            return
        opening, closing = "[", "\n"
        try:
            for block in itertools.chain([first], blocks):
                self.out.json_text(f"{opening}\n" + block.decode()[:-1].replace("\n", ",\n"))
                opening = ","
                if stdout_failed():
                    break
            closing = "\n]"
        finally:
            self.out.text(closing)

    def next(self, result: Document) -> None:
        """Several texts in a row are lines."""
        self.out.json(result.data)


class JsonLines(Format):
    about = "jsonl (one JSON object per line)"

    def document(self, result: Document) -> None:
        self.out.json(result.data)

    def rows(self, result: Rows) -> None:
        for row in result.table.as_dicts():
            self.out.json(row)
            if stdout_failed():
                break

    def stream(self, result: Stream) -> None:
        self.out.raw(result.lines())


FORMATS: Mapping[FormatName, type[Format]] = {
    FormatName.TABLE: ForPeople,
    FormatName.JSON: Json,
    FormatName.JSONL: JsonLines,
}


def listed() -> str:
    """The formats, for `--help`."""
    *names, last = (each.about for each in FORMATS.values())
    return f"{', '.join(names)} or {last}"
