"""Strings that contain JSON, read as what they contain: `unpack` of a pipeline. Pure text.

Called by `schema.columns` and `schema.fanout` for the SQL, and by `producer.trying` for values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from nrtctl.pipeline.texts import bound, literal

MOST_KEYS = 8
"""Each costs every insert."""

_STRING = r'"(?:[^"\\]|\\.)*"'


def unpacked(message: str, keys: Sequence[str]) -> str:
    """SQL: the JSON text with each string under one of the keys that is the text of an object or
    array in place of the string. One key after the other: a text may be within another."""
    for key in keys:
        message = bound(message, lambda m, key=key: _without(m, key))  # type: ignore[misc]
    return message


def _without(message: str, key: str) -> str:
    name = json.dumps(key, ensure_ascii=False)
    pair = rf"{re.escape(name)}\s*:\s*"
    tokens = literal(rf'(?s){pair}{_STRING}|{_STRING}|[^"]+')
    pieces = f"extractAll({message}, {tokens})"
    begins = literal(rf'^{pair}"')
    text = f"JSONExtractString(concat('{{', _p, '}}'), {literal(key)})"
    found = "isValidJSON(_x) AND JSONType(_x) IN ('Object', 'Array')"
    inside = f"arrayMap(_x -> if({found}, concat({literal(f'{name}:')}, _x), _p), [{text}])[1]"
    each = f"if(match(_p, {begins}), {inside}, _p)"
    there = f"position({message}, {literal(name)}) > 0 AND isValidJSON({message})"
    return f"if({there}, arrayStringConcat(arrayMap(_p -> {each}, {pieces})), {message})"


def unpacked_text(text: bytes, keys: Sequence[str]) -> bytes:
    """The same of a message."""
    for key in keys:
        pair = re.escape(json.dumps(key, ensure_ascii=False).encode()) + rb"\s*:\s*"
        each = re.compile(b"(" + pair + b")(" + _STRING.encode() + b")|" + _STRING.encode(), re.S)
        text = each.sub(_replaced, text)
    return text


def _replaced(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        return found[0]
    try:
        inside = json.loads(found[2])
        held = isinstance(json.loads(inside), dict | list)
    except ValueError:
        return found[0]
    return found[1] + inside.encode() if held else found[0]
