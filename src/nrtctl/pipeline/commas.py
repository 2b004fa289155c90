"""Numbers with a decimal comma: 1234,5 or 1.234,5 or 1 234,5. Pure.

The one rule for what a draft takes for such a number, and what a cell of CSV is read as.
`spellings` has it as SQL.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = re.compile(
    r"(?P<sign>-?)(?:0|(?P<digits>[1-9][0-9]*)|"
    r"(?P<grouped>[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+|(?:[ \u00a0\u202f'’][0-9]{3})+)))"
    r"(?:,(?P<decimals>[0-9]+))?"
)


class Number(NamedTuple):
    """A number that was written with a decimal comma.

    Attributes:
        whole: digits before the comma, without marks between them.
        decimals: those behind it.
        grouped: whether there were marks between thousands.
    """

    sign: str
    whole: str
    decimals: str
    grouped: bool

    @property
    def with_point(self) -> str:
        return f"{self.sign}{self.whole}" + (f".{self.decimals}" if self.decimals else "")


def number(text: str) -> Number | None:
    """None: the text is no such number."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    grouped = found["grouped"]
    whole = re.sub("[^0-9]", "", grouped) if grouped else found["digits"] or "0"
    return Number(found["sign"], whole, found["decimals"] or "", bool(grouped))
