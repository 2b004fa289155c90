"""Protobuf's schemas, as far as two of them are compared. Pure. Used by `compatibility`, `schemas`.

The text is read by what the consumer decodes with, `pipeline.proto_text`. Two schemas are compared
by the rules of Confluent's registry (docs/decisions/0073), but that imports are not followed: a
name of another file is compared as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from nrtctl.pipeline import proto_text

MOST_NAME: Final = 512
MOST_LOOKS: Final = 500_000
"""For names of types, in one file."""

_KINDS: Final = {
    each: kind
    for kind, types in {
        "a varint": "int32 int64 uint32 uint64 bool enum",
        "a zigzag varint": "sint32 sint64",
        "a text or bytes": "string bytes",
        "4 fixed bytes": "fixed32 sfixed32",
        "8 fixed bytes": "fixed64 sfixed64",
        "a float": "float",
        "a double": "double",
    }.items()
    for each in types.split()
}
"""Scalar types by how they are written: one may become another of its kind."""

_TEXT: Final = "a text or bytes"
_LABELS: Final = {
    FieldDescriptorProto.LABEL_OPTIONAL: "optional",
    FieldDescriptorProto.LABEL_REQUIRED: "required",
    FieldDescriptorProto.LABEL_REPEATED: "repeated",
}
_NAMES: Final = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


Named = TypeVar("Named", DescriptorProto, EnumDescriptorProto)


class NotProtobuf(ValueError):
    """What is wrong with it, as a sentence without its end."""


@dataclass(frozen=True, slots=True)
class Type:
    """`kind`: one of `_KINDS`, "a map", or "a message", as which a name of another file counts.
    `name`: as it is written; of a message of the file: without the package. `of`: key and value of
    a map."""

    name: str
    kind: str
    of: tuple[Type, ...] = ()

    @property
    def is_scalar(self) -> bool:
        return self.kind not in {"a map", "a message"}


@dataclass(frozen=True, slots=True)
class Field:
    """`label`: as it is written; empty: none is. `oneof`: the one that it is in."""

    name: str
    type: Type
    label: str
    oneof: str

    @property
    def words(self) -> str:
        return f"{self.label} {self.type.name}".strip()


@dataclass(slots=True)
class File:
    """Messages and enums by their names, without the package; of an enum: names by numbers."""

    messages: dict[str, dict[int, Field]] = field(default_factory=dict)
    enums: dict[str, dict[int, str]] = field(default_factory=dict)


def read(text: str) -> File:
    """Raises NotProtobuf."""
    try:
        found = proto_text.read(text, "")
    except ValueError as error:
        raise NotProtobuf(str(error)) from error
    try:
        return _Reader(found).file()
    except LookupError:  # of a descriptor, which may be anything
        raise NotProtobuf(
            "a field of the descriptor has no type, or is in a oneof that is none"
        ) from None


def differences(new: File, old: File) -> list[str]:
    """Why who has the new schema cannot read what was written with the old one. Fields may come and
    go, be renamed, and take another type of their kind."""
    found = []
    for name, was in old.messages.items():
        if name not in new.messages:
            found.append(f"/{name}: the message is missing")
            continue
        now = new.messages[name]
        found += [f"/{name}{each}" for each in _between(now, was)]
    return found


def _between(now: Mapping[int, Field], was: Mapping[int, Field]) -> Iterator[str]:
    for number, before in was.items():
        if (after := now.get(number)) is not None:
            if not _is_same(after, before):
                yield f"/{before.name}: field {number} is {after.words}, and was {before.words}"
        elif before.label == "required":
            yield f"/{before.name}: the required field is missing"
        elif before.oneof and before.oneof in {each.oneof for each in now.values()}:
            yield f"/{before.name}: the field is missing in the oneof {before.oneof}"
    for number, after in now.items():
        if after.label == "required" and (number not in was or was[number].oneof):
            yield f"/{after.name}: a required field is new"
    yield from _into_oneofs(now, was)


def _into_oneofs(now: Mapping[int, Field], was: Mapping[int, Field]) -> Iterator[str]:
    """Of two fields that come into one oneof, a reader would drop one."""
    for oneof in dict.fromkeys(each.oneof for each in now.values() if each.oneof):
        before = [was[at] for at, each in now.items() if each.oneof == oneof and at in was]
        moved = [each.name for each in before if not each.oneof]
        if len(moved) > 1 or (moved and len(moved) < len(before)):
            others = "" if len(moved) > 1 else " beside fields that were in one"
            yield f"/{oneof}: {', '.join(moved)} moved into the oneof{others}"


def _is_same(now: Field, was: Field) -> bool:
    numeric = was.type.is_scalar and was.type.kind != _TEXT
    if numeric and now.label and was.label and now.label != was.label:
        return False
    return _is_same_type(now.type, was.type)


def _is_same_type(now: Type, was: Type) -> bool:
    if now.kind != was.kind:
        return False
    if now.kind == "a message":
        return now.name == was.name
    return all(map(_is_same_type, now.of, was.of))


class _Reader:
    """Makes a file of its descriptor. Names are full here, with the package."""

    def __init__(self, found: FileDescriptorProto) -> None:
        self._found = found
        self._messages: dict[str, DescriptorProto] = {}
        self._enums: dict[str, EnumDescriptorProto] = {}
        self._maps: dict[str, DescriptorProto] = {}
        self._looks = 0

    def file(self) -> File:
        """Raises NotProtobuf."""
        for each in self._found.enum_type:
            self._add(self._enums, self._found.package, each)
        for message in self._found.message_type:
            self._collect(self._found.package, message)
        return File(
            {self._own(name): self._fields(name, each) for name, each in self._messages.items()},
            {
                self._own(name): {value.number: value.name for value in each.value}
                for name, each in self._enums.items()
            },
        )

    def _collect(self, scope: str, message: DescriptorProto) -> None:
        if message.options.map_entry:
            self._add(self._maps, scope, message)
            return
        name = self._add(self._messages, scope, message)
        for enum in message.enum_type:
            self._add(self._enums, name, enum)
        for each in message.nested_type:
            self._collect(name, each)

    def _add(self, names: dict[str, Named], scope: str, named: Named) -> str:
        name = f"{scope}.{named.name}".lstrip(".")
        taken = any(name in each for each in (self._messages, self._enums, self._maps))
        if taken or len(name) > MOST_NAME:
            raise NotProtobuf(f"the name {_short(name)} is taken, or too long")
        names[name] = named
        return name

    def _own(self, name: str) -> str:
        """Without the package, which may be another one in the other file."""
        return name.removeprefix(f"{self._found.package}.") if self._found.package else name

    def _fields(self, message: str, found: DescriptorProto) -> dict[int, Field]:
        fields: dict[int, Field] = {}
        names: set[str] = set()
        for each in found.field:
            if not 0 < each.number < 2**29:
                raise NotProtobuf(f"{each.number} is not a valid field number")
            if each.number in fields or each.name in names:
                raise NotProtobuf(
                    f"{self._own(message)} has a field {each.name} or a number {each.number} "
                    "already"
                )
            names.add(each.name)
            is_in_one = each.HasField("oneof_index") and not each.proto3_optional
            type_ = self._type(each, message)
            fields[each.number] = Field(
                each.name,
                type_,
                self._label(each, type_, is_in_one),
                found.oneof_decl[each.oneof_index].name if is_in_one else "",
            )
        return fields

    def _label(self, found: FieldDescriptorProto, type_: Type, is_in_one: bool) -> str:
        unsaid = (
            found.label == FieldDescriptorProto.LABEL_OPTIONAL
            and self._found.syntax != ""
            and not found.proto3_optional
        )
        return "" if unsaid or is_in_one or type_.kind == "a map" else _LABELS[found.label]

    def _type(self, found: FieldDescriptorProto, scope: str) -> Type:
        if not found.type_name:
            name = _NAMES[found.type]
            return Type(name, _KINDS[name])
        if len(found.type_name) > MOST_NAME:
            raise NotProtobuf(f"the name {_short(found.type_name)} is too long")
        name = self._full(found.type_name, scope)
        if (entry := self._maps.get(name)) is not None:
            of = tuple(self._type(each, scope) for each in entry.field)
            return Type(f"map<{','.join(each.name for each in of)}>", "a map", of)
        own = self._own(name) if name in self._messages or name in self._enums else name
        return Type(own, "a varint" if name in self._enums else "a message")

    def _full(self, name: str, scope: str) -> str:
        if name.startswith("."):
            return name[1:]
        while scope:
            self._looks += 1
            if self._looks > MOST_LOOKS:
                raise NotProtobuf("its names take too long to look up")
            full = f"{scope}.{name}"
            if any(full in each for each in (self._messages, self._enums)):
                return full
            scope = scope.rpartition(".")[0]
        return name


def _short(word: str) -> str:
    return repr(word if len(word) < 80 else f"{word[:80]}…")
