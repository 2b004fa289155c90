"""Avro's binary encoding, read as values that become JSON. Pure; used by `decoder`.

https://avro.apache.org/docs/1.12.0/specification/. The schema is read by fastavro, the bytes are
not (docs/decisions/0053): what follows believes no length and no count before it has seen that as
many bytes are left, takes no number that its type cannot have, and is as deep as Python lets it.

A reader is given the bytes and a place, and returns the value and the place behind it. That may lie
behind the end: `read` compares the two.
"""

from __future__ import annotations

import json
import math
import struct
import uuid
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

from nrtctl.kafka.formats.avro_bounds import Bounds
from nrtctl.kafka.formats.avro_bounds import Read as Read
from nrtctl.kafka.formats.wire import Undecodable
from nrtctl.pipeline.message_format import CannotRead

Convert = Callable[[Any], Any]

_FLOAT, _DOUBLE = struct.Struct("<f").unpack_from, struct.Struct("<d").unpack_from
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIDNIGHT = datetime(1970, 1, 1)
_MOST_DIGITS = 1_000
"""Of a decimal; ClickHouse has 76."""

_MOST_WITHOUT_NAMESPACE = 100
"""Names of a schema within a namespace that stand for one without: for each it is parsed again."""

_INT, _LONG = 2**31, 2**63

_INSIDE = {"type", "items", "values", "fields"}
"""Keys of a schema under which others are."""

_KINDS = {
    "null", "boolean", "int", "long", "float", "double", "string", "bytes", "record", "error",
    "enum", "fixed", "array", "map",
}  # fmt: skip


class Wrong(ValueError):
    """The bytes are none of the schema."""


class TooShort(Undecodable):
    """The bytes end too early."""


def read(data: bytes, at: int, reader: Read) -> Any:
    """The value that begins there, and ends where the bytes do.

    Raises:
        Undecodable: there is no such value.
    """
    value, end = read_first(data, at, reader)
    if end != len(data):
        raise Undecodable("there are more of them")
    return value


