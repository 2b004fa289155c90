"""SQL that rewrites a text, by chosen leniencies, to the one spelling that `casts` reads. Pure.

What has none of the chosen spellings stays as it is.
"""

from __future__ import annotations

import re

from nrtctl.pipeline.mending import BROKEN, in_words, not_finite
from nrtctl.pipeline.options import Options, enum_names, is_enum, is_integer
from nrtctl.pipeline.texts import bound, literal, replaced

_GROUP_MARKS = (" ", "\u00a0", "\u202f", "'", "\u2019", "_")
"""Between groups of three digits, besides the comma or point that is not the decimal mark."""

_BYTES = {
    "base64": (
        "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", "tryBase64Decode",
    ),
    "hex": ("^(?:[0-9a-fA-F]{2})*$", "unhex"),
}  # fmt: skip
"""What such text looks like, and the function that reads it."""

_ANY_NUMBER = r"^([+-]?)([0-9]*)(?:[.]([0-9]*))?(?:[eE]([+-]?[0-9]{1,3}))?$"
_PLAIN_NUMBER = r"^-?[0-9]+(?:[.][0-9]+)?$"
_PLAIN_INTEGER = "^-?[0-9]+$"


def rewritten(text: str, kind: str, options: Options) -> str:
    """SQL: the Nullable(String) `text`, of a value of the scalar type `kind`, rewritten."""
    accept = options.accept
    if "spaces" in accept:
        text = replaced(text, r"^[\s\x{a0}]+|[\s\x{a0}]+$", "", every=True)
    if options.binary:
        return bound(text, lambda t: _of_bytes(t, kind, options))
    if kind == "String":
        text = in_words(text) if "nan" in accept else text
        return _mended(text, options) if "broken text" in accept else text
    if is_enum(kind):
        return _enum(text, kind, options)
    if "nan" in accept and not options.bare:
        text = not_finite(text)
    if "booleans" in accept:
        text = bound(text, lambda t: f"transform({t}, ['true', 'false'], ['1', '0'], {t})")
    if accept & {"decimal comma", "thousands"}:
        text = bound(text, lambda t: _marks(t, options))
    if "spellings" in accept:
        text = bound(text, lambda t: _number(t, integer=is_integer(kind)))
    if "wrapped" in accept:
        text = replaced(text, r"^(?i:urn:uuid:([0-9a-f-]+)|\{([0-9a-f-]+)\})$", r"\1\2")
    if "port" in accept:
        text = replaced(text, r"^(?:([0-9.]+)|\[([0-9a-fA-F:.%\w]+)\]):[0-9]{1,5}$", r"\1\2")
    if "zone" in accept:
        text = replaced(text, r"^([0-9a-fA-F:.]+)%[0-9A-Za-z._~-]+$", r"\1")
    if "mapped" in accept:
        text = replaced(text, r"^(?i:::ffff:)([0-9.]+)$", r"\1")
    if "numbers" in accept and kind == "IPv4":
        text = bound(text, _numbered_address)
    return text


def _mended(text: str, options: Options) -> str:
    if options.bare:
        return f"toValidUTF8({text})"
    return f"replaceAll({text}, {literal(BROKEN)}, '\ufffd')"


def _of_bytes(text: str, kind: str, options: Options) -> str:
    """SQL: the bytes that the text is written for; of a Decimal, its digits with a point."""
    form, decode = _BYTES[options.binary]
    digits = re.fullmatch(r"Decimal\(\s*\d+\s*,\s*(\d+)\s*\)", kind)
    found = f"{decode}(assumeNotNull({text}))"
    if digits is None:
        return f"if(match({text}, {literal(form)}), {found}, NULL)"
    fill = "repeat(if(bitTest(reinterpretAsUInt8(substring(_b, 1, 1)), 7), char(255), char(0)), 32)"
    number = f"toString(reinterpretAsInt256(substring(concat(reverse(_b), {fill}), 1, 32)))"
    if scale := int(digits[1]):
        plain = "replaceOne(_n, '-', '')"
        plain = f"concat(repeat('0', {scale + 1} - length({plain})), {plain})"
        point = f"length(_d) - {scale}"
        number = (
            f"arrayMap(_n -> concat(if(startsWith(_n, '-'), '-', ''), arrayMap(_d -> "
            f"concat(substring(_d, 1, {point}), '.', substring(_d, {point} + 1)), [{plain}])[1]), "
            f"[{number}])[1]"
        )
    there = f"match({text}, {literal(form)}) AND length({found}) BETWEEN 1 AND 32"
    return f"if({there}, arrayMap(_b -> {number}, [{found}])[1], NULL)"


def _numbered_address(text: str) -> str:
    digits = f"match({text}, '^[0-9]{{1,10}}$')"
    return f"if({digits}, IPv4NumToString(toUInt32OrNull({text})), {text})"


def _enum(text: str, kind: str, options: Options) -> str:
    names = enum_names(kind)
    known = {name: name for name in names}
    if "numbers" in options.accept:
        known |= {str(number): name for name, number in names.items()}
    if "any case" in options.accept:
        known = {given.lower(): name for given, name in known.items()}
        text = f"lowerUTF8({text})"
    elif "numbers" not in options.accept:
        return text
    given, meant = (", ".join(map(literal, each)) for each in (known, known.values()))
    return bound(text, lambda t: f"transform({t}, [{given}], [{meant}], {t})")


def _marks(text: str, options: Options) -> str:
    """Without marks between groups, and with a point before the decimals."""
    comma = "decimal comma" in options.accept
    decimal, other = (",", r"\.") if comma else (r"\.", ",")
    if "thousands" in options.accept:
        groups = "|".join(
            f"(?:{mark}[0-9]{{3}})+"
            for mark in (other, *(re.escape(each) for each in _GROUP_MARKS))
        )
        # A text with one group behind a point alone may be a number with decimals as well.
        fraction = f"(?:{decimal}[0-9]+)"
        shape = f"^[+-]?[0-9]{{1,3}}(?:{groups}){fraction}?$"
        marks = f"[{other}{''.join(_GROUP_MARKS)}]"
        grouped = f"match({text}, {literal(shape)})"
        if comma:
            one = literal(r"^[+-]?[0-9]{1,3}[.][0-9]{3}$")
            grouped = f"({grouped} AND NOT match({text}, {one}))"
        text = f"if({grouped}, {replaced(text, marks, '', every=True)}, {text})"
    return f"replaceOne({text}, ',', '.')" if comma else text


def _number(text: str, *, integer: bool) -> str:
    """Any spelling as digits with a point, without an exponent."""
    plain = literal(_PLAIN_INTEGER if integer else _PLAIN_NUMBER)
    digits, point = "concat(_g[2], _g[3])", "(length(_g[2]) + toInt32OrZero(_g[4]))"
    moved = (
        f"multiIf({digits} = '', 'x', "
        f"{point} <= 0, concat('0.', repeat('0', -{point}), {digits}), "
        f"{point} >= length({digits}), "
        f"concat({digits}, repeat('0', {point} - length({digits}))), "
        f"concat(substring({digits}, 1, {point}), '.', substring({digits}, {point} + 1)))"
    )
    signed = f"concat(if(_g[1] = '-', '-', ''), {moved})"
    if integer:
        signed = replaced(signed, r"[.]0+$", "")
    groups = f"[extractGroups(assumeNotNull({text}), {literal(_ANY_NUMBER)})]"
    spelt = f"arrayMap(_g -> {signed}, {groups})[1]"
    known = f"match({text}, {literal(_ANY_NUMBER)})"
    return f"multiIf(match({text}, {plain}), {text}, {known}, {spelt}, {text})"
