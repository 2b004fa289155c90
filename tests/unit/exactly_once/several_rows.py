"""What rows of messages of several rows say, as `store.several_rows` asks it of ClickHouse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Entry = tuple[int, int, int]
"""(offset, `_row`, `_rows`) of a row or dead letter."""


def by_message(entries: Iterable[Entry]) -> dict[int, tuple[int, int, int]]:
    """Offset to how many rows the message should have (0: its first is absent), how many of these
    are there, and how many rows are there in all."""
    rows: dict[int, Counter[int]] = {}
    lengths: Counter[int] = Counter()
    for offset, row, length in entries:
        rows.setdefault(offset, Counter())[row] += 1
        if length:
            lengths[offset] = min(lengths[offset] or length, length)
    return {
        offset: (
            lengths[offset],
            sum(row < lengths[offset] for row in found),
            found.total(),
        )
        for offset, found in rows.items()
    }


def listed(entries: Iterable[Entry], *, torn: int = 2) -> list[int]:
    """An offset for each message that is whole, twice where it is doubled. Args: torn: how often
    for one of which rows are absent."""
    found: list[int] = []
    for offset, (length, present, count) in by_message(entries).items():
        whole = length > 0 and present == length
        times = torn if not whole else 1 if count == length else 2
        found += [offset] * times
    return found
