"""SQL of a message that is no JSON only for what its fields accept, as JSON. Pure text.

Called by `schema.columns`. What is mended is marked, in ways that nobody writes: only a field that
accepts it takes it, and for all others the value has the wrong type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from nrtctl.pipeline.texts import bound, literal

BROKEN = "\U0010ffff\ufffd"
"""In the place of a character that is none."""

BROKEN_KEY = rf'{BROKEN}(?:[^"\\]|\\.)*"\s*:'
"""A key of an object that has one, in JSON text."""

_WORDS = ("NaN", "Infinity", "-Infinity")
_TOKENS = r'(?s)"(?:[^"\\]|\\.)*"|-?Infinity|NaN|-?[0-9][-+.eE0-9]*|[^"NI0-9-]+|.'
_BEYOND = "[eE][+]?[0-9]{3}|[0-9]{309}"
"""What a number has that no double reaches."""

_LOW, _HIGH = "[dD][89abAB][0-9a-fA-F]{2}", "[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF = r"\\u[dD][89a-fA-F]"
_CONTROL = r"[\x00-\x1f]"
_PIECES = rf"(?s)\\u{_LOW}\\u{_HIGH}|{_HALF}[0-9a-fA-F]{{2}}|\\.|{_CONTROL}|[^\\\x00-\x1f]+"


def mending_for(accepted: frozenset[str]) -> Callable[[str], str] | None:
    """What makes SQL of a text SQL of the mended one. Args: accepted: as `routing.mends`; None:
    nothing is mended."""
    if not accepted:
        return None
    return partial(mended, numbers="nan" in accepted, texts="broken text" in accepted)


def mended(message: str, *, numbers: bool, texts: bool) -> str:
    """Args:
    numbers: NaN, Infinity and numbers beyond any double, where a number stands.
    texts: halves of surrogate pairs, control characters in strings, bytes that are no UTF-8.
    """
    doubt, whole = f"NOT isValidJSON({message})", message
    if not texts:
        words = f"multiSearchAny({message}, [{_listed(_WORDS[:2])}])"
        rare = f"({words} OR match({message}, {literal(_BEYOND)}))"
        # Of bytes that are no UTF-8 there would be no token.
        doubt = f"{rare} AND {doubt} AND isValidUTF8({message})"
    else:
        valid = f"replaceAll(toValidUTF8({message}), '\ufffd', {literal(BROKEN)})"
        whole = f"if(isValidUTF8({message}), {message}, {valid})"
    cases = [*(_numbers() if numbers else []), *(_texts() if texts else []), "_t"]
    each = f"multiIf({', '.join(cases)})"
    found = f"arrayMap(_t -> {each}, extractAll({whole}, {literal(_TOKENS)}))"
    return f"if({doubt}, arrayStringConcat({found}), {message})"


def not_finite(text: str) -> str:
    """SQL of a text, with what stood for a number as the word that it would be in quotes."""
    marked, names = (_listed(each) for each in (map(_marked, _WORDS), _WORDS))
    return bound(text, lambda t: f"transform({t}, [{marked}], [{names}], {t})")


def in_words(text: str) -> str:
    """SQL of a text that may be JSON, with what stood for a number as the word, without quotes."""
    for word in _WORDS:
        text = f"replaceAll({text}, {literal(_marked(word))}, '{word}')"
    return text


def has_no_number(text: str) -> str:
    """SQL: JSON text has a word in the place of a number."""
    return f"multiSearchAny({text}, [{_listed(map(_marked, _WORDS))}])"


def is_no_number(text: str) -> str:
    """SQL: JSON text is nothing but such a word."""
    return f"{text} IN ({_listed(map(_marked, _WORDS))})"


def shown(text: str) -> str:
    """JSON text of a mended message for people (no SQL)."""
    for word in _WORDS:
        text = text.replace(_marked(word), word)
    return text.replace(BROKEN, "\ufffd")


def _numbers() -> list[str]:
    words = f"transform(_t, [{_listed(_WORDS)}], [{_listed(map(_marked, _WORDS))}], _t)"
    beyond = "match(_t, '^-?[0-9]') AND isInfinite(toFloat64OrZero(_t))"
    infinities = (literal(_marked(word)) for word in ("-Infinity", "Infinity"))
    return [
        f"_t IN ({_listed(_WORDS)})", words,
        beyond, f"if(startsWith(_t, '-'), {', '.join(infinities)})",
    ]  # fmt: skip


def _texts() -> list[str]:
    half = literal(f"^{_HALF}")
    escaped = r"concat('\\u00', hex(_p))"
    piece = (
        f"multiIf(length(_p) = 6 AND match(_p, {half}), {literal(BROKEN)}, "
        f"match(_p, {literal(f'^{_CONTROL}')}), {escaped}, _p)"
    )
    broken = f"startsWith(_t, '\"') AND match(_t, {literal(f'{_HALF}|{_CONTROL}')})"
    pieces = f"extractAll(_t, {literal(_PIECES)})"
    return [broken, f"arrayStringConcat(arrayMap(_p -> {piece}, {pieces}))"]


def _marked(word: str) -> str:
    """An array, so that nothing but a number takes it, of a text that nobody writes."""
    return f'["\\u0001{word}"]'


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(literal, texts))
