"""Strings that contain JSON, read as what they contain: `unpack` of a pipeline. Pure text.

Called by `schema.columns` and `schema.fanout` for the SQL, and by `producer.trying` for values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from nrtctl.pipeline.texts import bound, literal

MOST_KEYS = 8
"""Each costs every insert."""

_MARK = "\ufeff"
"""Which may stand before JSON, but not within."""

_STRING = r'"(?:[^"\\]|\\.)*"'


Mend = Callable[[str], str]
"""SQL of a text, made JSON where it is none for what the pipeline's fields accept."""


def unpacked(
    message: str, keys: Sequence[str], *, lines: bool = False, mend: Mend | None = None
) -> str:
    """SQL: the JSON text with each string under one of the keys that is the text of an object or
    array in place of the string. One key after the other: a text may be within another.

    Args:
        lines: the message may be several JSON texts, one per line.
        mend: what is within the strings, too.
    """
    if not lines or not keys:
        return _of_keys(message, keys, mend)
    line = f"replaceAll({_of_keys('_l', keys, mend)}, '\\n', ' ')"
    return bound(
        message,
        lambda m: (
            f"if(isValidJSON({m}), {_of_keys(m, keys, mend)}, "
            f"arrayStringConcat(arrayMap(_l -> {line}, splitByChar('\\n', {m})), '\\n'))"
        ),
    )


def _of_keys(message: str, keys: Sequence[str], mend: Mend | None) -> str:
    for key in keys:
        message = bound(message, lambda m, key=key: _without(m, key, mend))  # type: ignore[misc]
    return message


def _without(message: str, key: str, mend: Mend | None) -> str:
    written = _pattern(key)
    pair = rf"{written}\s*:\s*"
    tokens = literal(rf'(?s){pair}{_STRING}|{_STRING}|[^"]+')
    pieces = f"extractAll({message}, {tokens})"
    begins = literal(rf'^{pair}"')
    text = f"JSONExtractString(concat('{{', _p, '}}'), {literal(key)})"
    found = "isValidJSON(_x) AND JSONType(_x) IN ('Object', 'Array')"
    name = json.dumps(key, ensure_ascii=False)
    text = f"replaceRegexpOne({text}, '^{_MARK}', '')"
    texts = f"[{text}]" if mend is None else f"arrayMap(_y -> {mend('_y')}, [{text}])"
    inside = f"arrayMap(_x -> if({found}, concat({literal(f'{name}:')}, _x), _p), {texts})[1]"
    each = f"if(match(_p, {begins}), {inside}, _p)"
    there = f"position({message}, {literal(name)}) > 0"
    if written != re.escape(name):
        there = f"match({message}, {literal(written)})"
    there += f" AND isValidJSON({message})"
    return f"if({there}, arrayStringConcat(arrayMap(_p -> {each}, {pieces})), {message})"


def _pattern(key: str) -> str:
    """A regular expression of the key in JSON text, as encoders write it: characters beyond ASCII
    as they are or as escapes, a slash with a backslash or without."""
    return f'"{"".join(map(_character, key))}"'


def _character(character: str) -> str:
    plain = re.escape(json.dumps(character, ensure_ascii=False)[1:-1])
    if character == "/":
        return rf"\\?{plain}"
    if character.isascii():
        return plain
    return f"(?:{plain}|(?i:{re.escape(json.dumps(character)[1:-1])}))"


def unpacked_text(text: bytes, keys: Sequence[str]) -> bytes:
    """The same of a message; no line of it becomes several."""
    for key in keys:
        pair = _pattern(key).encode() + rb"\s*:\s*"
        each = re.compile(b"(" + pair + b")(" + _STRING.encode() + b")|" + _STRING.encode(), re.S)
        text = each.sub(_replaced, text)
    return text


def _replaced(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        return found[0]
    try:
        inside = json.loads(found[2]).removeprefix(_MARK)
        held = isinstance(json.loads(inside), dict | list)
    except (ValueError, RecursionError):
        return found[0]
    return found[1] + inside.replace("\n", " ").encode() if held else found[0]
