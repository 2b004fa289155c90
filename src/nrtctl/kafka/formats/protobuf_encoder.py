"""Messages as JSON into Protobuf: what `produce` sends where the pipeline's format says so.

Called by `producer.sources.encoded`. What `encoder` says of Avro holds here: no value is rounded or
left out, and a message that the schema does not fit is refused, with the field that does not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from nrtctl.kafka.formats.avro import EPOCH
from nrtctl.kafka.formats.encoder import DoesNotFit, below, given_json, misfit, nearest, nested
from nrtctl.kafka.formats.numbers import units
from nrtctl.kafka.formats.proto_types import MOST_SCALE, is_special
from nrtctl.kafka.formats.protobuf import is_map, key_and_value
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.message_format import CannotRead
from nrtctl.pipeline.suggest import identifier

_DURATION_DIGITS = 9 + len(str(2**63))
"""In nanoseconds."""
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64),
}
_KINDS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}
_MOMENT = re.compile(r"(.{10}[T ][0-9:]{8})(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


class ProtobufEncoder:
    """Args:
    message: what each of them is.
    before: bytes in front of it.
    """

    def __init__(self, message: Descriptor, before: bytes = b"") -> None:
        self._message = message
        self._class = message_factory.GetMessageClass(message)
        self._before = before

    def encode(self, text: bytes) -> bytes:
        """The message of this JSON text. Raises DoesNotFit."""
        made = self._class()
        try:
            _fill(made, given_json(text), "")
            return self._before + bytes(made.SerializeToString(deterministic=True))
        except RecursionError as error:
            raise DoesNotFit("it is nested too deeply") from error


def _fill(made: Any, value: Any, at: str) -> None:
    """Args: at: where the value stands."""
    message = made.DESCRIPTOR
    if is_special(message):
        try:
            _SPECIAL[message.full_name](made, value)
        except (ValueError, TypeError, ArithmeticError, KeyError) as error:
            raise misfit(message.name, value, at) from error
        return
    if not isinstance(value, dict):
        raise misfit(message.full_name, value, at)
    fields = message.fields_by_name
    if more := sorted(value.keys() - fields.keys()):
        raise DoesNotFit(f"the schema has no field {below(at, more[0])}")
    for field in message.fields:
        place = below(at, field.name)
        if field.name in value:
            _put(made, field, value[field.name], place)
        elif field.is_required or not (field.has_presence or field.is_repeated):
            raise DoesNotFit(f"the message has no field {place}")


def _put(made: Any, field: FieldDescriptor, value: Any, at: str) -> None:
    special = field.message_type is not None and field.message_type.name in {"Value", "NullValue"}
    if value is None and field.has_presence and not field.is_required and not special:
        return
    if is_map(field):
        _put_map(getattr(made, field.name), field, value, at)
    elif field.is_repeated:
        if not isinstance(value, list):
            raise misfit("repeated", value, at)
        into = getattr(made, field.name)
        for number, each in enumerate(value):
            place = f"{at}[{number}]"
            if field.message_type is not None:
                _fill(into.add(), each, place)
            else:
                into.append(_scalar(field, each, place))
    else:
        oneof = field.containing_oneof
        if oneof is not None and (other := made.WhichOneof(oneof.name)):
            raise DoesNotFit(f"{at} and {other} are of one oneof")
        if field.message_type is not None:
            inside = getattr(made, field.name)
            inside.SetInParent()
            _fill(inside, value, at)
        else:
            setattr(made, field.name, _scalar(field, value, at))


def _put_map(into: Any, field: FieldDescriptor, value: Any, at: str) -> None:
    if not isinstance(value, dict):
        raise misfit("map", value, at)
    keys, values = key_and_value(field)
    for text, each in value.items():
        place = below(at, text)
        key = _key(keys, text, place)
        if values.message_type is not None:
            _fill(into[key], each, place)
        else:
            into[key] = _scalar(values, each, place)


def _key(field: FieldDescriptor, text: str, at: str) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _scalar(field, text, at)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        found: Any = {"true": True, "false": False}.get(text)
    else:
        found = int(text) if re.fullmatch(r"-?\d{1,20}", text, re.ASCII) else None
    return _scalar(field, found, at)


def _scalar(field: FieldDescriptor, value: Any, at: str) -> Any:
    """Raises DoesNotFit."""
    try:
        fitted = _converted(field, value)
    except (ValueError, OverflowError) as error:
        raise misfit(_KINDS[field.type], value, at) from error
    if fitted is None:
        raise misfit(_KINDS[field.type], value, at)
    return fitted


def _converted(field: FieldDescriptor, value: Any) -> Any:
    """None: it is of another type."""
    kind = field.cpp_type
    if field.enum_type is not None:
        found = field.enum_type.values_by_name.get(value) if isinstance(value, str) else None
        return None if found is None else found.number
    if kind == FieldDescriptor.CPPTYPE_BOOL or isinstance(value, bool):
        fits = kind == FieldDescriptor.CPPTYPE_BOOL and isinstance(value, bool)
        return value if fits else None
    if kind in _RANGES:
        least, end = _RANGES[kind]
        return value if isinstance(value, int) and least <= value < end else None
    if kind == FieldDescriptor.CPPTYPE_STRING:
        if not isinstance(value, str):
            return None
        if field.type == FieldDescriptor.TYPE_BYTES:
            return base64.b64decode(value, validate=True)
        value.encode()
        return value
    if isinstance(value, int | Decimal):
        return nearest("float" if kind == FieldDescriptor.CPPTYPE_FLOAT else "double", value)
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else None


def _timestamp(made: Any, value: Any) -> None:
    found = _MOMENT.fullmatch(value)
    if found is None:
        raise ValueError
    moment = datetime.fromisoformat(found[1] + (found[3] or "Z")).astimezone(UTC)
    made.seconds = (moment - EPOCH) // (EPOCH.resolution * 1_000_000)
    made.nanos = int((found[2] or "").ljust(9, "0"))


def _duration(made: Any, value: Any) -> None:
    if isinstance(value, bool):
        raise TypeError
    nanos = units(Decimal(value), 9, _DURATION_DIGITS)
    if nanos is None:
        raise ValueError
    seconds, rest = divmod(abs(nanos), 10**9)
    sign = -1 if nanos < 0 else 1
    made.seconds, made.nanos = sign * seconds, sign * rest


def _decimal(made: Any, value: Any) -> None:
    if isinstance(value, bool):
        raise TypeError
    number = Decimal(value)
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or exponent < -MOST_SCALE:
        raise ValueError
    scale = max(0, -exponent)
    found = units(number, scale, MOST_SCALE)
    if found is None:
        raise ValueError
    made.scale = scale
    made.precision = max(len(str(abs(found))) if exponent > 0 else len(digits), scale)
    made.value = found.to_bytes(found.bit_length() // 8 + 1, signed=True)


def _any_value(made: Any, value: Any) -> None:
    match value:
        case None:
            made.null_value = 0
        case bool():
            made.bool_value = value
        case str():
            made.string_value = value
        case dict():
            made.struct_value.SetInParent()
            _struct(made.struct_value, value)
        case list():
            made.list_value.SetInParent()
            _list(made.list_value, value)
        case _:
            made.number_value = float(value)
            if Decimal(repr(made.number_value)) != value:
                raise ValueError


def _struct(made: Any, value: Mapping[str, Any]) -> None:
    if not isinstance(value, dict):
        raise TypeError
    for key, each in value.items():
        _any_value(made.fields[key], each)


def _list(made: Any, value: Iterable[Any]) -> None:
    if not isinstance(value, list):
        raise TypeError
    for each in value:
        _any_value(made.values.add(), each)


def _mask(made: Any, value: str) -> None:
    if not isinstance(value, str):
        raise TypeError
    made.paths.extend(value.split(",") if value else [])


def _wrapped(made: Any, value: Any) -> None:
    fitted = _converted(made.DESCRIPTOR.fields_by_name["value"], value)
    if fitted is None:
        raise ValueError
    made.value = fitted


_SPECIAL: dict[str, Callable[[Any, Any], None]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _any_value,
    "google.protobuf.ListValue": _list,
    "google.protobuf.FieldMask": _mask,
    "confluent.type.Decimal": _decimal,
    **{
        f"google.protobuf.{each}Value": _wrapped
        for each in (
            "Int32", "Int64", "UInt32", "UInt64", "Bool", "String", "Bytes", "Float", "Double",
        )
    },
}  # fmt: skip

_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("Int8", "Int16", "Int32"), "int32"),
    **dict.fromkeys(("UInt8", "UInt16", "UInt32"), "uint32"),
    "Int64": "int64",
    "UInt64": "uint64",
    "Float32": "float",
    "Float64": "double",
    "Bool": "bool",
}


def derived(pipeline: Pipeline) -> str:
    """The text of a schema of the messages that the pipeline reads.

    Raises:
        CannotRead: it reads something that no such schema is made for.
    """
    fields = nested(pipeline, _named, _type)
    name = "".join(each.capitalize() for each in identifier(pipeline.topic).split("_"))
    return "\n".join(['syntax = "proto3";', "", *_message(name or "Message", fields), ""])


def _named(key: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key, re.ASCII) is None:
        raise CannotRead(f"no field of Protobuf can have the name {key!r}: give a schema")
    return key


def _message(name: str, fields: Mapping[str, Any]) -> list[str]:
    lines = [f"message {name} {{"]
    for number, (key, each) in enumerate(fields.items(), 1):
        kind = each
        if isinstance(each, dict):
            kind = f"{key[:1].upper()}{key[1:]}_"
            lines += [f"  {line}" for line in _message(kind, each)]
        lines.append(f"  {kind} {key} = {number};")
    return [*lines, "}"]


def _type(kind: str) -> str:
    for wrapper, label in (
        ("LowCardinality", ""),
        ("Nullable", "optional "),
        ("Array", "repeated "),
    ):
        if kind.startswith(f"{wrapper}(") and kind.endswith(")"):
            inner = _type(kind[len(wrapper) + 1 : -1])
            if label and " " in inner:
                raise CannotRead(f"no schema can be made for {kind}: give one")
            return f"{label}{inner}"
    if kind.startswith(("Tuple", "Map", "Nested", "JSON", "Variant", "Dynamic")):
        raise CannotRead(f"no schema can be made for {kind}: give one")
    return _TYPES.get(kind, "string")
