"""Rows of a statement for a page, as text and within limits. Used by `dashboard_questions` and
`dashboard_fixes`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nrtctl.cli.query_command import AS_WRITTEN, CELLS, NUMBER
from nrtctl.errors import ConfigError

if TYPE_CHECKING:
    from nrtctl.clickhouse.client import ClickHouseClient

SECONDS = 8
MOST_ROWS = 1000
MOST_BYTES = 4 * 2**20
RUNNING = {
    **AS_WRITTEN,
    "readonly": 1,
    "max_execution_time": SECONDS,
    "max_result_rows": MOST_ROWS + 1,
    "result_overflow_mode": "break",
    "max_memory_usage": 2 * 2**30,
}
"""readonly 1: the statement cannot lift a limit."""


def rows_of(
    client: ClickHouseClient, statement: str, settings: Mapping[str, Any] = RUNNING
) -> dict[str, Any]:
    """Names, types and rows of its answer, each value as text; null: NULL."""
    blocks = client.stream(statement, CELLS, settings=settings)
    try:
        first = next(blocks, None)
        if first is not None and first[:1] != b"[":
            raise ConfigError("a FORMAT of its own cannot be shown here", hint="leave it out")
        lines, more = _lines(itertools.chain([first or b""], blocks))
    finally:
        blocks.close()  # type: ignore[attr-defined]
    if not lines:
        return {"names": [], "types": [], "numbers": [], "rows": [], "more": False}
    names, types, *rows = lines
    shown = [[None if each == "ᴺᵁᴸᴸ" else each for each in row] for row in rows[:MOST_ROWS]]
    return {
        "names": names,
        "types": types,
        "numbers": [bool(NUMBER.match(each)) for each in types],
        "rows": shown,
        "more": more or len(rows) > MOST_ROWS,
    }


def _lines(blocks: Iterator[bytes]) -> tuple[list[list[Any]], bool]:
    """Two of names and types, and the rows; whether there are more."""
    lines: list[list[Any]] = []
    size = 0
    for block in blocks:
        lines += map(json.loads, block.split(b"\n")[:-1])
        size += len(block)
        if len(lines) > MOST_ROWS + 2 or size > MOST_BYTES:
            return lines, True
    return lines, False
