"""What a request announces, held against the bytes that are there. Called by `codec`.

`walker` makes, from `kio`'s class of a request, the function that goes over all its fields in
Kafka's order and stops at the first length that cannot be true. It makes no objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from functools import cache, partial
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

from nrtctl.local.broker.wire.cursor import Cursor

__all__ = ["Cursor", "walker"]

Walk = Callable[[Cursor], None]

_FIXED: Final = {
    "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint16": 2, "float64": 8, "bool": 1,
    "error_code": 2, "timedelta_i32": 4, "timedelta_i64": 8, "datetime_i64": 8, "uuid": 16,
}  # fmt: skip
_SIZED: Final = {"string": 2, "bytes": 4, "records": 4}


@cache
def walker(type_: Any) -> Walk:
    """Goes over one entity; raises MalformedRequest, or IndexError at the end of the bytes.

    Fields in the tagged section are gone over by the sizes that are written there.
    """
    walks = tuple(_field(field) for field in fields(type_) if "tag" not in field.metadata)

    def walk(cursor: Cursor) -> None:
        for each in walks:
            each(cursor)
        cursor.tags()

    return walk


def _field(field: Field[Any]) -> Walk:
    kind: Any = _not_none(field.type)
    is_array = get_origin(kind) is tuple
    if is_array:
        kind = _not_none(get_args(kind)[0])
    name: Any = field.metadata.get("kafka_type")
    one: Walk
    is_entity = is_dataclass(kind)
    if is_entity:
        one = walker(kind)
        if kind is not field.type and not is_array:
            one = partial(_nullable, one)
    elif name in _FIXED:
        one = partial(Cursor.skip, size=_FIXED[name])
    else:
        one = partial(Cursor.skip_sized, size=_SIZED[name])
    return partial(_array, one) if is_array else one


def _not_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next(arg for arg in get_args(kind) if arg is not type(None))
    return kind


def _array(one: Walk, cursor: Cursor) -> None:
    for _ in range(cursor.array_length()):
        one(cursor)


def _nullable(one: Walk, cursor: Cursor) -> None:
    """An entity that may be absent: a byte says so."""
    if cursor.integer(1) >= 0:
        one(cursor)
