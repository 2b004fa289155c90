"""The SQL that turns a message into typed fields, or into a reason to reject it. Pure text.

JSONExtract alone is lenient: it reads 1.5 as 1, `[1]` as an object, and keeps the first of two
equal keys. Here a message is parsed once, and `_wrong` says which field, if any, would have been
changed, or which rule rejects it (docs/messages.md). Dearer checks see only the messages that look
suspicious: `and`, `if` and `multiIf` evaluate lazily (`short_circuit_function_evaluation`). Why a
message is rejected is asked of the rejected ones only, by the view that stores them.

The engine analyses this text again at every insert, so it is kept short, and flat: each function,
and each level of subqueries, costs every insert (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from nrtctl.pipeline import Pipeline
from nrtctl.schema.casts import literal
from nrtctl.schema.types import FieldType, field_type

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

COORDINATES = "_topic, _incarnation, _partition, _offset, _timestamp"
ENVELOPE = f"{COORDINATES}, _headers, _key, _value"

ASK = "?"
RULE = "!"
"""What `_wrong` begins with: `?` and the field to blame, if it is one (`reason` says why); `!` and
the rule that holds. An empty `_wrong` is a message that is stored."""


def field_types(pipeline: Pipeline) -> Mapping[str, FieldType]:
    """Raises ValueError: a type is not supported."""
    return {name: field_type(text) for name, text in pipeline.fields.items()}


def parse_query(pipeline: Pipeline, source: str) -> str:
    """SELECT from the landing table `source`: the envelope, the fields as stored, and `_wrong`.

    Whether a message is stored is decided here, once, and nowhere else: so it is never both stored
    and rejected, nor neither, whatever a rule calls (now(), rand()).
    """
    types = field_types(pipeline)
    texts = {name: f"_fields.{index}" for index, name in enumerate(types, 1)}
    shape = ", ".join(f"`{name}` {kind.extracted}" for name, kind in types.items())
    values = ", ".join(f"{kind.value(texts[name])} AS `{name}`" for name, kind in types.items())
    extracted = (
        f"SELECT {ENVELOPE}, assumeNotNull(_value) AS _message, "
        f"JSONExtract(_message, {literal(f'Tuple({shape})')}) AS _fields, {values} FROM {source}"
    )
    stored = ", ".join(f"{kind.stored(f'_c.`{name}`')} AS `{name}`" for name, kind in types.items())
    blamed = ["", *(f"{ASK}{name}" for name in types), ASK]
    cases = _wrong_cases(types, texts)
    for name, sql in pipeline.rejects.items():
        cases.append((f"ifNull(({sql}), 0)", len(blamed)))
        blamed.append(f"{RULE}{name}")
    listed = ", ".join(literal(each) for each in blamed)
    code = ", ".join(f"{condition}, {number}" for condition, number in cases)
    # For the rules that use them; the others cost nothing.
    columns = columns_as_named(pipeline) if pipeline.rejects else []
    known = f"WITH {', '.join(columns)} " if columns else ""
    return (
        f"{known}SELECT {ENVELOPE}, {stored}, "
        f"arrayElement([{listed}], multiIf({code}, 0) + 1) AS _wrong FROM ({extracted}) AS _c"
    )


def columns_as_named(pipeline: Pipeline) -> list[str]:
    """SQL of each of the pipeline's columns, over the fields as they are stored."""
    return [f"({sql}) AS `{name}`" for name, sql in pipeline.columns.items()]


def _wrong_cases(types: Mapping[str, FieldType], texts: Mapping[str, str]) -> list[tuple[str, int]]:
    """(condition, n), the first that holds decides: n is the field's number, the first is 1; one
    more than there are fields: the whole message."""
    whole = len(types) + 1
    cases = [(_no_object(types, texts), whole)]
    for index, (name, kind) in enumerate(types.items(), 1):
        if wrong := kind.wrong(texts[name], f"_c.`{name}`", f"_message, {literal(name)}"):
            cases.append((wrong, index))
    cases.append((_two_equal_keys(types, texts), whole))
    return cases


def _no_object(types: Mapping[str, FieldType], texts: Mapping[str, str]) -> str:
    """SQL: the message is no object, as far as its fields do not say so themselves."""
    unsure = "NOT startsWith(_message, '{')"
    if all(kind.nullable for kind in types.values()):
        nothing = " AND ".join(kind.absent(texts[name]) for name, kind in types.items())
        unsure = f"({unsure} OR ({nothing}))"
    return f"{unsure} AND JSONType(_message) != 'Object'"


def _two_equal_keys(types: Mapping[str, FieldType], texts: Mapping[str, str]) -> str:
    """SQL: a key is there twice. Without more colons than fields found, it cannot be."""
    required = sum(not kind.nullable for kind in types.values())
    optional = [f"isNotNull({texts[n]})" for n, kind in types.items() if kind.nullable]
    found = " + ".join([str(required), *optional])
    return (
        f"countSubstrings(_message, ':') > {found} AND "
        "arrayUniq(JSONExtractKeys(_message)) != JSONLength(_message)"
    )


def reason() -> str:
    """SQL: why a message whose `_wrong` begins with `?` is rejected. Needs `_value` and `_name`."""
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
