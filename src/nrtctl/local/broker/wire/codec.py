"""Requests to typed entities, replies from plain dictionaries, for every version served.

Requests are read by `kio`'s compiled readers. A reply is a dictionary with the fields of *all*
versions under `kio`'s names; what the version asked for lacks is left out, and what the dictionary
lacks takes the schema's default. Durations are milliseconds in both directions.
Called by `connection` (and by tests, as a client would).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from datetime import timedelta
from functools import cache
from pkgutil import resolve_name
from types import UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin
from uuid import UUID

from kio._kio_native import entity_reader

from nrtctl.local.broker.wire import announced
from nrtctl.local.broker.wire.apis import Api
from nrtctl.local.broker.wire.cursor import MalformedRequest as MalformedRequest

Writer = Callable[[bytearray, Any], None]


class RequestHeader(NamedTuple):
    api_key: int
    version: int
    correlation_id: int
    client_id: str


_HEADER: Final = struct.Struct(">hhih")


def read_header(frame: memoryview) -> tuple[RequestHeader, int]:
    """The header without its tagged fields, and where it ends.

    Raises:
        MalformedRequest: too short.
    """
    try:
        key, version, correlation_id, length = _HEADER.unpack_from(frame, 0)
        end = _HEADER.size + max(length, 0)
        if end > len(frame):
            raise MalformedRequest("the client id runs over the end of the request")
        client_id = bytes(frame[_HEADER.size : end]).decode("utf-8", "replace")
    except struct.error as error:
        raise MalformedRequest(str(error)) from error
    return RequestHeader(key, version, correlation_id, client_id), end


def write_uvarint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)


@cache
def entity_type(api: Api, version: int, kind: str) -> Any:
    """`kio`'s class of a request or response (`kind`), loaded when first asked for."""
    name = api.name.lower()
    class_name = "".join(part.capitalize() for part in name.split("_")) + kind.capitalize()
    return resolve_name(f"kio.schema.{name}.v{version}.{kind}:{class_name}")


@cache
def is_flexible(api: Api, version: int) -> bool:
    return bool(entity_type(api, version, "request").__flexible__)


@cache
def _reader(
    api: Api, version: int
) -> tuple[Callable[[announced.Cursor], None], Callable[[memoryview, int], tuple[Any, int]]]:
    type_ = entity_type(api, version, "request")
    return announced.walker(type_), entity_reader(type_)


def read_request(api: Api, version: int, frame: memoryview, at: int) -> Any:
    """The request's entity; `at` is where `read_header` ended.

    Every length is held against the bytes that are there first: `kio` believes it, and ends the
    process where that much memory cannot be had.

    Raises:
        MalformedRequest: the bytes do not follow the schema.
    """
    walk, read = _reader(api, version)
    cursor = announced.Cursor(frame, at, is_flexible(api, version))
    try:
        cursor.tags()
        begin = cursor.at
        walk(cursor)
        entity, size = read(frame.toreadonly(), begin)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the compiled reader is no Exception
        raise MalformedRequest(f"{api.name} v{version}: {error}") from error
    if begin + size != cursor.at:
        raise MalformedRequest(f"{api.name} v{version}: fields of another length than announced")
    return entity


def milliseconds(value: timedelta) -> int:
    return round(value.total_seconds() * 1000)


def response_header(api: Api, version: int, correlation_id: int) -> bytearray:
    """Header v1 for flexible versions, v0 for the rest and always for ApiVersions (KIP-511)."""
    out = bytearray(correlation_id.to_bytes(4, "big", signed=True))
    if api is not Api.API_VERSIONS and is_flexible(api, version):
        out.append(0)
    return out


def write_response(
    api: Api, version: int, correlation_id: int, reply: Mapping[str, Any]
) -> bytearray:
    """Header and body, without the frame's length."""
    out = response_header(api, version, correlation_id)
    _entity_writer(entity_type(api, version, "response"))(out, reply)
    return out


