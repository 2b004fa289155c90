"""The forms in which `peek` shows a value: as JSON, text or bytes. Pure; used by `peek`.

A way to show them is one entry of DECODERS. What a pipeline's own format decodes, such as Avro, is
JSON by then (`formats`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_PRETTY = 2**20
"""Bytes of JSON that are laid out over lines; more is shown as it is."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`value`: what paths lead into; `text`: for people, with line breaks; None: it is no text."""

    value: Any
    text: str | None


class NotDecoded(Exception):
    """The bytes are none of this format; the words say why."""


def as_json(data: bytes) -> Decoded:
    """Raises NotDecoded: it is not JSON."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotDecoded(f"not JSON: {error}") from error
    if len(data) > LARGEST_PRETTY:
        return Decoded(value, data.decode(errors="backslashreplace"))
    return Decoded(value, json.dumps(value, ensure_ascii=False, indent=2))


def as_text(data: bytes) -> Decoded:
    """Bytes that are no UTF-8 as escapes."""
    return Decoded(None, data.decode(errors="backslashreplace"))


def as_bytes(data: bytes) -> Decoded:
    return Decoded(None, None)


def by_content(data: bytes) -> Decoded:
    """JSON, else text, else bytes."""
    try:
        return as_json(data)
    except NotDecoded:
        pass
    try:
        return Decoded(None, data.decode())
    except UnicodeDecodeError:
        return Decoded(None, None)


DECODERS: Mapping[str, Callable[[bytes], Decoded]] = {
    "auto": by_content,
    "json": as_json,
    "raw": as_text,
    "hex": as_bytes,
}
