"""Protobuf's texts, as far as two of them are compared. Pure. Used by `compatibility`, `schemas`.

Source: https://protobuf.dev/reference/protobuf/proto3-spec/, and proto2's. What is read is which
messages and enums there are, and each field's number, name, type and label; options, services and
extensions are passed over. Imports are not followed: a name of another file is compared as it is
written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

MOST_LEVELS: Final = 64
MOST_NAME: Final = 512
MOST_LOOKS: Final = 500_000
"""For names of types, in one file."""
_TOKEN: Final = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\s+|"""
    r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\.?[A-Za-z_][\w.]*|[+-]?\.?\d[\w.+-]*|"""
    r"""[{}\[\]()<>=;,:+/-])|(.)""",
    re.DOTALL,
)
_LABELS: Final = frozenset({"optional", "required", "repeated"})
_BEFORE_A_TYPE: Final = _LABELS | {"extend", "stream"}
_PASSED_OVER: Final = frozenset({"option", "extensions", "reserved", "import", "syntax", "edition"})


class NotProtobuf(ValueError):
    """What is wrong with it, as a sentence without its end."""


@dataclass(frozen=True, slots=True)
class Field:
    """`label`: repeated, required, or empty: how it is written is the same for all others."""

    name: str
    type: str
    label: str

    @property
    def words(self) -> str:
        return f"{self.label} {self.type}".strip()


@dataclass(slots=True)
class File:
    """Messages and enums by their full names; of an enum: names by numbers."""

    messages: dict[str, dict[int, Field]] = field(default_factory=dict)
    enums: dict[str, dict[int, str]] = field(default_factory=dict)

    def knows(self, name: str) -> bool:
        return name in self.messages or name in self.enums


def tokens(text: str) -> list[str]:
    """Without comments and blanks, which may also stand within a name. Raises NotProtobuf."""
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        if match[2] is not None:
            raise NotProtobuf(f"{match[2]!r} has no meaning there")
        if (word := match[1]) is None:
            continue
        if found and _goes_on(found[-1], word):
            found[-1] += word
        else:
            found.append(word)
    return found


def _goes_on(before: str, word: str) -> bool:
    """Whether two words are one name that is broken at a point."""
    if word[0] == ".":
        named = before[0].isalpha() or before[0] in "_."
        return named and before not in _BEFORE_A_TYPE and word[1:2] not in "0123456789"
    return before[-1] == "." and (word[0].isalpha() or word[0] == "_")


def read(text: str) -> File:
    """Raises NotProtobuf."""
    reader = _Reader(tokens(text))
    reader.file()
    return reader.resolved()


def differences(new: File, old: File) -> list[str]:
    """What of the old one the new one says otherwise; the same in both directions.

    A number keeps its type and its label, and a message stays. Fields may come and go, and be
    renamed.
    """
    found = []
    for name, was in old.messages.items():
        if name not in new.messages:
            found.append(f"/{name}: the message is in one of the two only")
            continue
        now = new.messages[name]
        for number, before in was.items():
            after = now.get(number)
            if after is not None and after.words != before.words:
                why = f"field {number} is {after.words}, and was {before.words}"
                found.append(f"/{name}/{before.name}: {why}")
        for number in was.keys() ^ now.keys():
            each = was.get(number) or now[number]
            if each.label == "required":
                found.append(f"/{name}/{each.name}: a required field is in one of the two only")
    return found


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._file = File()
        self._names: dict[str, set[str]] = {}
        self._looks = 0
        self._package = ""

    def file(self) -> None:
        while self._at < len(self._tokens):
            match self._next():
                case ";" | "export" | "local":
                    continue
                case "package":
                    self._package = self._name()
                    self._want(";")
                case "message":
                    self._message(self._package, 0)
                case "enum":
                    self._enum(self._package)
                case "service" | "extend":
                    self._name()
                    self._block()
                case word if word in _PASSED_OVER:
                    self._statement()
                case word:
                    raise NotProtobuf(f"{_short(word)} begins nothing that a file has")

    def resolved(self) -> File:
        """Types by their full names, where the file has them."""
        for scope, fields in self._file.messages.items():
            for number, each in fields.items():
                fields[number] = Field(each.name, self._full(each.type, scope), each.label)
        return self._file

    def _full(self, name: str, scope: str) -> str:
        if name.startswith("map<"):
            key, value = name[4:-1].split(",")
            return f"map<{key},{self._full(value, scope)}>"
        if name.startswith("."):
            return name[1:]
        while scope:
            self._looks += 1
            if self._looks > MOST_LOOKS:
                raise NotProtobuf("its names take too long to look up")
            if self._file.knows(f"{scope}.{name}"):
                return f"{scope}.{name}"
            scope = scope.rpartition(".")[0]
        return name

    def _message(self, scope: str, level: int) -> None:
        name = f"{scope}.{self._name()}".lstrip(".")
        self._body(name, level)

    def _body(self, name: str, level: int) -> None:
        if level > MOST_LEVELS:
            raise NotProtobuf("its messages are nested too deeply")
        self._check_new(name)
        self._file.messages[name] = {}
        self._want("{")
        while (word := self._next()) != "}":
            match word:
                case ";":
                    continue
                case "export" | "local" if self._peek() in {"message", "enum"}:
                    continue
                case "message":
                    self._message(name, level + 1)
                case "enum":
                    self._enum(name)
                case "extend":
                    self._name()
                    self._block()
                case "oneof":
                    self._name()
                    self._want("{")
                    while (inner := self._next()) != "}":
                        if inner == "option":
                            self._statement()
                        elif inner != ";":
                            self._field(name, "", inner, level)
                case word if word in _PASSED_OVER and self._peek() != "=":
                    self._statement()
                case word if word in _LABELS:
                    label = "" if word == "optional" else word
                    self._field(name, label, self._next(), level)
                case word:
                    self._field(name, "", word, level)

    def _check_new(self, name: str) -> None:
        if self._file.knows(name) or len(name) > MOST_NAME:
            raise NotProtobuf(f"the name {_short(name)} is taken, or too long")

    def _field(self, message: str, label: str, type_: str, level: int) -> None:
        if type_ == "map":
            self._want("<")
            key = self._name()
            self._want(",")
            type_ = f"map<{key},{self._name()}>"
            self._want(">")
        name = self._name()
        self._want("=")
        number = self._number()
        if not 0 < number < 2**29:
            raise NotProtobuf(f"{number} is not a valid field number")
        fields = self._file.messages[message]
        names = self._names.setdefault(message, set())
        if number in fields or name in names:
            raise NotProtobuf(f"{message} has a field {name} or a number {number} already")
        names.add(name)
        if type_ == "group":
            type_ = f"{message}.{name}"
            fields[number] = Field(name.lower(), type_, label)
            if self._peek() == "[":
                self._block()
            self._body(type_, level + 1)
            return
        if not type_.startswith("map<"):
            _check_name(type_)
        fields[number] = Field(name, type_, label)
        self._statement()

    def _enum(self, scope: str) -> None:
        name = f"{scope}.{self._name()}".lstrip(".")
        self._check_new(name)
        values = self._file.enums[name] = {}
        self._want("{")
        while (word := self._next()) != "}":
            if word in {"option", "reserved"} and self._peek() != "=":
                self._statement()
            elif word != ";":
                _check_name(word)
                self._want("=")
                values[self._number()] = word
                self._statement()

    def _statement(self) -> None:
        """Pass over what is left of it, with what it has in brackets."""
        while (word := self._next()) != ";":
            if word in "{[":
                self._at -= 1
                self._block()
                if word == "{" and self._peek() != ";":
                    return

    def _block(self) -> None:
        """Pass over what is in brackets."""
        closing = []
        while True:
            word = self._next()
            if word in _CLOSING:
                closing.append(_CLOSING[word])
                if len(closing) > MOST_LEVELS:
                    raise NotProtobuf("its brackets are nested too deeply")
            elif closing and word == closing[-1]:
                closing.pop()
                if not closing:
                    return
            elif word in "}]" or not closing:
                raise NotProtobuf(f"{_short(word)} has no meaning there")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise NotProtobuf("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _want(self, expected: str) -> None:
        found = self._next()
        if found != expected:
            raise NotProtobuf(f"{_short(found)} where {expected!r} is expected")

    def _name(self) -> str:
        return _check_name(self._next())

    def _number(self) -> int:
        word = self._next()
        try:
            return int(word, 0) if not re.fullmatch(r"-?0\d+", word) else int(word, 8)
        except ValueError:
            raise NotProtobuf(f"{_short(word)} is not a number") from None


_CLOSING: Final = {"{": "}", "[": "]"}


def _check_name(word: str) -> str:
    if re.fullmatch(r"\.?[A-Za-z_][\w.]*", word) is None or len(word) > MOST_NAME:
        raise NotProtobuf(f"{_short(word)} is not a name")
    return word


def _short(word: str) -> str:
    return repr(word if len(word) < 80 else f"{word[:80]}…")