def _packer(format_: str) -> Writer:
    pack = struct.Struct(format_).pack

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return write


def _uuid(out: bytearray, value: UUID | None) -> None:
    out += value.bytes if value is not None else bytes(16)


_SCALARS: Final[dict[str, Writer]] = {
    "int8": _packer(">b"),
    "int16": _packer(">h"),
    "int32": _packer(">i"),
    "int64": _packer(">q"),
    "uint16": _packer(">H"),
    "float64": _packer(">d"),
    "bool": _packer(">?"),
    "error_code": _packer(">h"),
    "timedelta_i32": _packer(">i"),
    "timedelta_i64": _packer(">q"),
    "datetime_i64": _packer(">q"),
    "uuid": _uuid,
}


def _sized(flexible: bool, size_format: str) -> Writer:
    """Strings and bytes: a compact or a fixed-width length, then the bytes; None is allowed."""
    pack = struct.Struct(size_format).pack

    def write(out: bytearray, value: str | bytes | None) -> None:
        data = value.encode() if isinstance(value, str) else value
        if flexible:
            write_uvarint(out, 0 if data is None else len(data) + 1)
        else:
            out += pack(-1 if data is None else len(data))
        if data is not None:
            out += data

    return write


def _array(flexible: bool, item: Writer) -> Writer:
    pack = struct.Struct(">i").pack

    def write(out: bytearray, values: Any) -> None:
        if flexible:
            write_uvarint(out, 0 if values is None else len(values) + 1)
        else:
            out += pack(-1 if values is None else len(values))
        for value in values or ():
            item(out, value)

    return write


def _nullable(write_entity: Writer) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        out.append(0xFF if value is None else 1)
        if value is not None:
            write_entity(out, value)

    return write


def _field_writer(field: Field[Any], flexible: bool) -> tuple[Writer, Any]:
    """How one field is written, and the plain value it has when the reply leaves it out."""
    kind: Any = field.type
    optional = False
    if get_origin(kind) in (Union, UnionType):
        optional = True
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    is_array = get_origin(kind) is tuple
    if is_array:
        kind = get_args(kind)[0]
        if get_origin(kind) in (Union, UnionType):
            kind = next(arg for arg in get_args(kind) if arg is not type(None))
    name = field.metadata.get("kafka_type")
    plain: Any = None
    if name is None:
        write = _entity_writer(kind)
        if optional and not is_array:
            write = _nullable(write)
        plain = {}
    elif name == "string":
        write, plain = _sized(flexible, ">h"), ""
    elif name in ("bytes", "records"):
        write, plain = _sized(flexible, ">i"), b""
    else:
        write, plain = _SCALARS[name], 0
    if is_array:
        write, plain = _array(flexible, write), ()
    if field.default is None or (optional and field.default is MISSING):
        plain = None
    elif field.default is not MISSING and not isinstance(plain, dict | tuple):
        default = field.default
        plain = milliseconds(default) if isinstance(default, timedelta) else default
    return write, plain


@cache
def _entity_writer(type_: Any) -> Writer:
    flexible: bool = type_.__flexible__
    plain_fields: list[tuple[str, Writer, Any]] = []
    tagged: list[tuple[int, str, Writer]] = []
    for field in fields(type_):
        write, default = _field_writer(field, flexible)
        tag = field.metadata.get("tag")
        if tag is None:
            plain_fields.append((field.name, write, default))
        else:
            tagged.append((tag, field.name, write))
    tagged.sort()

    def write_entity(out: bytearray, value: Mapping[str, Any]) -> None:
        for name, write, default in plain_fields:
            write(out, value.get(name, default))
        if not flexible:
            return
        present = [(tag, name, write) for tag, name, write in tagged if name in value]
        write_uvarint(out, len(present))
        for tag, name, write in present:
            body = bytearray()
            write(body, value[name])
            write_uvarint(out, tag)
            write_uvarint(out, len(body))
            out += body

    return write_entity
