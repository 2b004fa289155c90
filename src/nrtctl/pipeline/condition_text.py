"""Conditions on messages, as people write them: `event_type = 'order' and not amount > 9`. Pure.

    items[0].price >= 9.5          a path into the value, an operator and a value
    user."odd key" in ('a', 'b')   a key with other characters stands in double quotes
    name like 'A%' or name ~ '^A'  a pattern of SQL, a regular expression
    error is null, error           it leads nowhere or to null; it leads to something
    header('type') = 'order'       the last header of that name; key() is the message's key

Texts stand in single quotes, where '' is one quote, or are JSON. One without quotes goes on up to
` and `, ` or `, or the end of its parentheses. Called by `cli.peek_command` and `pipeline`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from nrtctl.pipeline.condition import (
    ORDERS,
    All,
    Condition,
    Either,
    Equal,
    IsNull,
    Like,
    Matches,
    Not,
    Order,
    pattern_of,
)
from nrtctl.pipeline.fields import Source

_STEP = re.compile(r'\.?([A-Za-z_@$][\w@$-]*)|\.?("(?:[^"\\]|\\.)*")|\[(-?\d+)\]')
_OPERATOR = re.compile(r"\s*(==|=|!=|<=|>=|<|>|~)\s*")
_WORD = re.compile(r"\s*([A-Za-z]+)(?![\w@$-])")
_RECORD = re.compile(r"\s*(?:header\(\s*'((?:[^']|'')+)'\s*\)|(key)\(\s*\))")
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_SPACE = re.compile(r"\s*")
_GOES_ON = re.compile(r"\s+(?:and|or)(?![\w@$-])", re.IGNORECASE)

_MARKS = "=<>!~"
_AS_IN = "as in user.country = 'DE' and amount > 9.5"


def parse_condition(text: str) -> Condition:
    """Raises ValueError: it is no condition; says at which character, from 1."""
    reader = _Reader(text)
    found = reader.either()
    if not reader.at_end():
        raise reader.refused("'and', 'or' or the end")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._listing = False

    def refused(self, wanted: str) -> ValueError:
        self._space()
        rest = self._text[self._at : self._at + 20]
        there = f"character {self._at + 1} ({rest!r})" if rest else "its end"
        return ValueError(
            f"{self._text!r} is not a condition: at {there} there should be {wanted}, {_AS_IN}"
        )

    def at_end(self) -> bool:
        self._space()
        return self._at == len(self._text)

    def either(self) -> Condition:
        parts = [self._both()]
        while self._took("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Condition:
        parts = [self._one()]
        while self._took("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self) -> Condition:
        if self._is_not() and self._took("not"):
            return Not(self._one())
        if self._took_mark("("):
            found = self.either()
            if not self._took_mark(")"):
                raise self.refused("a closing parenthesis")
            return found
        return self._about(self._source())

    def _is_not(self) -> bool:
        """Whether `not`, if it is next, is the word and not a key of that name."""
        word = _WORD.match(self._text, self._at)
        if word is None or word[1].lower() != "not":
            return False
        rest = self._text[word.end() :]
        return bool(rest.strip()) and rest[:1] not in ".[" and _OPERATOR.match(rest) is None

    def _about(self, source: Source) -> Condition:
        if self._took("is"):
            negated = self._took("not")
            if not self._took("null"):
                raise self.refused("null")
            return Not(IsNull(source)) if negated else IsNull(source)
        before = self._at
        negated = self._took("not")
        found: Condition | None = None
        if self._took("in"):
            found = self._in(source)
        elif self._took("like"):
            found = Like(source, self._pattern())
        elif negated:
            self._at = before
            raise self.refused("an operator")
        if found is not None:
            return Not(found) if negated else found
        operator = _OPERATOR.match(self._text, self._at)
        if operator is None:
            return Not(IsNull(source))
        self._at = operator.end()
        return self._compared(source, operator[1])

    def _compared(self, source: Source, operator: str) -> Condition:
        if operator == "~":
            at = self._at
            pattern = self._pattern()
            try:
                pattern_of(pattern)
            except ValueError as error:
                raise ValueError(f"{self._text!r}: at character {at + 1}: {error}") from error
            return Matches(source, pattern)
        at = self._at
        wanted = self._value(_scalar)
        if operator in ORDERS:
            if isinstance(wanted, bool) or not isinstance(wanted, str | int | float):
                self._at = at
                raise self.refused("a number or a text, since nothing else has an order")
            return Order(source, operator, wanted)
        found = IsNull(source) if wanted is None else Equal(source, (wanted,))
        return Not(found) if operator == "!=" else found

    def _in(self, source: Source) -> Condition:
        if not self._took_mark("("):
            raise self.refused("the values in parentheses")
        values = [self._value(_scalar, listed=True)]
        while self._took_mark(","):
            values.append(self._value(_scalar, listed=True))
        if not self._took_mark(")"):
            raise self.refused("a comma or a closing parenthesis")
        known = tuple(each for each in values if each is not None)
        if len(known) == len(values):
            return Equal(source, known)
        return Either((IsNull(source), Equal(source, known))) if known else IsNull(source)

    def _source(self) -> Source:
        record = _RECORD.match(self._text, self._at)
        if record is not None:
            self._at = record.end()
            if record[2]:
                return Source(record="key")
            return Source(record="header", header=record[1].replace("''", "'"))
        self._space()
        path: list[str | int] = []
        start = self._at
        if self._text.startswith("$.", self._at):
            self._at += 2
        while (step := _STEP.match(self._text, self._at)) is not None:
            name, quoted, index = step.groups()
            if not path and self._text.startswith(".", self._at):
                break
            if name is not None:
                path.append(name)
            elif quoted is not None:
                path.append(self._json_text(quoted))
            else:
                path.append(int(index))
            self._at = step.end()
        if not path:
            self._at = start
            raise self.refused("a path")
        return Source(path=tuple(path))

    def _json_text(self, quoted: str) -> str:
        try:
            return str(json.loads(quoted))
        except ValueError:
            raise self.refused("a key as JSON writes it") from None

    def _pattern(self) -> str:
        found = self._value(lambda text: text)
        return found if isinstance(found, str) else json.dumps(found)

    def _value(self, bare: Callable[[str], Any], *, listed: bool = False) -> Any:
        """Args: bare: what a text without quotes is."""
        self._space()
        if (quoted := _QUOTED.match(self._text, self._at)) is not None:
            self._at = quoted.end()
            return quoted[1].replace("''", "'")
        if self._text[self._at : self._at + 1] == "'":
            raise self.refused("a text that its closing quote ends")
        if self._text[self._at : self._at + 1] in {'"', "[", "{"}:
            try:
                found, self._at = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                pass  # a text that begins so, such as a pattern
            else:
                return found
        return bare(self._bare(listed=listed))

    def _bare(self, *, listed: bool) -> str:
        start, depth = self._at, 0
        while self._at < len(self._text):
            mark = self._text[self._at]
            if depth == 0 and (
                mark == ")" or (listed and mark == ",") or _GOES_ON.match(self._text, self._at)
            ):
                break
            depth += (mark == "(") - (mark == ")")
            self._at += 1
        found = self._text[start : self._at].strip()
        if not found or found[0] in _MARKS:
            self._at = start
            raise self.refused("a value")
        return found

    def _space(self) -> None:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at

    def _took(self, word: str) -> bool:
        found = _WORD.match(self._text, self._at)
        if found is None or found[1].lower() != word:
            return False
        self._at = found.end()
        return True

    def _took_mark(self, mark: str) -> bool:
        self._space()
        if not self._text.startswith(mark, self._at):
            return False
        self._at += 1
        return True


def _no_constant(text: str) -> Any:
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _scalar(text: str) -> Any:
    """A JSON value, else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text