def read_first(data: bytes, at: int, reader: Read) -> tuple[Any, int]:
    """The value that begins there, and the place behind it.

    Raises:
        Undecodable: there is no such value; TooShort, where it ends behind the bytes.
    """
    try:
        value, end = reader(data, at)
    except RecursionError as error:
        raise Undecodable("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Undecodable("a string is not UTF-8") from error
    except Wrong as error:
        raise Undecodable(str(error)) from error
    except (IndexError, struct.error) as error:
        raise TooShort("they end too early") from error
    if end > len(data):
        raise TooShort("they end too early")
    return value, end


@dataclass(frozen=True, slots=True)
class Parsed:
    """A schema. Attributes: named: full name to definition, of the types that it has."""

    schema: Any
    named: Mapping[str, Any]


def parsed(schema: str) -> Parsed:
    """Args:
    schema: its JSON text.

    Raises:
        CannotRead
    """
    with cannot_read():
        return _parsed([json.loads(schema)])


def written(schema: str, references: Iterable[str] = ()) -> Parsed:
    """A schema that messages were written with: what of it is for readers alone, or is to be
    ignored where it is impossible, does not matter, as it does not to registries and writers.

    Args:
        references: texts of the schemas that it names, each after those that it names itself.

    Raises:
        CannotRead
    """
    with cannot_read():
        return _parsed([_that_counts(json.loads(text)) for text in (*references, schema)])


def _parsed(schemas: Sequence[Any]) -> Parsed:
    """The last of them, which may name those before it."""
    from fastavro.schema import SchemaParseException, UnknownType

    named: dict[str, Any] = {}
    found: Any = None
    with cannot_read(SchemaParseException, UnknownType):
        for each in schemas:
            found, named = _parsed_beside(each, named)
    return Parsed(found, named)


def _parsed_beside(schema: Any, named: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(the schema, all names that are known then). A name that its namespace does not have is one
    without a namespace, as Java writes them."""
    from fastavro.schema import UnknownType, parse_schema

    known = dict(named)
    while True:
        there = dict(known)
        try:
            return parse_schema(schema, there), there
        except UnknownType as error:
            bare = str(error.name).rpartition(".")[2]
            without = len(known) - len(named)
            if bare == error.name or bare not in there or without == _MOST_WITHOUT_NAMESPACE:
                raise
            known[error.name] = there[bare]


def _that_counts(schema: Any) -> Any:
    """A schema without its defaults, and without decimals that cannot be."""
    if isinstance(schema, list):
        return [_that_counts(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and kind not in _KINDS and "name" not in schema:
        return kind  # a name, in an object
    dropped = {"default"}
    if schema.get("logicalType") == "decimal" and not _may_be_decimal(schema):
        dropped.add("logicalType")
    return {
        key: _that_counts(each) if key in _INSIDE else each
        for key, each in schema.items()
        if key not in dropped
    }


def _may_be_decimal(schema: Mapping[str, Any]) -> bool:
    if conversion(str(schema.get("type")), schema) is None:
        return False
    size = schema.get("size")
    return not isinstance(size, int) or 10 ** schema["precision"] <= 2 ** max(8 * size - 1, 0)


@contextmanager
def cannot_read(*more: type[Exception]) -> Iterator[None]:
    """What a schema that is none raises becomes CannotRead. Args: more: such exceptions."""
    faults: tuple[type[Exception], ...] = (*more, ValueError, KeyError, TypeError, AttributeError)
    try:
        yield
    except CannotRead:
        raise
    except RecursionError as error:
        raise CannotRead("it is nested too deeply") from error
    except faults as error:
        raise CannotRead(f"{type(error).__name__}: {error}") from error


def reader(schema: str, references: Iterable[str] = ()) -> Read:
    """What reads a value of the schema. Args and raises: as `written`."""
    found = written(schema, references)
    with cannot_read():
        readers = Readers(found.named)
        return readers.bounds.of_message(readers.of(found.schema))


def values(schema: str) -> Callable[[bytes], Any]:
    """What reads bytes that are a value of the schema: it raises Undecodable. Raises CannotRead."""
    found = reader(schema)
    return lambda data: read(data, 0, found)


def _long(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 127, 7
    while byte > 127:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if shift > 70:
            raise Wrong("a number has more than 64 bits")
    if value >> 64:
        raise Wrong("a number has more than 64 bits")
    return (value >> 1) ^ -(value & 1), at


def _int(data: bytes, at: int) -> tuple[int, int]:
    value, at = _long(data, at)
    if not -_INT <= value < _INT:
        raise Wrong("an int has more than 32 bits")
    return value, at


def _span(data: bytes, at: int) -> tuple[int, int]:
    """Where a text or bytes begin and end; the end may lie behind that of the data."""
    size = data[at]
    if size < 128:
        at += 1
        size = (size >> 1) ^ -(size & 1)
    else:
        size, at = _long(data, at)
    if size < 0:
        raise Wrong("a length is negative")
    return at, at + size


def _string(data: bytes, at: int) -> tuple[str, int]:
    size = data[at]
    if size < 128 and not size & 1:
        at += 1
        end = at + (size >> 1)
    else:
        at, end = _span(data, at)
    return data[at:end].decode(), end


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    at, end = _span(data, at)
    if end > len(data):
        raise IndexError
    return data[at:end], end


def _null(data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _boolean(data: bytes, at: int) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise Wrong("a boolean is neither 0 nor 1")
    return byte == 1, at + 1


def number_of(value: float) -> float | str:
    """JSON has no number for what is none."""
    if value - value == 0:
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _float(data: bytes, at: int) -> tuple[float | str, int]:
    return number_of(_FLOAT(data, at)[0]), at + 4


def _double(data: bytes, at: int) -> tuple[float | str, int]:
    return number_of(_DOUBLE(data, at)[0]), at + 8


def base64_of(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode()


PRIMITIVES: Mapping[str, Read] = {
    "null": _null, "boolean": _boolean, "int": _int, "long": _long, "float": _float,
    "double": _double, "string": _string, "bytes": _bytes,
}  # fmt: skip


class Readers:
    """Of the types of one schema. Args: named: full name to definition."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._made: dict[str, Read] = {}
        self._takes: dict[str, bool] = {}
        self.bounds = Bounds()

    def counted(self, schema: Mapping[str, Any], read: Read) -> Read:
        """The reader of a record within its bounds. Args: schema: of the record."""
        empty = sum(not self._takes_bytes(each["type"]) for each in schema["fields"])
        return self.bounds.counted(read, empty if schema["fields"] else 1)

    def of(self, schema: Any) -> Read:
        """Raises CannotRead."""
        if isinstance(schema, list):
            return union_of([self.of(each) for each in schema])
        if isinstance(schema, str):
            if schema in PRIMITIVES:
                return _converted(PRIMITIVES[schema], None, raw=schema == "bytes")
            return self._of_name(schema)
        kind = schema["type"]
        if kind in {"record", "error", "enum", "fixed"}:
            return self._of_name(schema["name"], schema)
        if kind == "array":
            if not self._takes_bytes(schema["items"]):
                raise CannotRead("it has an array of items that take no bytes")
            return array_of(self.of(schema["items"]))
        if kind == "map":
            return map_of(self.of(schema["values"]))
        if not isinstance(kind, str) or kind not in PRIMITIVES:
            return self.of(kind)
        return _converted(PRIMITIVES[kind], conversion(kind, schema), raw=kind == "bytes")

    def _of_name(self, name: str, schema: Any = None) -> Read:
        if name in self._made:
            return self._made[name]
        schema = schema or self._named[name]
        if schema["type"] == "enum":
            made = _enum(schema["symbols"])
        elif schema["type"] == "fixed":
            size = schema["size"]
            made = _converted(_fixed(size), conversion("fixed", schema), raw=True)
        else:
            fields: list[tuple[str, Read]] = []
            made = self.counted(schema, _record(fields))
            if again := former_names(schema):
                made = self.bounds.again(made, again)
            self._made[name] = made  # which may be within itself
            fields += [(each["name"], self.of(each["type"])) for each in schema["fields"]]
        self._made[name] = made
        return made

    def _takes_bytes(self, schema: Any) -> bool:
        """Whether a value takes a byte at least."""
        if isinstance(schema, list):
            return True
        if isinstance(schema, str):
            return schema != "null" and (
                schema in PRIMITIVES or self._takes_bytes(self._named[schema])
            )
        kind = schema["type"]
        if kind in {"record", "error"}:
            name = schema["name"]
            if name not in self._takes:
                self._takes[name] = True  # within itself it would have no end
                fields = schema["fields"]
                self._takes[name] = any(self._takes_bytes(each["type"]) for each in fields)
            return self._takes[name]
        if kind == "fixed":
            return bool(schema["size"] > 0)
        if kind in {"array", "map", "enum"}:
            return True
        return self._takes_bytes(kind)


def _record(fields: list[tuple[str, Read]]) -> Read:
    def read_record(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        value = {}
        for name, read in fields:
            value[name], at = read(data, at)
        return value, at

    return read_record


def former_names(schema: Mapping[str, Any]) -> dict[str, str]:
    """Of a record: the aliases of its fields that no field has as a name, each to the name."""
    names = {each["name"] for each in schema["fields"]}
    return {
        alias: each["name"]
        for each in schema["fields"]
        for alias in each.get("aliases", ())
        if alias not in names
    }


def union_of(readers: Sequence[Read]) -> Read:
    def read_union(data: bytes, at: int) -> tuple[Any, int]:
        branch = data[at]
        if branch > 127:
            branch, at = _long(data, at)
        elif branch & 1:
            branch = -1
        else:
            branch, at = branch >> 1, at + 1
        if not 0 <= branch < len(readers):
            raise Wrong("a union has no such branch")
        return readers[branch](data, at)

    return read_union


def _enum(symbols: list[str]) -> Read:
    def read_enum(data: bytes, at: int) -> tuple[str, int]:
        number, at = _long(data, at)
        if not 0 <= number < len(symbols):
            raise Wrong("an enum has no such symbol")
        return symbols[number], at

    return read_enum


def _fixed(size: int) -> Read:
    def read_fixed(data: bytes, at: int) -> tuple[bytes, int]:
        end = at + size
        if end > len(data):
            raise IndexError
        return data[at:end], end

    return read_fixed


def _block(data: bytes, at: int) -> tuple[int, int]:
    """How many items come next; each takes a byte at least."""
    count, at = _long(data, at)
    if count < 0:
        count = -count
        _, at = _long(data, at)
    if count > len(data) - at:
        raise IndexError
    return count, at


def array_of(read: Read) -> Read:
    def read_array(data: bytes, at: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        while True:
            count, at = _block(data, at)
            if not count:
                return found, at
            for _ in repeat(None, count):
                value, at = read(data, at)
                found.append(value)

    return read_array


def map_of(read: Read) -> Read:
    def read_map(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        while True:
            count, at = _block(data, at)
            if not count:
                return found, at
            for _ in repeat(None, count):
                key, at = _string(data, at)
                if key in found:
                    raise Wrong("a map has a key twice")
                found[key], at = read(data, at)

    return read_map


def _converted(read: Read, convert: Convert | None, *, raw: bool) -> Read:
    """Args: raw: it reads bytes, which JSON does not have."""
    if convert is None and raw:
        convert = base64_of
    if convert is None:
        return read

    def read_converted(data: bytes, at: int) -> tuple[Any, int]:
        value, at = read(data, at)
        return convert(value), at

    return read_converted


def conversion(kind: str, schema: Mapping[str, Any]) -> Convert | None:
    """What the logical type makes of the value; None: there is none, or it changes nothing. One
    that says something impossible is to be ignored, as the specification has it."""
    logical = schema.get("logicalType")
    if kind in {"bytes", "fixed"} and logical == "decimal":
        scale, precision = schema.get("scale", 0), schema.get("precision", 0)
        whole = isinstance(scale, int) and isinstance(precision, int)
        if whole and 0 <= scale <= precision and 0 < precision <= _MOST_DIGITS:
            return _decimal(precision, scale)
        return None
    if kind == "fixed" and logical == "uuid" and schema["size"] == 16:
        return lambda value: str(uuid.UUID(bytes=value))
    return _CONVERSIONS.get((kind, str(logical)))


def _decimal(precision: int, scale: int) -> Convert:
    limit = 10**precision

    def convert(value: bytes) -> str:
        number = int.from_bytes(value, "big", signed=True)
        if not -limit < number < limit:
            raise Wrong("a decimal has more digits than its precision")
        digits = str(abs(number)).zfill(scale + 1)
        if scale:
            digits = f"{digits[:-scale]}.{digits[-scale:]}"
        return f"-{digits}" if number < 0 else digits

    return convert


def _date(days: int) -> Any:
    try:
        return (EPOCH + timedelta(days)).date()
    except OverflowError:
        return days


def _timestamp(unit: str, *, local: bool = False) -> Convert:
    """A time as JSON's text has it; a number of a time that Python does not have. Args: unit: of a
    second, as `timedelta` calls it."""
    epoch = _MIDNIGHT if local else EPOCH
    one = timedelta(**{unit: 1})

    def convert(value: int) -> Any:
        try:
            return epoch + value * one
        except OverflowError:
            return value

    return convert


def _nanoseconds(*, local: bool) -> Convert:
    epoch = _MIDNIGHT if local else EPOCH

    def convert(value: int) -> Any:
        seconds, rest = divmod(value, 10**9)
        moment = epoch + timedelta(seconds=seconds)
        return f"{moment.replace(tzinfo=None).isoformat()}.{rest:09}{'' if local else 'Z'}"

    return convert


def _time_of_day(unit: str) -> Convert:
    one = timedelta(**{unit: 1})
    day = timedelta(1) // one

    def convert(value: int) -> Any:
        if not 0 <= value < day:
            raise Wrong("a time of day is not within a day")
        # orjson writes a time of 58 ms as 580 ms.
        return (_MIDNIGHT + value * one).time().isoformat()

    return convert


_CONVERSIONS: Mapping[tuple[str, str], Convert] = {
    ("int", "date"): _date,
    ("int", "time-millis"): _time_of_day("milliseconds"),
    ("long", "time-micros"): _time_of_day("microseconds"),
    ("long", "timestamp-millis"): _timestamp("milliseconds"),
    ("long", "timestamp-micros"): _timestamp("microseconds"),
    ("long", "timestamp-nanos"): _nanoseconds(local=False),
    ("long", "local-timestamp-millis"): _timestamp("milliseconds", local=True),
    ("long", "local-timestamp-micros"): _timestamp("microseconds", local=True),
    ("long", "local-timestamp-nanos"): _nanoseconds(local=True),
}
