"""Which encoding a text is in, as far as its bytes say. Called by `looking`.

A guess that could be wrong without anyone noticing is not made: bytes that are neither marked, nor
UTF-8, nor UTF-16 by their zeros are the user's to name.
"""

from __future__ import annotations

import codecs

from nrtctl.errors import ConfigError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 4096
MANY, FEW = 0.6, 0.05
"""The share of zeros that the high bytes of text in Latin letters have at least, and that its low
bytes have at most."""

KNOWN = "utf-8, utf-16, cp1252, latin-1"


def checked(name: str) -> str:
    """Python's name of an encoding.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
    except LookupError as error:
        raise ConfigError(
            f"{name!r} is not an encoding", hint=f"for example {KNOWN.replace(' cp', ' cp')}"
        ) from error
    return found.name


def encoding_of(head: bytes) -> str:
    """The encoding that the bytes show; `utf-8` where they show none."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    sample = head[: min(len(head), _SAMPLE) // 4 * 4]
    quarters = [sample[place::4].count(0) / max(1, len(sample) // 4) for place in range(4)]
    low, high = min(quarters), max(quarters)
    if low > FEW or high < MANY or len(sample) < 4:
        return "utf-8"
    match [share >= MANY for share in quarters]:
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, True, True, False]:
            return "utf-32-be"
        case [False, True, False, True]:
            return "utf-16-le"
        case [True, False, True, False]:
            return "utf-16-be"
    return "utf-8"


def not_utf8(head: bytes, *, whole: bool) -> tuple[int, str] | None:
    """The first line that is not UTF-8, and its text as cp1252 has it; None: all of it is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(head, final=whole)
    except UnicodeDecodeError as error:
        first = head.rfind(b"\n", 0, error.start) + 1
        line = head[first:].split(b"\n", 1)[0].strip()
        return head.count(b"\n", 0, error.start) + 1, line.decode("cp1252", "replace")[:80]
    return None
