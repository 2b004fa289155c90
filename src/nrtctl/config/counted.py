"""Numbers of things as people write them. Pure, and light: `units` reads, this writes."""

from __future__ import annotations


def counted(number: float, one: str, many: str | None = None) -> str:
    """`1 dead letter`, `2,000 dead letters`.

    Args:
        many: what it is called where it is not one; None: `one` with an s.
    """
    shown = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{shown} {one if number == 1 else many or one + 's'}"
