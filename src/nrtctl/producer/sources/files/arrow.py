"""Columns of Arrow as values that JSON can hold. Called by `parquet`; imports pyarrow."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from nrtctl.pipeline.rows import EACH
from nrtctl.producer.sources.files.kinds import Binary, Types

Shape = Callable[[Any], Any]
_BINARIES = (
    types.is_binary, types.is_large_binary, types.is_fixed_size_binary, types.is_binary_view,
)  # fmt: skip
_LISTS = (
    types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view,
    types.is_large_list_view,
)  # fmt: skip
_DIGITS = {"s": 3, "ms": 3, "us": 6, "ns": 9}
_LEAST, _MOST = -(2**63), 2**64 - 1


class Unfit(ValueError):
    """A value cannot be sent; the words say why."""


def in_utc(kind: Any) -> Any:
    """The type with every time that has a zone in UTC."""
    return _mapped(kind, _utc)


def as_text(kind: Any) -> Any:
    """The type with texts for what JSON has no form for: dates and times."""
    return _mapped(kind, _texts)


def _utc(kind: Any) -> Any:
    if types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    return kind


def _texts(kind: Any) -> Any:
    if types.is_temporal(kind):
        return pa.int64() if types.is_duration(kind) else pa.string()
    return pa.float32() if types.is_float16(kind) else kind


def _mapped(kind: Any, leaf: Callable[[Any], Any]) -> Any:
    """The type with `leaf` applied to what it is made of."""
    if types.is_dictionary(kind):
        return _mapped(kind.value_type, leaf)
    if types.is_map(kind):
        return pa.map_(_mapped(kind.key_type, leaf), _mapped(kind.item_type, leaf))
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pa.struct([each.with_type(_mapped(each.type, leaf)) for each in fields])
    if types.is_fixed_size_list(kind):
        return pa.list_(_mapped(kind.value_type, leaf), kind.list_size)
    if types.is_large_list(kind) or types.is_large_list_view(kind):
        return pa.large_list(_mapped(kind.value_type, leaf))
    if types.is_list(kind) or types.is_list_view(kind):
        return pa.list_(_mapped(kind.value_type, leaf))
    return leaf(kind)


def twice(kind: Any) -> str | None:
    """The name of a field that a struct in the type has twice."""
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        names = [each.name for each in fields]
        again = [name for name in names if names.count(name) > 1]
        return next(filter(None, (*again, *(twice(each.type) for each in fields))), None)
    if types.is_map(kind):
        return twice(kind.item_type)
    if any(each(kind) for each in _LISTS):
        return twice(kind.value_type)
    return None


def types_of(schema: Any) -> Types:
    """What the columns are, where their values in JSON do not show it."""
    found: Types = {}
    for each in schema:
        _add_types(each.type, (each.name,), found)
    return found


def _add_types(kind: Any, path: tuple[str, ...], found: Types) -> None:
    if types.is_dictionary(kind):
        _add_types(kind.value_type, path, found)
    elif types.is_map(kind):
        _add_types(kind.item_type, (*path, EACH), found)
        of = found.get((*path, EACH), "")
        found[path] = f"Map(String, {of})" if of and "(" not in of else "Map"
    elif any(each(kind) for each in _LISTS):
        _add_types(kind.value_type, (*path, EACH), found)
        if (of := found.get((*path, EACH), "")) and "(" not in of:
            found[path] = f"Array({of})"
    elif types.is_struct(kind):
        for place in range(kind.num_fields):
            each = kind.field(place)
            _add_types(each.type, (*path, each.name), found)
    elif types.is_decimal(kind):
        if 0 <= kind.scale <= kind.precision:
            found[path] = f"Decimal({kind.precision}, {kind.scale})"
    elif types.is_integer(kind):
        sign = "U" if types.is_unsigned_integer(kind) else ""
        found[path] = f"{sign}Int{kind.bit_width}"
    elif types.is_timestamp(kind):
        found[path] = f"DateTime64({_DIGITS[kind.unit]}, 'UTC')"
    elif types.is_floating(kind):
        found[path] = "Float64"
    elif types.is_boolean(kind) or types.is_date(kind):
        found[path] = "Bool" if types.is_boolean(kind) else "Date32"


def column(values: Any) -> Any:
    """An array whose `to_pylist` has no dates and times."""
    for target in (in_utc(values.type), as_text(values.type)):
        if target != values.type:
            values = values.cast(target)
    return values


def is_plain(values: Any) -> bool:
    """Whether it is a column of floats that has neither not-a-number nor an infinity."""
    if not types.is_floating(values.type):
        return False
    return pc.all(pc.is_finite(values), skip_nulls=True).as_py() is not False


def shape(kind: Any, binary: Binary, *, integers: bool = False) -> Shape | None:
    """What makes a value of `to_pylist` one for JSON; None: it is one.

    Args:
        integers: whole floats become integers.
    """
    if types.is_floating(kind):
        return _integer if integers else _float
    if any(each(kind) for each in _BINARIES):
        return _BYTES[binary]
    if types.is_map(kind):
        return _map(shape(kind.item_type, binary))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _list(shape(kind.value_type, binary))
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return _struct({each.name: shape(each.type, binary) for each in fields})
    return None


def default(value: Any) -> Any:
    """For orjson: a decimal with its digits."""
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def _float(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _integer(value: float) -> float | int | str | orjson.Fragment:
    """One of more than 64 bits as its digits: orjson takes no such integer."""
    if not value.is_integer():
        return _float(value)
    whole = int(value)
    return whole if _LEAST <= whole <= _MOST else orjson.Fragment(str(whole))


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unfit("bytes that are not UTF-8; --binary base64 or hex sends them") from None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _hex(value: bytes) -> str:
    return value.hex()


def _map(item: Shape | None) -> Shape:
    def made(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        found = {str(key): _shaped(item, value) for key, value in pairs}
        if len(found) != len(pairs):
            raise Unfit("a map with the same key twice")
        return found

    return made


def _list(item: Shape | None) -> Shape | None:
    return None if item is None else lambda values: [_shaped(item, value) for value in values]


def _struct(fields: dict[str, Shape | None]) -> Shape | None:
    if not any(fields.values()):
        return None
    return lambda value: {name: _shaped(each, value[name]) for name, each in fields.items()}


def _shaped(shape: Shape | None, value: Any) -> Any:
    return value if shape is None or value is None else shape(value)


_BYTES: Mapping[Binary, Shape] = {
    "text": _utf8,
    "base64": _base64,
    "hex": _hex,
}
