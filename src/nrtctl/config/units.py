"""Durations and sizes as people write them: `500ms`, `2m`, `64MiB`.

Read by the configuration model and by the command line. Pure.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_BYTES = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def parse_duration(text: str) -> float:
    """Seconds in a text such as `500ms`, `1.5s`, `2m`, `1h`, `7d`, or a sum such as `1h30m`.

    Raises:
        ValueError: the text is no duration; a bare number has no unit and is refused.
    """
    parts = _DURATION.findall(text.strip())
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(
            f"{text!r} is not a duration: write a number and a unit (ms, s, m, h, d), as in '500ms'"
        )
    return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def parse_size(text: str) -> int:
    """Bytes in a text such as `64MiB`, `1.5GB` or `4096`.

    Raises:
        ValueError: the text is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a size: write bytes, or a number and a unit, as in '64MiB'"
        )
    return int(float(match[1]) * _BYTES[match[2]])


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as `seconds`."""
    for unit in ("d", "h", "m", "s"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds / _SECONDS[unit])}{unit}"
    return f"{seconds * 1000:g}ms"


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"{value} has no unit: write '{value}s' or '{value}ms'")
    raise ValueError("is not a duration: write a text such as '500ms'")


def _size(value: Any) -> Any:
    return parse_size(value) if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?\s*(ms|s|m|h|d))+$"}),
]
"""Seconds, written with a unit."""

Size = Annotated[int, BeforeValidator(_size)]
"""Bytes; a bare number is bytes."""
