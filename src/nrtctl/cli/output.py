"""Owns stdout: data as a table, as one JSON object, or as one JSON line a row.

What people read is made safe for a terminal here (`nrtctl.printable`), whoever wrote it. JSON is
exact: on a terminal it says the same with JSON's own escapes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nrtctl.cli.streams import stdout_failed
from nrtctl.printable import json_escaped, printable, without_surrogates

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
    """Writes in the format that was asked for. `format`: table, json or jsonl.

    Rows that nobody reads any more are not asked for: see `cli.streams`.
    """

    def __init__(self, format: str, *, color: str = "auto") -> None:
        self.format = format
        self._color = color

    @property
    def table(self) -> bool:
        return self.format == "table"

    @property
    def _terminal(self) -> bool:
        return sys.stdout.isatty()

    def text(self, text: str) -> None:
        """Lines for people."""
        self._write(printable(text, keep="\n"))

    def json(self, value: Any, *, indent: bool = False) -> None:
        """A value as JSON, whatever the format."""
        self._write_json(to_json(value, indent=indent) + "\n")

    def object(self, value: Mapping[str, Any]) -> None:
        """One object: json indented, jsonl on one line."""
        self.json(value, indent=self.format == "json")

    def _write(self, text: str) -> None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def _write_json(self, text: str) -> None:
        """UTF-8 whatever the locale; on a terminal as text that is safe there."""
        if self._terminal:
            sys.stdout.write(json_escaped(text))
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(without_surrogates(text).encode())
        sys.stdout.flush()

    def lines(self, blocks: Iterable[bytes]) -> None:
        """Objects as JSON lines, from blocks of whole ones: written as they come, or as an array.

        Where the first block is no object, all is written as it is. An error in the middle leaves
        the array open.
        """
        pieces = iter(blocks)
        first = next(pieces, None)
        if first is None or first[:1] != b"{" or self.format != "json":
            if first is not None:
                self.raw(first, pieces)
            elif self.format == "json":
                self.text("[]")
            return
        opening, closing = "[", "\n"
        try:
            for block in itertools.chain([first], pieces):
                self._write_json(f"{opening}\n" + block.decode()[:-1].replace("\n", ",\n"))
                opening = ","
                if stdout_failed():
                    break
            closing = "\n]"
        finally:
            self._write(closing)

    def raw(self, first: bytes, rest: Iterable[bytes] = ()) -> None:
        """Bytes as they are; on a terminal as text that is safe there."""
        sys.stdout.flush()
        blocks = itertools.chain([first], rest)
        for block in _safe(blocks, json=first[:1] in b"{[") if self._terminal else blocks:
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            if stdout_failed():
                break

    def rows(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        numbers: Sequence[bool] | None = None,
    ) -> None:
        """Rows: a table, an array of objects, or an object a line.

        `numbers`: which columns of a table are right-justified; None: those that hold numbers.
        """
        if self.format == "jsonl":
            for row in rows:
                self.json(dict(zip(columns, row, strict=True)))
                if stdout_failed():
                    break
        elif self.format == "json":
            self.json([dict(zip(columns, r, strict=True)) for r in rows], indent=True)
        else:
            self._table(columns, rows, numbers)

    def _table(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[bool] | None
    ) -> None:
        from nrtctl.cli.tables import Layout

        names = [printable(each) for each in columns]
        if numbers is None:
            names = [each.replace("_", " ") if each.isidentifier() else each for each in names]
        layout = Layout(names, self._color)
        left = iter(rows)
        chunk = list(itertools.islice(left, CHUNK))
        if numbers is None:
            numbers = [_numeric(row[at] for row in chunk) for at in range(len(columns))]
        layout.begin(numbers, [[printable(cell(each)) for each in row] for row in chunk])
        while chunk and not stdout_failed():
            chunk = list(itertools.islice(left, CHUNK))
            layout.more([[printable(cell(each)) for each in row] for row in chunk])
        sys.stdout.flush()


def _safe(blocks: Iterable[bytes], *, json: bool) -> Iterable[bytes]:
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    for block in itertools.chain(blocks, [b""]):
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
