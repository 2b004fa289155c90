"""The text of a .proto file as a descriptor, or a descriptor that is given as text. Pure; used by
`kafka.formats.protobuf`, which decodes with it, and by `local.registry.proto_schema`, which
compares two.

https://protobuf.dev/reference/protobuf/proto3-spec/, and those of proto2 and of editions. Read is
what says how a message is written: custom options, services, extensions and reserved numbers are
passed over. Whether names and numbers fit together is checked by Google's library, which is given
the descriptor. Why no library reads the text: docs/decisions/0055.

Confluent's serializers for Python register a descriptor in base64 in place of the text.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_encoding
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    Edition,
    EnumDescriptorProto,
    FeatureSet,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import DecodeError

from nrtctl.pipeline.message_format import CannotRead

MOST_LEVELS = 60
"""Of messages in each other, and of braces that are passed over."""

MOST_CHARACTERS = 2**20
"""Of a file; as tokens they take some 60 times as much."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")

_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"""
    r"""|(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?))"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<sign>[=;,.(){}<>:/\[\]+-])""",
    re.DOTALL,
)
_LABELS = {
    "optional": FieldDescriptorProto.LABEL_OPTIONAL,
    "required": FieldDescriptorProto.LABEL_REQUIRED,
    "repeated": FieldDescriptorProto.LABEL_REPEATED,
}
_SCALARS = {
    name: FieldDescriptorProto.Type.Value(f"TYPE_{name.upper()}")
    for name in (
        "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string",
        "bytes", "uint32", "sfixed32", "sfixed64", "sint32", "sint64",
    )
}  # fmt: skip
_LARGEST = 2**31 - 1
_CLOSING = {"{": "}", "[": "]", "<": ">", "(": ")"}


@dataclass(frozen=True, slots=True)
class _Token:
    """Attributes: kind: word, number, text, sign, or end."""

    kind: str
    text: str
    line: int


def read(text: str, name: str) -> FileDescriptorProto:
    """The descriptor of the file. Messages are in the order of the text; those that fields bring
    along (of maps and groups) come after the others.

    Args:
        name: what others import it by.

    Raises:
        CannotRead
    """
    if len(text) > MOST_CHARACTERS:
        raise CannotRead(f"it has more than {MOST_CHARACTERS:,} characters")
    if (found := descriptor(text)) is not None:
        found.name = name
        return found
    try:
        return _Reader(text, name).file()
    except RecursionError as error:
        raise CannotRead("it is nested too deeply") from error


def descriptor(text: str) -> FileDescriptorProto | None:
    """What a descriptor in base64 says, without what is passed over in a text; None: it is none."""
    if _BASE64.fullmatch(text.strip()) is None:
        return None
    try:
        found = FileDescriptorProto.FromString(b64decode(text.strip(), validate=True))
    except (ValueError, DecodeError):
        return None
    if not (found.message_type or found.enum_type or found.dependency):
        return None
    del found.service[:], found.extension[:]
    for message in found.message_type:
        _without_extensions(message)
    return found


