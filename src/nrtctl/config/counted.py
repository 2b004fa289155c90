"""Numbers of things as people write them. Pure, and light: `units` reads, this writes."""

from __future__ import annotations


def counted(number: float, one: str, many: str | None = None) -> str:
    """`1 dead letter`, `2,000 dead letters`.

    Args:
        many: what it is called where it is not one; None: `one` with an s.
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {one if number == 1 else many or one + 's'}"


def from_to(start: int, end: int) -> str:
    """The offsets [start, end) with the first and the last of them: `23981–24035`, `47`."""
    return f"{start}–{end - 1}" if end - start > 1 else str(start)


def offsets(start: int, end: int) -> str:
    """The offsets [start, end) in words: `offsets 23981–24035`, `offset 47`."""
    return f"offset{'s' if end - start > 1 else ''} {from_to(start, end)}"
