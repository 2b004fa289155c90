"""How many of what: by one helper, so that nothing says "1 rows"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import nrtctl
from nrtctl.config.counted import counted

SOURCES = Path(nrtctl.__file__).parent
SOME = (
    "bytes cells checks columns damages events inserts letters members messages objects offsets "
    "partitions parts records rows topics values workers"
)
THINGS = re.compile(rf" (?:[a-z]+ )?(?:{SOME.replace(' ', '|')})\b(?!/)| [a-z]+\(s\)")
MORE_THAN_ONE = re.compile(
    r"[A-Z_]+|self\._?most|\w*(most|max_bytes|MOST\w*|bound|workers|servers)"
)
"""Of limits, and of what is two at least where it is said."""

ELSEWHERE = {"view/plain.py": "labels of a table", "local": "for clients and logs"}


@pytest.mark.parametrize(
    ("number", "things", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("dead letter",), "2 dead letters"),
        (1_234_567, ("part waits", "parts wait"), "1,234,567 parts wait"),
        (1, ("part waits", "parts wait"), "1 part waits"),
        (1.0, ("event",), "1 event"),
        (0.5, ("event",), "0.5 events"),
    ],
)
def test_counted(number: float, things: tuple[str, ...], text: str) -> None:
    assert counted(number, *things) == text


def uncounted(source: str) -> list[str]:
    """The f-strings that put a number before the plural of a thing."""
    found = []
    for string in ast.walk(ast.parse(source)):
        if not isinstance(string, ast.JoinedStr):
            continue
        for value, text in zip(string.values, string.values[1:], strict=False):
            if (
                isinstance(value, ast.FormattedValue)
                and isinstance(text, ast.Constant)
                and THINGS.match(str(text.value))
                and not MORE_THAN_ONE.fullmatch(ast.unparse(value.value))
                and "counted(" not in ast.unparse(value.value)
            ):
                found.append(ast.unparse(string))
    return found


def test_the_search_finds_what_it_is_for() -> None:
    assert uncounted("f'{len(a)} rows'")
    assert uncounted("f'{n:,} dead letters done'")
    assert uncounted("f'has {n} member(s)'")
    assert not uncounted("f'{n} of {counted(m, \"row\")}'")


def test_every_number_of_things_agrees_with_them() -> None:
    found = {
        str(path.relative_to(SOURCES)): strings
        for path in SOURCES.rglob("*.py")
        if (strings := uncounted(path.read_text()))
    }
    assert {name for name in found if not name.startswith(tuple(ELSEWHERE))} == set(), found
