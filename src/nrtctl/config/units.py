"""Durations and sizes as people write them: `500ms`, `2m`, `64MiB`.

Read by the configuration model and by the command line. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)\s*")
_SECONDS = {
    "ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600),
    "d": Decimal(86400),
}  # fmt: skip
_LONGEST = Decimal(86400 * 36525)
AUTO: Final = "auto"
AUTO_LEAST = 0.1
AUTO_MOST = 0.5
"""Seconds that a wait of `auto` may be."""
LONGEST_WAIT = 3600.0
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_BYTES = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def parse_duration(text: str) -> float:
    """Seconds in a text such as `500ms`, `1.5s`, `2m`, `1h`, `7d`, or a sum such as `1h30m`.

    Raises:
        ValueError: the text is no duration, has no unit, or is longer than a century.
    """
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(
            f"{text!r} is not a duration: write a number and a unit (ms, s, m, h, d), as in '500ms'"
        )
    seconds = sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))
    if seconds > _LONGEST:
        raise ValueError("is longer than a century")
    return float(seconds)


def parse_size(text: str) -> int:
    """Bytes in a text such as `64MiB`, `1.5GB` or `4096`; a fraction of a byte is dropped.

    Raises:
        ValueError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or ("." in match[1] and _BYTES[match[2]] == 1):
        raise ValueError(
            f"{text!r} is not a size: write bytes, or a number and a unit, as in '64MiB'"
        )
    return int(Decimal(match[1]) * _BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """A text that `parse_duration` reads back as `seconds`, in the largest unit that is exact."""
    exact = Decimal(repr(seconds))
    for unit in ("d", "h", "m", "s"):
        if exact and exact % _SECONDS[unit] == 0:
            return f"{int(exact / _SECONDS[unit])}{unit}"
    text = f"{exact * 1000:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}ms"


def format_wait(seconds: float | str) -> str:
    """As `format_duration`; `auto` stays as it is."""
    return seconds if isinstance(seconds, str) else format_duration(seconds)


def format_size(size: int) -> str:
    """A text that `parse_size` reads back as `size`, in the largest binary unit that is exact."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write '{value}s' or '{value}ms'")
    raise ValueError("is not a duration: write it as in '500ms'")


def _wait(value: Any) -> Any:
    if value == AUTO:
        return AUTO
    seconds = _duration(value)
    if not 0 < seconds <= LONGEST_WAIT:
        raise ValueError(
            f"must be 'auto', or more than 0ms and at most {format_duration(LONGEST_WAIT)}, "
            f"not {format_duration(seconds)}"
        )
    return seconds


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


def is_duration(metadata: Iterable[Any]) -> bool:
    """Whether a field with this pydantic metadata is a `Duration` or a `Wait`."""
    return any(getattr(each, "func", None) in (_duration, _wait) for each in metadata)


def is_size(metadata: Iterable[Any]) -> bool:
    """Whether a field with this pydantic metadata is a `Size`."""
    return any(getattr(each, "func", None) is _size for each in metadata)


_WRITTEN = {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*)+$"}

Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_WRITTEN),
]
"""Seconds, written with a unit."""

Wait = Annotated[
    float | Literal["auto"],
    BeforeValidator(_wait),
    PlainSerializer(format_wait, return_type=str),
    WithJsonSchema({"anyOf": [{"enum": [AUTO]}, _WRITTEN]}),
]
"""As `Duration`, at most LONGEST_WAIT; or `auto`: chosen while the program runs."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "type": ["integer", "string"],
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?\s*$",
        }
    ),
]
"""Bytes; a bare number is bytes."""
