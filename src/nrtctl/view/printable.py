"""Text of others made safe to print: the only place that decides what reaches a terminal.

Used by `cli.output`, `cli.diagnostics`, `cli.dlq_show` and `view` for everything that people read.
What programs read (JSON, CSV, bytes) is never changed by it; on a terminal JSON keeps its meaning,
because `json_escaped` writes the same characters as JSON's own escapes. Pure.
"""

from __future__ import annotations

import re

_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
"""What Unicode calls default-ignorable and `str.isprintable` lets through: nothing is drawn."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def printable(text: str, *, keep: str = "") -> str:
    """The text with what cannot be seen, or would steer a terminal, as Python's escapes.

    That is control characters (C0, C1, escape), marks of direction, characters of no width,
    blanks other than the space, surrogates, private and unassigned ones.

    Args:
        keep: characters that stay as they are, such as a newline between lines of ours.
    """
    if _safe(text):
        return text
    return "".join(
        each if each in keep or _safe(each) else each.encode("unicode_escape").decode()
        for each in text
    )


def json_escaped(text: str) -> str:
    """JSON text that says the same without such characters; its line breaks stay."""
    if _safe(text):
        return text
    return "".join(each if each == "\n" or _safe(each) else _as_json(each) for each in text)


def without_surrogates(text: str) -> str:
    """JSON text that can be encoded: half a character is written as JSON's escape."""
    return _SURROGATE.sub(lambda found: _as_json(found[0]), text)


def _safe(text: str) -> bool:
    return text.isprintable() and (text.isascii() or _IGNORABLE.search(text) is None)


def _as_json(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
