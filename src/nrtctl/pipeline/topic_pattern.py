"""The topics of a pipeline that has several: a list of names, or a regular expression. Pure.

`re` tries one way through a name after the other, and there are patterns for which that takes for
ever. Here all ways are followed at once, as the set of places in the name that they have come to,
so a pattern may have what needs no more than that: no look-around and no back-references.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import AfterValidator, BeforeValidator

TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
INTERNAL = "__"
"""What the names of Kafka's own topics begin with."""

LONGEST = 249
"""Characters of a name; a pattern has no more either."""
MOST_NESTED = 2
"""Repetitions within each other: each may go through the rest of a name again."""

Step = Callable[[str, frozenset[int]], frozenset[int]]
"""From the places in a name that were come to, to those after one more part of the pattern."""

_SET = re.compile(r"\[\^?\]?(?:\\.|[^\]\[\\])*\]")
_TIMES = re.compile(r"\{([0-9]{1,3})(,([0-9]{0,3}))?\}")
_CHARACTERS = {"d": "[0-9]", "w": "[A-Za-z0-9_]"}


def topic_name(name: str) -> str:
    """The name. Raises ValueError: Kafka has no such topic."""
    if not TOPIC.fullmatch(name) or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a topic name: 1 to 249 letters, digits, '.', '_' or '-'")
    return name


def picks(topics: tuple[str, ...] | str, name: str) -> bool:
    """Whether the topic is one of a pipeline's: in its list, or matched as a whole by its pattern,
    which no topic of Kafka's own is."""
    if isinstance(topics, str):
        return not name.startswith(INTERNAL) and _matcher(topics)(name)
    return name in topics


def _checked(topics: tuple[str, ...] | str) -> tuple[str, ...] | str:
    if isinstance(topics, str):
        _matcher(topics)
        return topics
    if not topics:
        raise ValueError("name at least one topic, or write a pattern")
    for name in topics:
        if topic_name(name).startswith(INTERNAL):
            raise ValueError(f"{name!r} is one of Kafka's own topics")
        if topics.count(name) > 1:
            raise ValueError(f"{name!r} is named twice")
    return topics


def _right_type(topics: Any) -> Any:
    listed = isinstance(topics, list | tuple) and all(isinstance(each, str) for each in topics)
    if not listed and not isinstance(topics, str):
        raise ValueError("""must be a list of names, as in ["a", "b"], or a pattern in quotes""")
    return topics


RIGHT_TYPE = BeforeValidator(_right_type)
CHECKED = AfterValidator(_checked)
"""Of a model's field: a list of names, or a pattern as text."""


@lru_cache
def _matcher(pattern: str) -> Callable[[str], bool]:
    """Raises ValueError: it is no pattern, or one that is not taken here."""
    if not pattern or len(pattern) > LONGEST:
        raise ValueError(f"a pattern has 1 to {LONGEST} characters")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    step = _Reader(pattern).whole()
    return lambda name: len(name) in step(name, frozenset({0}))


class _Reader:
    """Reads a pattern that `re` has found to be right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> Step:
        step, _ = self._either()
        return step

    def _refused(self, what: str) -> ValueError:
        return ValueError(
            f"{self._text!r} has {what}, which a pattern of topics cannot have; there are "
            "letters, ., \\d, \\w, [a-z], (a|b), ?, *, +, {2,3}, ^ and $, and \\. for a "
            "literal point"
        )

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _taken(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _either(self) -> tuple[Step, int]:
        """The step, and how many repetitions are within each other there."""
        ways = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            ways.append(self._sequence())
        return _any_of([step for step, _ in ways]), max(depth for _, depth in ways)

    def _sequence(self) -> tuple[Step, int]:
        steps, depth = [], 0
        while self._next() not in {"", "|", ")"}:
            step, deep = self._repeated()
            steps.append(step)
            depth = max(depth, deep)
        return _one_by_one(steps), depth

    def _repeated(self) -> tuple[Step, int]:
        step, depth = self._one()
        times = self._times()
        if times is None:
            return step, depth
        more = int(times[1] > 1)
        if depth + more > MOST_NESTED:
            raise self._refused("repetitions of repetitions of repetitions")
        if self._next() == "?":
            self._at += 1  # the shortest first: the whole name is matched in any case
        elif self._next() == "+":
            raise self._refused(f"{self._text[self._at - 1 : self._at + 1]!r}")
        return _repeat(step, *times), depth + more

    def _times(self) -> tuple[int, int] | None:
        if self._next() in {"*", "+", "?"}:
            return {"*": (0, LONGEST), "+": (1, LONGEST), "?": (0, 1)}[self._taken()]
        if self._next() != "{":
            return None
        found = _TIMES.match(self._text, self._at)
        if found is None:
            raise self._refused("'{' that is not a repetition")
        self._at = found.end()
        low = int(found[1])
        high = low if found[2] is None else int(found[3] or LONGEST)
        if max(low, high) > LONGEST:
            raise ValueError(f"{self._text!r}: no name has more than {LONGEST} characters")
        return low, high

    def _one(self) -> tuple[Step, int]:
        letter = self._taken()
        if letter == "(":
            return self._group()
        if letter == "^":
            return (lambda name, at: at & {0}), 0
        if letter == "$":
            return (lambda name, at: at & {len(name)}), 0
        if letter == "[":
            found = _SET.match(self._text, self._at - 1)
            if found is None:
                raise self._refused("'[' within [ ]")
            self._at = found.end()
            return _character(found[0]), 0
        if letter == "\\":
            letter = self._taken()
            if letter.isalnum() and letter not in _CHARACTERS:
                raise self._refused(f"'\\{letter}'")
            return _character(_CHARACTERS.get(letter, re.escape(letter))), 0
        return _character("." if letter == "." else re.escape(letter)), 0

    def _group(self) -> tuple[Step, int]:
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._next() == "?":
            raise self._refused(f"'({self._text[self._at : self._at + 2]}'")
        found = self._either()
        self._at += 1
        return found


def _character(pattern: str) -> Step:
    fits = re.compile(pattern).fullmatch
    return lambda name, at: frozenset(
        each + 1 for each in at if each < len(name) and fits(name[each])
    )


def _any_of(steps: list[Step]) -> Step:
    return lambda name, at: frozenset().union(*(step(name, at) for step in steps))


def _one_by_one(steps: list[Step]) -> Step:
    def step(name: str, at: frozenset[int]) -> frozenset[int]:
        for each in steps:
            at = each(name, at)
        return at

    return step


def _repeat(step: Step, low: int, high: int) -> Step:
    def steps(name: str, at: frozenset[int]) -> frozenset[int]:
        for _ in range(low):
            before, at = at, step(name, at)
            if at == before:
                break
        found = new = at
        for _ in range(high - low):
            new = step(name, new) - found
            if not new:
                break
            found |= new
        return found

    return steps
