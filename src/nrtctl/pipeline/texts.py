"""Texts in SQL. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable


def literal(text: str) -> str:
    """An SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


def bound(text: str, use: Callable[[str], str]) -> str:
    """SQL of `use`, which may name the expression `text` many times: it is written once."""
    if re.fullmatch(r"[\w.`]+", text):
        return use(text)
    return f"arrayMap(_t -> {use('_t')}, [{text}])[1]"


def replaced(text: str, pattern: str, by: str, *, every: bool = False) -> str:
    """SQL of the text with what a regular expression finds replaced, the first time or each."""
    name = "replaceRegexpAll" if every else "replaceRegexpOne"
    return f"{name}({text}, {literal(pattern)}, {literal(by)})"
