"""Owns stdout: what is written there, and that it is safe. `cli.formats` says what is written.

What people read is made safe for a terminal here (`nrtctl.view.printable`), whoever wrote it. JSON
is exact: on a terminal it says the same with JSON's own escapes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from nrtctl.cli.streams import stdout_failed
from nrtctl.view.printable import json_escaped, printable, without_surrogates

CHUNK = 1000
"""Rows of a table that are laid out, and held in memory, together."""


def to_json(value: Any, *, indent: bool = False) -> str:
    """JSON text; integers of any size, times as ISO 8601, bytes as text or base64."""
    import json

    return json.dumps(
        _plain(value), ensure_ascii=False, indent=2 if indent else None, default=_other
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def _other(value: Any) -> Any:
    import base64
    import datetime
    import decimal
    import uuid

    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID | decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)


class Output:
    """Writes to stdout. Rows that nobody reads any more are not asked for: see `cli.streams`."""

    def __init__(self, *, color: str = "auto") -> None:
        self._color = color

    @property
    def _terminal(self) -> bool:
        return sys.stdout.isatty()

    def text(self, text: str) -> None:
        """Lines for people."""
        safe = printable(text, keep="\n")
        sys.stdout.write(safe if safe.endswith("\n") else safe + "\n")
        sys.stdout.flush()

    def bad(self, text: str) -> None:
        """A line for people that tells of a fault."""
        from nrtctl.cli.tables import write_coloured
        from nrtctl.view.colours import BAD

        write_coloured(printable(text), BAD, self._color)
        sys.stdout.flush()

    def json(self, value: Any, *, indent: bool = False) -> None:
        """A value as JSON, on one line or indented."""
        self.json_text(to_json(value, indent=indent) + "\n")

    def json_text(self, text: str) -> None:
        """UTF-8 whatever the locale; on a terminal as text that is safe there."""
        if self._terminal:
            sys.stdout.write(json_escaped(text))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(without_surrogates(text).encode())
        sys.stdout.flush()

    def raw(self, blocks: Iterable[bytes]) -> None:
        """Bytes as they are; on a terminal as text that is safe there."""
        sys.stdout.flush()
        for block in _safe(blocks) if self._terminal else blocks:
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            if stdout_failed():
                break

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        numbers: Sequence[bool] | None,
        *,
        bad: Callable[[str, Any], bool] = lambda column, value: False,
        a_line_each: bool = False,
    ) -> None:
        """Rows for people.

        Args:
            numbers: which columns are right-justified; None: those that hold numbers.
            bad: whether a value of a column is a fault, which is shown in red.
            a_line_each: cut what has no room in a line of the terminal.
        """
        from nrtctl.cli.tables import Cell, Layout

        names = [printable(each) for each in columns]
        if numbers is None:
            names = [each.replace("_", " ") if each.isidentifier() else each for each in names]
        layout = Layout(names, self._color, a_line_each=a_line_each)

        def cells(row: Sequence[Any]) -> list[Cell]:
            shown = (printable(cell(each)) for each in row)
            faults = map(bad, columns, row)
            return [Cell(text, fault) for text, fault in zip(shown, faults, strict=True)]

        left = iter(rows)
        chunk = list(itertools.islice(left, CHUNK))
        if numbers is None:
            numbers = [_numeric(row[at] for row in chunk) for at in range(len(columns))]
        layout.begin(numbers, list(map(cells, chunk)))
        while chunk and not stdout_failed():
            chunk = list(itertools.islice(left, CHUNK))
            layout.more(list(map(cells, chunk)))
        sys.stdout.flush()


def _safe(blocks: Iterable[bytes]) -> Iterable[bytes]:
    """JSON, where the first block looks like it, with its own escapes."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    json: bool | None = None
    for block in itertools.chain(blocks, [b""]):
        json = block[:1] in {b"{", b"["} if json is None else json
        text = decoder.decode(block, final=not block)
        yield (json_escaped(text) if json else printable(text, keep="\n\t")).encode()


def _numeric(values: Iterable[Any]) -> bool:
    kinds = {type(each) for each in values if each is not None}
    return bool(kinds) and kinds <= {int, float}


def cell(value: Any) -> str:
    """A value as text of a table: `-` for none, JSON for lists and tables."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        small = value != 0 and not 1e-3 <= abs(value) < 1e15
        return f"{value:.3g}" if small else f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, list | tuple | dict):
        return to_json(value)
    return str(value)
