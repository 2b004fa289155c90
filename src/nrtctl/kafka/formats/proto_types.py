"""Types of Protobuf that stand for another value than an object of their fields. Pure; used by
`protobuf` and `protobuf_encoder`.

https://protobuf.dev/reference/protobuf/google.protobuf/
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from google.protobuf.descriptor import Descriptor

from nrtctl.kafka.formats.avro import EPOCH, Wrong, base64_of, number_of
from nrtctl.kafka.formats.proto_files import CONFLUENT, PACKAGED

Convert = Callable[[Any], Any]

MOST_SCALE = 1_000
"""Digits behind the point of a confluent.type.Decimal."""


def is_special(message: Descriptor) -> bool:
    """Whether it stands for another value than an object of its fields."""
    return message.full_name in SPECIAL and message.file.name in PACKAGED | CONFLUENT.keys()


def _timestamp(value: Any) -> str:
    if not 0 <= value.nanos < 10**9:
        raise Wrong("a Timestamp has nanos out of range")
    try:
        moment = EPOCH + timedelta(seconds=value.seconds)
    except OverflowError:
        raise Wrong("a Timestamp is not between the years 1 and 9999") from None
    return f"{moment.replace(tzinfo=None).isoformat()}{_fraction(value.nanos)}Z"


def _fraction(nanos: int) -> str:
    """With 0, 3, 6 or 9 digits."""
    digits = f"{nanos:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}" if digits else ""


def _duration(value: Any) -> str:
    nanos = value.seconds * 10**9 + value.nanos
    if abs(value.nanos) >= 10**9 or value.seconds * value.nanos < 0:
        raise Wrong("a Duration has nanos out of range")
    seconds, rest = divmod(abs(nanos), 10**9)
    return f"{'-' if nanos < 0 else ''}{seconds}{_fraction(rest)}"


def _decimal(value: Any) -> str:
    if not 0 <= value.scale <= MOST_SCALE or len(value.value) > MOST_SCALE:
        raise Wrong("a Decimal has too many digits")
    number = int.from_bytes(value.value, "big", signed=True)
    digits = str(abs(number)).zfill(value.scale + 1)
    if value.scale:
        digits = f"{digits[: -value.scale]}.{digits[-value.scale :]}"
    return f"-{digits}" if number < 0 else digits


def _any_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    return None if kind is None else _VALUES[kind](getattr(value, kind))


def _struct(value: Any) -> dict[str, Any]:
    return {key: _any_value(value.fields[key]) for key in sorted(value.fields)}


def _list(value: Any) -> list[Any]:
    return [_any_value(each) for each in value.values]


_VALUES: dict[str, Convert] = {
    "null_value": lambda _: None,
    "number_value": number_of,
    "string_value": str,
    "bool_value": bool,
    "struct_value": _struct,
    "list_value": _list,
}
SPECIAL: dict[str, Convert] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _any_value,
    "google.protobuf.ListValue": _list,
    "google.protobuf.FieldMask": lambda value: ",".join(value.paths),
    "google.protobuf.BytesValue": lambda value: base64_of(value.value),
    "google.protobuf.FloatValue": lambda value: number_of(value.value),
    "google.protobuf.DoubleValue": lambda value: number_of(value.value),
    **{
        f"google.protobuf.{each}Value": lambda value: value.value
        for each in ("Int32", "Int64", "UInt32", "UInt64", "Bool", "String")
    },
    "confluent.type.Decimal": _decimal,
}
