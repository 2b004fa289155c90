"""Owns stdout: data as a table, as one JSON object, or as one JSON line a row."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nrtctl.cli.diagnostics import color_options


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
    """Writes in the format that was asked for. `format`: table, json or jsonl."""

    def __init__(self, format: str, *, color: str = "auto") -> None:
        self.format = format
        self._color = color

    @property
    def table(self) -> bool:
        return self.format == "table"

    def text(self, text: str) -> None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()

    def object(self, value: Mapping[str, Any]) -> None:
        """One object: json indented, jsonl on one line."""
        self.text(to_json(value, indent=self.format == "json"))

    def rows(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None
    ) -> None:
        """Rows: a table, an array of objects, or an object a line."""
        if self.format == "jsonl":
            for row in rows:
                self.text(to_json(dict(zip(columns, row, strict=True))))
        elif self.format == "json":
            self.text(to_json([dict(zip(columns, r, strict=True)) for r in rows], indent=True))
        else:
            self._table(columns, rows, title)

    def _table(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None
    ) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        kept = [list(row) for row in rows]
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for index, name in enumerate(columns):
            values = [row[index] for row in kept if row[index] is not None]
            numeric = bool(values) and all(
                isinstance(each, int | float) and not isinstance(each, bool) for each in values
            )
            table.add_column(name, justify="right" if numeric else "left", overflow="fold")
        for row in kept:
            table.add_row(*(Text(cell(each)) for each in row))
        width = None if sys.stdout.isatty() else 10_000
        options: Any = color_options(self._color)
        Console(highlight=False, width=width, **options).print(table)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)
