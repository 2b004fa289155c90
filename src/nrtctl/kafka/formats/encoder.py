"""Messages as JSON into Avro: what `produce` sends where the pipeline's format says so.

Called by `producer.sources.encoded`. No value is rounded or left out, but that a float has the
nearest number that it can have: a message that the schema does not fit is refused, with the field
that does not.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from io import BytesIO
from typing import Any

from nrtctl.kafka.formats.avro import conversion, reader
from nrtctl.kafka.formats.numbers import units
from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.casts import decimal_digits
from nrtctl.pipeline.message_format import CannotRead
from nrtctl.pipeline.suggest import identifier

_BITS = {"int": 31, "long": 63}
_TEXTS = {
    "date": date.fromisoformat,
    "time-millis": time.fromisoformat,
    "time-micros": time.fromisoformat,
    "timestamp-millis": datetime.fromisoformat,
    "timestamp-micros": datetime.fromisoformat,
    "local-timestamp-millis": datetime.fromisoformat,
    "local-timestamp-micros": datetime.fromisoformat,
}  # fmt: skip
"""Logical types that JSON has as a text."""
_FRACTION = re.compile(r"[.,]([0-9]+)")


class DoesNotFit(ValueError):
    """The schema does not take the message. The words say what of it."""


class Encoder:
    """Args:
    schema: an Avro schema, as JSON.
    before: bytes in front of each value.
    """

    def __init__(self, schema: str, before: bytes = b"") -> None:
        """Raises CannotRead: it is no schema."""
        from fastavro.schema import parse_schema

        reader(schema)
        self._named: dict[str, Any] = {}
        self._schema = parse_schema(json.loads(schema), self._named)
        self._before = before

    def encode(self, text: bytes) -> bytes:
        """The message of this JSON text. Raises DoesNotFit."""
        from fastavro import schemaless_writer

        value = self._fitted(self._schema, given_json(text), "")
        out = BytesIO()
        out.write(self._before)
        try:
            schemaless_writer(out, self._schema, value)
        except (ValueError, TypeError, ArithmeticError, struct.error) as error:
            raise DoesNotFit(str(error)) from error
        return out.getvalue()

    def _fitted(self, schema: Any, value: Any, at: str) -> Any:
        """The value as fastavro takes it. Args: at: where it stands."""
        if isinstance(schema, list):
            return self._of_union(schema, value, at)
        if isinstance(schema, str):
            if schema in self._named:
                return self._fitted(self._named[schema], value, at)
            schema = {"type": schema}
        kind = schema["type"]
        match kind, value:
            case "record" | "error", dict():
                return self._record(schema, value, at)
            case "array", list():
                items = schema["items"]
                return [self._fitted(items, e, f"{at}[{n}]") for n, e in enumerate(value)]
            case "map", dict():
                values = schema["values"]
                return {k: self._fitted(values, e, below(at, k)) for k, e in value.items()}
            case "enum", str() if value in schema["symbols"]:
                return value
            case _, _ if isinstance(kind, str):
                return _plain(kind, schema, value, at)
        return self._fitted(kind, value, at)

    def _record(self, schema: Mapping[str, Any], value: dict[str, Any], at: str) -> dict[str, Any]:
        fields = {each["name"]: each for each in schema["fields"]}
        if more := sorted(value.keys() - fields.keys()):
            raise DoesNotFit(f"the schema has no field {below(at, more[0])}")
        found = {}
        for name, each in fields.items():
            place = below(at, name)
            if name in value:
                found[name] = self._fitted(each["type"], value[name], place)
            elif "default" not in each and not _may_be_null(each["type"]):
                raise DoesNotFit(f"the message has no field {place}")
            elif "default" in each:
                found[name] = each["default"]
        return found

    def _of_union(self, schemas: list[Any], value: Any, at: str) -> Any:
        for schema in schemas:
            try:
                fitted = self._fitted(schema, value, at)
            except DoesNotFit as error:
                last = error
            else:
                return _named(schema, fitted)
        raise last


def _named(schema: Any, value: Any) -> Any:
    """A value of a branch, with its name where a record could be of several."""
    named = isinstance(schema, dict) and schema["type"] == "record"
    return (schema["name"], value) if named else value


def _may_be_null(schema: Any) -> bool:
    return schema == "null" or (isinstance(schema, list) and "null" in schema)


def below(at: str, name: str) -> str:
    """Where the field of this name stands."""
    return f"{at}.{name}" if at else name


def given_json(text: bytes) -> Any:
    """Raises DoesNotFit: it is none."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DoesNotFit(f"not JSON: {error}") from error
    except InvalidOperation as error:
        raise DoesNotFit("a number has an exponent that no type has") from error


def _no_number(text: str) -> str:
    return text


def _plain(kind: str, schema: Mapping[str, Any], value: Any, at: str) -> Any:
    """Raises DoesNotFit."""
    try:
        fitted = _converted(kind, schema, value)
    except (ValueError, InvalidOperation, OverflowError, binascii.Error) as error:
        raise misfit(schema.get("logicalType", kind), value, at) from error
    if fitted is _NONE:
        raise misfit(schema.get("logicalType", kind), value, at)
    return fitted


