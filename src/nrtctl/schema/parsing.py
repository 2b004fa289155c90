"""The SQL that turns a message into typed fields, or into a reason to reject it. Pure text.

JSONExtract alone is lenient: it reads 1.5 as 1, `[1]` as an object, and keeps the first of two
equal keys. Here every field is taken as text in one parse, cast, and whatever the cast would have
changed is rejected. Messages that are plainly good never reach the dearer checks (`and`, `if` and
`multiIf` evaluate lazily: `short_circuit_function_evaluation`).
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


def field_types(pipeline: Pipeline) -> Mapping[str, FieldType]:
    """Raises ValueError: a type is not supported."""
    return {name: FieldType(text) for name, text in pipeline.fields.items()}


def parse_query(pipeline: Pipeline, source: str) -> str:
    """SELECT from the landing table `source`: coordinates, key, value, fields, reason, field."""
    types = field_types(pipeline)
    names = list(types)
    texts = {name: f"tupleElement(_text, {index})" for index, name in enumerate(names, 1)}
    shape = ", ".join(f"`{name}` Nullable(String)" for name in names)
    casts = ", ".join(f"{types[name].cast(texts[name])} AS `{name}`" for name in names)
    bad = {name: _bad(types[name], name, texts[name]) for name in names}
    present = " + ".join(f"isNotNull({text})" for text in texts.values())
    doubled = (
        f"(countSubstrings(_message, ':') > {present} AND length(JSONExtractKeys(_message)) "
        "!= length(arrayDistinct(JSONExtractKeys(_message))))"
    )
    whole = (
        "(substring(_message, 1, 1) != '{' AND JSONType(_message) != 'Object') "
        f"OR ({present} = 0 AND JSONType(_message) != 'Object')"
    )
    anything = " OR ".join([f"({each})" for each in bad.values()])
    return (
        f"SELECT {COORDINATES}, _key, _value, {', '.join(f'`{n}`' for n in names)}, "
        f"if(NOT _bad, '', {_reason(bad, doubled)}) AS _reason, "
        f"if(NOT _bad, '', {_field(bad)}) AS _field FROM ("
        f"SELECT {COORDINATES}, _key, _value, _message, _text, {casts}, "
        f"(isNull(_value) OR {whole} OR {anything} OR {doubled}) AS _bad FROM ("
        f"SELECT {COORDINATES}, _key, _value, assumeNotNull(_value) AS _message, "
        f"JSONExtract(_message, {literal(f'Tuple({shape})')}) AS _text FROM {source}))"
    )


def _bad(kind: FieldType, name: str, text: str) -> str:
    wrong = f"isNotNull({text}) AND isNull(`{name}`)"
    doubt = kind.doubt(text, "_message", name)
    parts = [f"({wrong})"]
    if not kind.nullable:
        parts.insert(0, f"isNull({text})")
    if doubt is not None:
        parts.append(doubt)
    return " OR ".join(parts)


def _reason(bad: Mapping[str, str], doubled: str) -> str:
    cases = [
        ("isNull(_value)", literal(NULL_VALUE)),
        ("_message = ''", literal(EMPTY)),
        ("NOT isValidUTF8(_message)", literal(NOT_UTF8)),
        ("NOT isValidJSON(_message)", literal(NOT_JSON)),
        ("JSONType(_message) != 'Object'", literal(NOT_OBJECT)),
        (doubled, literal(DUPLICATE_KEY)),
    ]
    for name, condition in bad.items():
        key = literal(name)
        cases.append((f"({condition}) AND NOT JSONHas(_message, {key})", literal(FIELD_MISSING)))
        null = f"({condition}) AND JSONType(_message, {key}) = 'Null'"
        cases.append((null, literal(FIELD_NULL)))
        cases.append((f"({condition})", literal(WRONG_TYPE)))
    return "multiIf(" + ", ".join(f"{when}, {then}" for when, then in cases) + ", '')"


def _field(bad: Mapping[str, str]) -> str:
    """The first field that is wrong, where the message is an object at all."""
    cases = ", ".join(f"{condition}, {literal(name)}" for name, condition in bad.items())
    return f"if(JSONType(_message) != 'Object', '', multiIf({cases}, ''))"
