"""An expression with NULL in place of what would throw, as far as its functions have such a form.

Only a guess at which messages an expression throws on (`store.throwing` asks about them); nothing
is stored or rejected by it. Pure text.
"""

from __future__ import annotations

import re

from nrtctl.pipeline.casts import literal

_INTEGERS = [f"to{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)]
_DECIMALS = [f"toDecimal{bits}" for bits in (32, 64, 128, 256)]
_TIMES = [
    f"parseDateTime{fine}{form}"
    for fine in ("", "32", "64")
    for form in ("", "BestEffort", "BestEffortUS", "InJodaSyntax")
]
_WITH_NULL = frozenset({
    *_INTEGERS, *_DECIMALS, *_TIMES, "toFloat32", "toFloat64", "toBFloat16", "toDate", "toDate32",
    "toDateTime", "toDateTime64", "toTime", "toTime64", "toUUID", "toIPv4", "toIPv6",
    "IPv4StringToNum", "IPv6StringToNum", "parseReadableSize", "toModifiedJulianDay",
    "fromModifiedJulianDay", "intDiv", "modulo", "arrayElement",
})  # fmt: skip
"""Functions of which one of the same name and `OrNull` gives NULL."""

_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*` | \w+ | \s+ | .""",
    re.VERBOSE | re.DOTALL,
)
_OF_THE_MOMENT = re.compile(r"(?:rand|now|today|yesterday|generate|fuzz|rowNumber)\w*")
_OPENING, _CLOSING = "([{", ")]}"
_AS = re.compile(r"(.*)\s[Aa][Ss]\s+(.+)", re.DOTALL)


def twin_of(sql: str) -> str | None:
    """The expression's twin; None: it has none. The twin may be no valid SQL."""
    found = _rewritten(_TOKEN.findall(sql))
    return None if found == sql else found


def arguments_of(sql: str) -> list[str] | None:
    """The arguments of the function that the whole expression is, if it is one of those with a twin
    and depends on their values alone. None: it is something else."""
    tokens = _TOKEN.findall(sql.strip())
    known = tokens and (tokens[0] in _WITH_NULL or tokens[0] in {"throwIf", "CAST"})
    if (
        not known
        or any(_OF_THE_MOMENT.fullmatch(each) for each in tokens)
        or tokens[1:2] != ["("]
        or _end(tokens, 1) != len(tokens) - 1
    ):
        return None
    arguments = _arguments(tokens[2:-1])
    if tokens[0] == "CAST" and len(arguments) == 1:
        found = _AS.fullmatch("".join(arguments[0]))
        return [found[1]] if found else None
    return ["".join(each).strip() for each in arguments]


def _rewritten(tokens: list[str]) -> str:
    out: list[str] = []
    at = 0
    while at < len(tokens):
        word = tokens[at]
        called = at + 1 < len(tokens) and tokens[at + 1] == "("
        if called and word == "throwIf":
            end = _end(tokens, at + 1)
            condition = _rewritten(_arguments(tokens[at + 2 : end])[0])
            out.append(f"if({condition}, NULL, 0)")
            at = end
        elif called and word.lower() == "cast":
            end = _end(tokens, at + 1)
            out.append(_cast(tokens[at + 2 : end]))
            at = end
        else:
            out.append(f"{word}OrNull" if called and word in _WITH_NULL else word)
        at += 1
    return "".join(out)


def _cast(inside: list[str]) -> str:
    arguments = _arguments(inside)
    if len(arguments) == 2:
        value, kind = _rewritten(arguments[0]), "".join(arguments[1])
        return f"accurateCastOrNull({value},{kind})"
    found = _AS.fullmatch(_rewritten(inside))
    if found is None:
        return f"CAST({_rewritten(inside)})"
    return f"accurateCastOrNull({found[1]}, {literal(found[2].strip())})"


def _end(tokens: list[str], opening: int) -> int:
    """Where the parenthesis ends that begins there."""
    depth = 0
    for at in range(opening, len(tokens)):
        depth += (tokens[at] in _OPENING) - (tokens[at] in _CLOSING)
        if not depth:
            return at
    return len(tokens)


def _arguments(tokens: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    depth = 0
    for each in tokens:
        depth += (each in _OPENING) - (each in _CLOSING)
        if each == "," and not depth:
            found.append([])
        else:
            found[-1].append(each)
    return found