def misfit(wanted: str, value: Any, at: str) -> DoesNotFit:
    """Args: wanted: the type. at: where the value stands."""
    shown = json.dumps(value, default=str)
    return DoesNotFit(f"{at or 'the message'} is {shown[:100]}, not {wanted}")


_NONE = object()


def _converted(kind: str, schema: Mapping[str, Any], value: Any) -> Any:
    """`_NONE`: it is of another type."""
    logical = str(schema.get("logicalType", ""))
    match kind, value:
        case "null", None:
            return None
        case "boolean", bool():
            return value
        case _, bool() | None:
            return _NONE
        case "int" | "long", str() if logical in _TEXTS:
            return _moment(logical, value)
        case "int" | "long", int():
            return value if -(2 ** _BITS[kind]) <= value < 2 ** _BITS[kind] else _NONE
        case "float" | "double", int() | Decimal():
            return _NONE if (number := nearest(kind, value)) is None else number
        case "float" | "double", "NaN" | "Infinity" | "-Infinity":
            return float(value)
        case "string", str():
            return value
        case "bytes" | "fixed", str() | int() | Decimal() if logical == "decimal":
            return _decimal(schema, Decimal(value)) if conversion(kind, schema) else _NONE
        case "bytes", str():
            return base64.b64decode(value, validate=True)
        case "fixed", str():
            data = base64.b64decode(value, validate=True)
            return data if len(data) == schema["size"] else _NONE
    return _NONE


def _moment(logical: str, text: str) -> Any:
    """`_NONE`: the type would drop digits of it, or its offset. Raises ValueError."""
    moment = _TEXTS[logical](text)
    if isinstance(moment, datetime) and logical.startswith("timestamp"):
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    elif not isinstance(moment, datetime | time):
        return moment
    elif moment.tzinfo is not None:
        return _NONE
    if any(digits[6:].strip("0") for digits in _FRACTION.findall(text)):  # which Python drops
        return _NONE
    return _NONE if logical.endswith("millis") and moment.microsecond % 1000 else moment


def nearest(kind: str, value: int | Decimal) -> float | None:
    """What a float or double has for the number; None: nothing but an infinity. Raises
    OverflowError: the same."""
    number = float(value)
    if kind == "float":
        number = struct.unpack("<f", struct.pack("<f", number))[0]
    return number if math.isfinite(number) else None


def _decimal(schema: Mapping[str, Any], number: Decimal) -> Any:
    """`_NONE`: it has more digits than the type."""
    scale = schema.get("scale", 0)
    found = units(number, scale, schema["precision"])
    if found is None:
        return _NONE
    return Decimal((int(found < 0), tuple(map(int, str(abs(found)))), -scale))


_TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16"), "int"),
    **dict.fromkeys(("UInt32", "Int64", "UInt64"), "long"),
    "Float32": "float",
    "Float64": "double",
    "Bool": "boolean",
}


def derived(pipeline: Pipeline) -> str:
    """An Avro schema of the messages that the pipeline reads.

    Raises:
        CannotRead: it reads something that no such schema is made for.
    """
    fields = nested(pipeline, str, _type)
    return json.dumps(_record_of(identifier(pipeline.topic), fields))


def nested(
    pipeline: Pipeline, named: Callable[[str], str], typed: Callable[[str], Any]
) -> dict[str, Any]:
    """The fields that the pipeline reads, as their messages have them inside each other: a name to
    the type of a field, or to what is inside it. Raises what `named` and `typed` raise."""
    fields: dict[str, Any] = {}
    for path, kind in pipeline.places_to_types.items():
        inside = fields
        for step in path[:-1]:
            inside = inside.setdefault(named(str(step)), {})
        inside[named(str(path[-1]))] = typed(kind)
    return fields


def _record_of(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    made = []
    for key, each in fields.items():
        if isinstance(each, dict) and "type" not in each:
            each = _record_of(f"{name}_{identifier(key)}", each)
        more = {"default": None} if isinstance(each, list) and each[0] == "null" else {}
        made.append({"name": key, "type": each, **more})
    return {"type": "record", "name": name, "fields": made}


def _type(kind: str) -> Any:
    for wrapper, wrap in _WRAPPERS.items():
        if kind.startswith(f"{wrapper}(") and kind.endswith(")"):
            return wrap(kind[len(wrapper) + 1 : -1])
    if kind.startswith(("Tuple", "Map", "Nested", "JSON", "Variant", "Dynamic")):
        raise CannotRead(f"no schema can be made for {kind}: give one")
    if digits := decimal_digits(kind):
        precision, scale = digits
        decimal = {"logicalType": "decimal", "precision": precision, "scale": scale}
        return {"type": "bytes", **decimal}
    if kind.startswith("Date"):
        return ["string", "long"]
    return _TYPES.get(kind, "string")


def _nullable(inner: str) -> Any:
    made = _type(inner)
    return ["null", *(made if isinstance(made, list) else [made])]


_WRAPPERS: Mapping[str, Callable[[str], Any]] = {
    "Nullable": _nullable,
    "LowCardinality": lambda inner: _type(inner),
    "Array": lambda inner: {"type": "array", "items": _type(inner)},
}
