"""Protobuf's messages as values that become JSON. Used by `decoder` and `protobuf_encoder`.

https://protobuf.dev/programming-guides/encoding/. Google's library decodes the bytes, in C, and
what follows takes the fields out of what it has made; `proto_text` reads the schemas
(docs/decisions/0055). What the library would ignore although the schema has it, and what would take
much more memory than it has bytes, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from operator import attrgetter
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from nrtctl.errors import ConfigError
from nrtctl.kafka.formats.avro import Wrong, base64_of, number_of
from nrtctl.kafka.formats.proto_files import CONFLUENT, GOOGLE_TYPES, PACKAGED
from nrtctl.kafka.formats.proto_size import Size
from nrtctl.kafka.formats.proto_types import SPECIAL, Convert, is_special
from nrtctl.kafka.formats.wire import Undecodable
from nrtctl.pipeline import proto_text
from nrtctl.pipeline.message_format import CannotRead

Imports = Callable[[str], str | None]
"""The text of a file that is imported by this name; None: there is none."""

Read = Callable[[bytes], Any]

_OWN = "(schema)"
"""The name of the file that nobody imports."""

_FAULTS = {
    "bad UTF-8": "a string is not UTF-8",
    "MaxDepth": "it is nested too deeply",
}
_VARINT = 0


def check_library() -> None:
    """Raises ConfigError: the library is here without what decodes in C. Its part in Python takes
    some names of fields for its own, and says other things of bad bytes."""
    if api_implementation.Type() != "upb":
        raise ConfigError(
            "pipeline.format needs the compiled part of the library protobuf, which is not "
            "installed",
            hint="install a wheel of protobuf for this machine: pip install --only-binary :all: "
            "protobuf, and leave PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION unset",
        )


class Schema:
    """The messages of a schema, and of what it imports.

    Args:
        text: of a .proto file.
        imports: gives the other files.
    """

    def __init__(self, text: str, imports: Imports) -> None:
        """Raises CannotRead."""
        self._pool = descriptor_pool.DescriptorPool()
        self._imports = imports
        self._added: set[str] = set()
        self._absent: list[str] = []
        self._names: list[str] = []
        self._counts_maps = proto_text.descriptor(text) is not None
        file = proto_text.read(text, _OWN)
        self._add(file, frozenset())
        self._names = [each.name for each in file.message_type]
        self._file: FileDescriptor = self._pool.FindFileByName(_OWN)

    @classmethod
    def of_set(cls, data: bytes) -> Schema:
        """Of what protoc has written with --descriptor_set_out. Raises CannotRead."""
        try:
            files = FileDescriptorSet.FromString(data).file
        except DecodeError as error:
            raise CannotRead("it is not a FileDescriptorSet") from error
        made = cls('syntax = "proto3";', lambda _: None)
        if not files:
            raise CannotRead("it is not a FileDescriptorSet")
        known = {each.name: each for each in files}
        for each in files:
            made._add_one_of(known, each, frozenset())
        made._file = made._pool.FindFileByName(files[-1].name)
        made._names = [each.name for each in files[-1].message_type]
        return made

    def message(self, name: str | None) -> Descriptor:
        """Args: name: with its package, or without; None: the only one that the file has.

        Raises:
            CannotRead: there is none.
        """
        if name is None:
            if len(self._names) != 1:
                listed = ", ".join(self._names[:10])
                raise CannotRead(f"choose the message with schema_message: {listed}")
            name = self._names[0]
        for full in (name, f"{self._file.package}.{name}"):
            try:
                return self._pool.FindMessageTypeByName(full)
            except KeyError:
                continue
        raise CannotRead(f"it has no message {name}")

    def at(self, indexes: Sequence[int]) -> Descriptor | None:
        """The message at this place, counted from 0 on each level; None: there is none. Without
        those of maps, but in a descriptor: who registers one counts them, and they have a place.
        """
        found: Descriptor | None = None
        for index in indexes:
            inside = self._of_file() if found is None else self._nested(found)
            if not 0 <= index < len(inside):
                return None
            found = inside[index]
        return found

    def indexes(self, message: Descriptor) -> list[int]:
        """The place of a message of the file, as `at` takes it."""
        above = message.containing_type
        siblings = self._of_file() if above is None else self._nested(above)
        index = [each.full_name for each in siblings].index(message.full_name)
        return [index] if above is None else [*self.indexes(above), index]

    def _nested(self, message: Descriptor) -> list[Descriptor]:
        inside = message.nested_types
        return [e for e in inside if self._counts_maps or not e.GetOptions().map_entry]

    def _of_file(self) -> list[Descriptor]:
        return [self._file.message_types_by_name[name] for name in self._names]

    def _add(self, file: FileDescriptorProto, within: frozenset[str]) -> None:
        """Args: within: the files that import it."""
        if file.name in self._added:
            return
        if file.name in within:
            raise CannotRead(f"{file.name} imports itself")
        there = []
        for name in file.dependency:
            other = self._file_of(name)
            if other is None:
                self._absent.append(name)
                continue
            there.append(name)
            self._add(other, within | {file.name})
        # The others have custom options, which are not read, or a type that is missed below.
        del file.dependency[:], file.public_dependency[:], file.weak_dependency[:]
        file.dependency.extend(there)
        self._build(file)

    def _add_one_of(
        self, known: dict[str, FileDescriptorProto], file: FileDescriptorProto,
        within: frozenset[str],
    ) -> None:  # fmt: skip
        if file.name in within:
            raise CannotRead(f"{file.name} imports itself")
        for name in file.dependency:
            other = known.get(name) or self._file_of(name)
            if other is None:
                raise CannotRead(f"it lacks {name}: use protoc's --include_imports")
            self._add_one_of(known, other, within | {file.name})
        self._build(file)

    def _file_of(self, name: str) -> FileDescriptorProto | None:
        if name in PACKAGED:
            module = import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
            return FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        text = CONFLUENT.get(name)
        if text is None:
            text = self._imports(name)
        if text is None:
            text = GOOGLE_TYPES.get(name)
        try:
            return None if text is None else proto_text.read(text, name)
        except CannotRead as error:
            raise CannotRead(f"{name}: {error}") from error

    def _build(self, file: FileDescriptorProto) -> None:
        if file.name in self._added:
            return
        self._added.add(file.name)
        try:
            self._pool.AddSerializedFile(file.SerializeToString())
        except (TypeError, UnicodeEncodeError) as error:
            why = str(error).rpartition("descriptor pool: ")[2]
            absent = f"; {', '.join(self._absent)} is missing" if self._absent else ""
            raise CannotRead(f"{why}{absent}") from error


def reader(message: Descriptor, wanted: Descriptor | None = None) -> Read:
    """What reads the bytes of a message, and raises Undecodable.

    Args:
        wanted: the message as its reader has it: fields have its names.

    Raises:
        CannotRead: the two do not fit together.
    """
    if wanted is not None and wanted.name != message.name:
        raise CannotRead(f"it is {message.full_name}, and not {wanted.full_name} of reader_schema")
    parse: Callable[[bytes], Any] = message_factory.GetMessageClass(message).FromString
    value_of = _Readers().of(message, wanted)
    size = Size(message)
    required = _has_required(message, set())

    def read(data: bytes) -> Any:
        if len(data) > size.harmless:
            size.check(data)
        try:
            found = parse(data)
            if required and not found.IsInitialized():
                raise Undecodable(f"it lacks {found.FindInitializationErrors()[0]}")
            return value_of(found)
        except DecodeError as error:
            raise Undecodable(_fault(str(error))) from error
        except UnicodeDecodeError as error:
            raise Undecodable("a string is not UTF-8") from error
        except Wrong as error:
            raise Undecodable(str(error)) from error
        except RecursionError as error:
            raise Undecodable("it is nested too deeply") from error

    return read


def _fault(text: str) -> str:
    for part, said in _FAULTS.items():
        if part in text:
            return said
    return "they end too early, or are no Protobuf"


def _has_required(message: Descriptor, seen: set[str]) -> bool:
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    return any(
        each.is_required or (each.message_type and _has_required(each.message_type, seen))
        for each in message.fields
    )


class _Readers:
    """What takes the values out of messages, by types. It makes each once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Convert] = {}

    def of(self, message: Descriptor, wanted: Descriptor | None) -> Convert:
        if is_special(message):
            return SPECIAL[message.full_name]
        key = (message.full_name, wanted.full_name if wanted else "")
        if key not in self._made:
            later: list[Convert] = []
            self._made[key] = lambda value: later[0](value)  # which may be within itself
            later.append(self._message(message, wanted))
            self._made[key] = later[0]
        return self._made[key]

    def _message(self, message: Descriptor, wanted: Descriptor | None) -> Convert:
        always: dict[str, Any] = {}
        plain: dict[str, str] = {}
        others: list[tuple[str, str, bool, Convert | None]] = []
        for name, field, other in _pairs(message, wanted):
            if field is None:
                if other is not None and not other.has_presence:
                    always[name] = _default(other)
                continue
            if other is not None and field.has_presence and not other.has_presence:
                always[name] = _default(other)
            convert = self._field(field, other)
            if convert is None and not field.has_presence:
                plain[name] = field.name
            else:
                others.append((name, field.name, field.has_presence, convert))
        has = message_factory.GetMessageClass(message).HasField
        ignored = _Ignored(message)
        names, get = list(plain), _getter(list(plain.values()))

        def convert_message(value: Any) -> dict[str, Any]:
            found = {**always, **dict(zip(names, get(value), strict=True))}
            for name, own, optional, convert in others:
                if not optional or has(value, own):
                    inside = getattr(value, own)
                    found[name] = inside if convert is None else convert(inside)
            if unknown := UnknownFieldSet(value):
                ignored.check(unknown)
            return found

        return convert_message

    def _field(self, field: FieldDescriptor, wanted: FieldDescriptor | None) -> Convert | None:
        """None: its value is as JSON has it."""
        if is_map(field):
            return self._map(field, wanted)
        convert = self._value(field, wanted)
        if not field.is_repeated:
            return convert
        if convert is None:
            return list
        return lambda values: [convert(each) for each in values]

    def _value(self, field: FieldDescriptor, wanted: FieldDescriptor | None) -> Convert | None:
        if field.message_type is not None:
            return self.of(field.message_type, wanted.message_type if wanted else None)
        if field.cpp_type in {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}:
            return number_of
        if field.type == FieldDescriptor.TYPE_BYTES:
            return base64_of
        if field.enum_type is None:
            return None
        names = _enum_names(field)
        if wanted is not None and wanted.enum_type is not None:
            names |= _enum_names(wanted)
        return lambda number: names.get(number, number)

    def _map(self, field: FieldDescriptor, wanted: FieldDescriptor | None) -> Convert:
        keys, values_field = key_and_value(field)
        convert = self._value(values_field, key_and_value(wanted)[1] if wanted else None)
        boolean = keys.type == FieldDescriptor.TYPE_BOOL
        text = keys.type == FieldDescriptor.TYPE_STRING

        def convert_map(values: Any) -> dict[str, Any]:
            if text and any(type(key) is bytes for key in values):
                raise Wrong("a string is not UTF-8")
            return {
                str(key).lower() if boolean else str(key): (
                    values[key] if convert is None else convert(values[key])
                )
                for key in sorted(values)
            }

        return convert_map


