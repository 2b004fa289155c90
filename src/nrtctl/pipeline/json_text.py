"""JSON texts read as ClickHouse reads them: a whole number may have any number of digits. Pure.

orjson makes a double of a whole number beyond 64 bits, and takes a text with one beyond any double
for no JSON. Used by `nrtctl listen`, and wherever a value is taken out of a message to be sent.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from nrtctl.pipeline.fields import Path, value_at

_LONG = re.compile(
    rb'"(?:[^"\\]|\\.)*+"|(?<![\d.eE+-])(-?[1-9]\d{18,}+)(?![\d.eE])',
    re.DOTALL,
)
"""A string, or a whole number that 64 bits may not hold."""


def loads(text: bytes) -> Any:
    """As `orjson.loads`, but whole numbers may be beyond any double; then the long ones are their
    digits. Raises JSONDecodeError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if (exact := _with_digits(text)) == text:
            raise
    return orjson.loads(exact)


def value_of(text: bytes, path: Path) -> Any:
    """What stands at a path of a JSON text, None where nothing does; a whole number beyond 64 bits
    as its digits. Raises JSONDecodeError."""
    found = value_at(loads(text), path)
    if isinstance(found, float):
        digits = value_at(orjson.loads(_with_digits(text)), path)
        found = digits if isinstance(digits, str) else found
    return found


def _with_digits(text: bytes) -> bytes:
    """The text with each long whole number as a string of its digits."""
    return _LONG.sub(lambda found: b'"%b"' % found[1] if found[1] else found[0], text)