def _without_extensions(message: DescriptorProto) -> None:
    del message.extension[:]
    for each in message.nested_type:
        _without_extensions(each)


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise CannotRead(f"line {line}: {text[at]!r} is out of place")
        if found.lastgroup:
            yield _Token(found.lastgroup, found[0], line)
        line += found[0].count("\n")
        at = found.end()
    yield _Token("end", "the end", line)


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._tokens = list(_tokens(text.removeprefix("\ufeff")))
        self._at = 0
        self._file = FileDescriptorProto(name=name)
        self._levels = 0

    # What all of it is made of

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def _wrong(self, wanted: str, found: _Token) -> CannotRead:
        return CannotRead(f"line {found.line}: {found.text[:50]} where {wanted} is expected")

    def _is(self, text: str) -> bool:
        """Whether this comes next. It is taken then."""
        if self._next.kind == "text" or self._next.text != text:
            return False
        self._at += 1
        return True

    def _want(self, text: str) -> None:
        if not self._is(text):
            raise self._wrong(f"'{text}'", self._next)

    def _word(self, wanted: str) -> str:
        token = self._take()
        if token.kind != "word":
            raise self._wrong(wanted, token)
        return token.text

    def _name(self, wanted: str) -> str:
        """With its dots."""
        found = "." if self._is(".") else ""
        found += self._word(wanted)
        while self._is("."):
            found += "." + self._word(wanted)
        return found

    def _number(self) -> int:
        """Of 32 bits."""
        minus = self._is("-")
        token = self._take()
        try:
            octal = token.text[:1] == "0" and token.text.isdigit()
            number = int(token.text, 8 if octal else 0)
        except ValueError:
            raise self._wrong("a whole number", token) from None
        if number > _LARGEST + minus:
            raise self._wrong("a whole number of 32 bits", token)
        return -number if minus else number

    def _text(self) -> bytes:
        token = self._take()
        if token.kind != "text":
            raise self._wrong("a text", token)
        found = self._unescaped(token)
        while self._next.kind == "text":
            found += self._unescaped(self._take())
        return found

    def _unescaped(self, token: _Token) -> bytes:
        try:
            return bytes(text_encoding.CUnescape(token.text[1:-1]))
        except (ValueError, UnicodeError):
            raise self._wrong("a text", token) from None

    def _file_name(self) -> str:
        return self._text().decode(errors="replace")

    def _passed_over(self) -> None:
        """To the end of a statement, or of the braces that it has."""
        closing: list[str] = []
        while True:
            token = self._take()
            if token.kind == "end":
                raise self._wrong(closing[-1] if closing else "';'", token)
            if token.kind != "sign":
                continue
            if token.text in _CLOSING:
                closing.append(_CLOSING[token.text])
                if len(closing) > MOST_LEVELS:
                    raise CannotRead(f"line {token.line}: it is nested too deeply")
            elif closing and token.text == closing[-1]:
                closing.pop()
                if not closing and token.text == "}":
                    self._is(";")
                    return
            elif token.text == ";" and not closing:
                return

    def _options(self) -> Iterator[tuple[str, Any]]:
        """Those in brackets."""
        if not self._is("["):
            return
        while True:
            yield self._option()
            if self._is("]"):
                return
            self._want(",")

    def _option(self) -> tuple[str, Any]:
        """(name, value); a custom one has a name that is nothing here."""
        name = ""
        while not self._is("="):
            if self._is("("):
                name += f"({self._name('the name of an option')})"
                self._want(")")
            elif self._is("."):
                name += "."
            else:
                name += self._word("the name of an option")
        return name, self._value()

    def _value(self) -> Any:
        """Text: bytes; a number or a word: its text; None: a message, or a list, as registries
        write an option that is repeated."""
        if self._next.kind == "text":
            return self._text()
        if self._next.kind == "sign" and self._next.text in {"{", "["}:
            self._bracketed()
            return None
        sign = "-" if self._is("-") else ""
        token = self._take()
        if token.kind not in {"word", "number"}:
            raise self._wrong("a value", token)
        return sign + token.text

    def _bracketed(self) -> None:
        """To the bracket that closes the one that comes next."""
        closing: list[str] = []
        while True:
            token = self._take()
            if token.kind == "end":
                raise self._wrong(f"'{closing[-1]}'", token)
            if token.kind == "sign" and token.text in {"{", "["}:
                closing.append(_CLOSING[token.text])
            elif token.kind == "sign" and token.text == closing[-1]:
                closing.pop()
                if not closing:
                    return

    # What a file has

    def file(self) -> FileDescriptorProto:
        file = self._file
        file.syntax = "proto2"
        if self._is("syntax"):
            self._want("=")
            token = self._next
            file.syntax = self._file_name()
            if file.syntax not in {"proto2", "proto3"}:
                raise self._wrong("proto2 or proto3", token)
            self._want(";")
        elif self._is("edition"):
            self._edition()
        while self._next.kind != "end":
            self._statement()
        if file.syntax == "proto2":
            file.ClearField("syntax")
        return file

    def _edition(self) -> None:
        self._want("=")
        token = self._next
        try:
            self._file.edition = Edition.Value(f"EDITION_{self._file_name()}")
        except ValueError:
            raise self._wrong("a known edition", token) from None
        self._file.syntax = "editions"
        self._want(";")

    def _statement(self) -> None:
        file = self._file
        if self._is("import"):
            kind = self._take().text if self._next.text in {"public", "weak", "option"} else ""
            name = self._file_name()
            self._want(";")
            if kind != "option" and name not in file.dependency:
                file.dependency.append(name)
                if kind == "public":
                    file.public_dependency.append(len(file.dependency) - 1)
        elif self._is("package"):
            file.package = self._name("a name")
            self._want(";")
        elif self._is("option"):
            self._own_option(file.options)
        elif not self._type(file.message_type, file.enum_type, f".{file.package}".rstrip(".")):
            if self._is(";"):
                return
            if self._next.text not in {"service", "extend"}:
                raise self._wrong("message or enum", self._next)
            self._passed_over()

    def _type(self, messages: Any, enums: Any, scope: str) -> bool:
        """Whether a message or an enum comes. It is read then. Args: scope: what it stands in."""
        if self._next.text in {"export", "local"} and self._tokens[self._at + 1].kind == "word":
            self._at += 1
        if self._is("message"):
            message = messages.add(name=self._word("a name"))
            self._body(message, f"{scope}.{message.name}")
        elif self._is("enum"):
            self._enum(enums.add(name=self._word("a name")))
        else:
            return False
        return True

    def _own_option(self, options: Any) -> None:
        """Of a file, a message or an enum."""
        token = self._next
        name, value = self._option()
        if name == "allow_alias":
            options.allow_alias = value == "true"
        elif name == "message_set_wire_format" and value == "true":
            raise CannotRead(f"line {token.line}: message_set_wire_format is not supported")
        else:
            self._feature(options, name, value, token)
        self._want(";")

    def _feature(self, options: Any, name: str, value: Any, token: _Token) -> None:
        feature = name.removeprefix("features.")
        if not name.startswith("features") or "(" in name:
            return
        try:
            kind: Any = FeatureSet.DESCRIPTOR.fields_by_name[feature].enum_type
            setattr(options.features, feature, kind.values_by_name[value].number)
        except (KeyError, AttributeError):
            raise CannotRead(f"line {token.line}: {name} is not supported in this form") from None

    def _body(self, message: DescriptorProto, scope: str) -> None:
        self._levels += 1
        if self._levels > MOST_LEVELS:
            raise CannotRead(f"line {self._next.line}: it is nested too deeply")
        self._want("{")
        brought: list[DescriptorProto] = []
        while not self._is("}"):
            self._member(message, scope, brought)
        message.nested_type.extend(brought)
        taken = {each.name for each in message.field} | {each.name for each in message.oneof_decl}
        for field in message.field:
            if field.proto3_optional:
                name = f"_{field.name}"
                while name in taken:
                    name = f"X{name}"
                taken.add(name)
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=name)
        self._levels -= 1

    def _member(self, message: DescriptorProto, scope: str, brought: list[DescriptorProto]) -> None:
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if self._is(";"):
            return
        if self._next.text in {"reserved", "extensions", "extend"} and following.text != ".":
            self._passed_over()
        elif self._next.text == "option" and (following.kind == "word" or following.text == "("):
            self._at += 1
            self._own_option(message.options)
        elif self._next.text == "oneof" and following.kind == "word":
            self._at += 1
            self._oneof(message, scope, brought)
        elif following.kind != "word" or not self._type(
            message.nested_type, message.enum_type, scope
        ):
            self._field(message, scope, brought)

    def _oneof(self, message: DescriptorProto, scope: str, brought: list[DescriptorProto]) -> None:
        number = len(message.oneof_decl)
        oneof = message.oneof_decl.add(name=self._word("a name"))
        self._want("{")
        while not self._is("}"):
            if self._is("option"):
                self._own_option(oneof.options)
            elif not self._is(";"):
                self._field(message, scope, brought, oneof=number)

    def _field(
        self,
        message: DescriptorProto,
        scope: str,
        brought: list[DescriptorProto],
        oneof: int | None = None,
    ) -> None:
        """Args: oneof: the number of the one that it is in."""
        label = _LABELS.get(self._next.text)
        if label is not None:
            self._at += 1
        field = message.field.add(label=label or FieldDescriptorProto.LABEL_OPTIONAL)
        if oneof is not None:
            field.oneof_index = oneof
        elif label == FieldDescriptorProto.LABEL_OPTIONAL and self._file.syntax == "proto3":
            field.proto3_optional = True
        if self._next.text == "map" and self._tokens[self._at + 1].text == "<":
            self._map_type(field, scope, brought)
            return
        group = self._is("group")
        if not group:
            self._type_of(field)
        field.name = self._word("a name")
        self._want("=")
        field.number = self._number()
        for name, value in self._options():
            self._field_option(field, name, value)
        if not group:
            self._want(";")
            return
        made = DescriptorProto(name=field.name)
        field.type = FieldDescriptorProto.TYPE_GROUP
        field.type_name = f"{scope}.{made.name}"
        field.name = made.name.lower()
        self._body(made, field.type_name)
        brought.append(made)

    def _type_of(self, field: FieldDescriptorProto) -> None:
        name = self._name("a type")
        if name in _SCALARS:
            field.type = _SCALARS[name]
        else:
            field.type_name = name

    def _map_type(
        self, field: FieldDescriptorProto, scope: str, brought: list[DescriptorProto]
    ) -> None:
        self._at += 2
        entry = DescriptorProto()
        entry.options.map_entry = True
        optional = FieldDescriptorProto.LABEL_OPTIONAL
        self._type_of(entry.field.add(name="key", number=1, label=optional))
        self._want(",")
        self._type_of(entry.field.add(name="value", number=2, label=optional))
        self._want(">")
        field.name = self._word("a name")
        entry.name = "".join(each[:1].upper() + each[1:] for each in field.name.split("_"))
        entry.name += "Entry"
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f"{scope}.{entry.name}"
        brought.append(entry)
        self._want("=")
        field.number = self._number()
        for name, value in self._options():
            self._field_option(field, name, value)
        self._want(";")

    def _field_option(self, field: FieldDescriptorProto, name: str, value: Any) -> None:
        if name == "packed":
            field.options.packed = value == "true"
        else:
            self._feature(field.options, name, value, self._next)

    def _enum(self, enum: EnumDescriptorProto) -> None:
        self._want("{")
        while not self._is("}"):
            following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
            if self._is(";"):
                continue
            if following.text != "=" and self._is("option"):
                self._own_option(enum.options)
            elif following.text != "=" and self._next.text == "reserved":
                self._passed_over()
            else:
                value = enum.value.add(name=self._word("a name"))
                self._want("=")
                value.number = self._number()
                list(self._options())
                self._want(";")