def _pairs(
    message: Descriptor, wanted: Descriptor | None
) -> Iterable[tuple[str, FieldDescriptor | None, FieldDescriptor | None]]:
    """(name in JSON, field of the message, that of its reader) of each field that is read."""
    if wanted is None:
        for field in message.fields:
            yield field.name, field, None
        return
    for other in wanted.fields:
        own = message.fields_by_number.get(other.number)
        if own is not None and _shape(own) != _shape(other):
            raise CannotRead(
                f"field {other.number} is {_shape(own)} there, and {_shape(other)} in "
                f"reader_schema ({other.name})"
            )
        yield other.name, own, other


def _shape(field: FieldDescriptor) -> str:
    kind = "a message" if field.message_type is not None else "a value"
    if is_map(field):
        return f"a map of {_shape(key_and_value(field)[1])}"
    return f"repeated {kind}" if field.is_repeated else kind


def is_map(field: FieldDescriptor) -> bool:
    """Whether it is written as map<…>."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def key_and_value(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Of a map."""
    entry: Any = field.message_type
    return entry.fields_by_name["key"], entry.fields_by_name["value"]


def _default(field: FieldDescriptor) -> Any:
    """Of a field that has a value whether it was written or not."""
    if field.is_repeated:
        return {} if is_map(field) else []
    if field.enum_type is not None:
        return _enum_names(field).get(field.default_value, field.default_value)
    return "" if field.type == FieldDescriptor.TYPE_BYTES else field.default_value


def _enum_names(field: FieldDescriptor) -> dict[int, str]:
    kind: Any = field.enum_type
    return {each.number: each.name for each in reversed(kind.values)}


def _getter(names: list[str]) -> Callable[[Any], Sequence[Any]]:
    if not names:
        return lambda _: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda value: (get(value),)


class _Ignored:
    """What the library has not taken for a field. Numbers that the schema does not have are of
    another version of it; those that it has were written as another type."""

    def __init__(self, message: Descriptor) -> None:
        self._fields = message.fields_by_number

    def check(self, unknown: Any) -> None:
        """Args: unknown: an UnknownFieldSet. Raises Wrong."""
        for each in unknown:
            field = self._fields.get(each.field_number)
            if field is None:
                continue
            if field.enum_type is not None and each.wire_type == _VARINT:
                continue  # a number that a closed enum does not have: the field is not set
            if is_map(field) and key_and_value(field)[1].enum_type is not None:
                raise Wrong(f"field {field.number} ({field.name}) has a number that is in no enum")
            raise Wrong(f"field {field.number} ({field.name}) is of another type")
