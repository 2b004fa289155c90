"""The SQL that turns a message into typed fields, or into a reason to reject it. Pure text.

JSONExtract alone is lenient: it reads 1.5 as 1, `[1]` as an object, and keeps the first of two
equal keys. Here a message is parsed once, and `_wrong` says which field, if any, would have been
changed (docs/messages.md). Dearer checks see only the messages that look suspicious: `and`, `if`
and `multiIf` evaluate lazily (`short_circuit_function_evaluation`). Why a message is rejected is
asked of the rejected ones only, by the view that stores them.

The engine analyses this text again at every insert, so it is kept short: an operator costs about
30 µs an insert.
"""

from __future__ import annotations

from collections.abc import Mapping

from nrtctl.pipeline import Pipeline
from nrtctl.schema.types import FieldType, literal

NULL_VALUE = "null value"
EMPTY = "empty message"
NOT_UTF8 = "invalid UTF-8"
NOT_JSON = "not JSON"
NOT_OBJECT = "not an object"
DUPLICATE_KEY = "duplicate key"
FIELD_MISSING = "field missing"
FIELD_NULL = "field is null"
WRONG_TYPE = "wrong type"

REASONS = (
    NULL_VALUE, EMPTY, NOT_UTF8, NOT_JSON, NOT_OBJECT, DUPLICATE_KEY, FIELD_MISSING, FIELD_NULL,
    WRONG_TYPE,
)  # fmt: skip
"""Why a message is rejected before the pipeline's own rules are asked."""

COORDINATES = "_topic, _partition, _offset, _timestamp"
ENVELOPE = f"{COORDINATES}, _headers, _key, _value"

WHOLE_MESSAGE = 65_535
"""`_wrong` where it is no single field; 0: nothing is wrong; n: the n-th field, the first is 1."""


def field_types(pipeline: Pipeline) -> Mapping[str, FieldType]:
    """Raises ValueError: a type is not supported."""
    return {name: FieldType(text) for name, text in pipeline.fields.items()}


def parse_query(pipeline: Pipeline, source: str, version: int) -> str:
    """SELECT from the landing table `source`: the envelope, fields, `_wrong` and `_version`."""
    types = field_types(pipeline)
    texts = {name: f"_fields.{index}" for index, name in enumerate(types, 1)}
    shape = ", ".join(f"`{name}` {kind.extracted}" for name, kind in types.items())
    values = ", ".join(f"{kind.value(texts[name])} AS `{name}`" for name, kind in types.items())
    cases = [(_no_object(types), WHOLE_MESSAGE)]
    for index, (name, kind) in enumerate(types.items(), 1):
        if wrong := kind.wrong(texts[name], name, "_message"):
            cases.append((wrong, index))
    cases.append((_two_equal_keys(types, texts), WHOLE_MESSAGE))
    wrong = ", ".join(f"{condition}, {index}" for condition, index in cases)
    return (
        f"SELECT {ENVELOPE}, {values}, multiIf({wrong}, 0) AS _wrong, "
        f"toUInt64({version}) AS _version FROM ("
        f"SELECT {ENVELOPE}, assumeNotNull(_value) AS _message, "
        f"JSONExtract(_message, {literal(f'Tuple({shape})')}) AS _fields FROM {source})"
    )


def _no_object(types: Mapping[str, FieldType]) -> str:
    """SQL: the message is no object, as far as its fields do not say so themselves."""
    opening = "NOT startsWith(_message, '{')"
    unsure = opening
    if all(kind.nullable for kind in types.values()):
        unsure = f"({opening} OR ({_nothing_found(types)}))"
    return f"{unsure} AND JSONType(_message) != 'Object'"


def _nothing_found(types: Mapping[str, FieldType]) -> str:
    return " AND ".join(f"isNull(_fields.{index})" for index in range(1, len(types) + 1))


def _two_equal_keys(types: Mapping[str, FieldType], texts: Mapping[str, str]) -> str:
    """SQL: a key is there twice. Without more colons than fields found, it cannot be."""
    required = sum(not kind.nullable for kind in types.values())
    optional = [f"isNotNull({texts[n]})" for n, kind in types.items() if kind.nullable]
    found = " + ".join([str(required), *optional])
    return (
        f"countSubstrings(_message, ':') > {found} AND "
        "arrayUniq(JSONExtractKeys(_message)) != JSONLength(_message)"
    )


def names(pipeline: Pipeline) -> str:
    """SQL: the name of the field that `_wrong` points at; empty where it is no field."""
    listed = ", ".join(literal(name) for name in pipeline.fields)
    return f"arrayElement([{listed}], _wrong)"


def reason() -> str:
    """SQL: why a message with `_wrong` > 0 is rejected. Needs `_value`, `_wrong` and `_name`."""
    message = "assumeNotNull(_value)"
    cases = [
        ("isNull(_value)", NULL_VALUE),
        (f"{message} = ''", EMPTY),
        (f"NOT isValidUTF8({message})", NOT_UTF8),
        (f"NOT isValidJSON({message})", NOT_JSON),
        (f"JSONType({message}) != 'Object'", NOT_OBJECT),
        (f"arrayUniq(JSONExtractKeys({message})) != JSONLength({message})", DUPLICATE_KEY),
        (f"NOT JSONHas({message}, _name)", FIELD_MISSING),
        (f"JSONType({message}, _name) = 'Null'", FIELD_NULL),
    ]
    listed = ", ".join(f"{condition}, {literal(text)}" for condition, text in cases)
    return f"multiIf({listed}, {literal(WRONG_TYPE)})"
