"""Why a message is a dead letter, and the columns that say which message it is. Pure."""

from __future__ import annotations

from nrtctl.pipeline import Pipeline
from nrtctl.pipeline.message_format import DECODED

NULL_VALUE = "null value"
EMPTY = "empty message"
NOT_UTF8 = "invalid UTF-8"
NOT_JSON = "not JSON"
NOT_OBJECT = "not an object"
DUPLICATE_KEY = "duplicate key"
FIELD_MISSING = "field missing"
FIELD_NULL = "field is null"
WRONG_TYPE = "wrong type"
NOT_ARRAY = "not an array"
NO_ROWS = "no rows"

UNMATCHED = "unmatched"
"""No pipeline of the topic takes the message."""

LEFT_OUT = "left out"

REASONS = (
    NULL_VALUE, EMPTY, NOT_UTF8, NOT_JSON, NOT_OBJECT, DUPLICATE_KEY, FIELD_MISSING, FIELD_NULL,
    WRONG_TYPE,
)  # fmt: skip
"""Why a message is rejected before the pipeline's own rules are asked."""


def left_out_of(table: str) -> str:
    """`_target` of the messages that the pipeline of this table leaves out; no table has a space in
    its name."""
    return f"{table} {LEFT_OUT}"


COORDINATES = "_topic, _incarnation, _partition, _offset, _timestamp"
ENVELOPE = f"{COORDINATES}, _headers, _key, _value"


def envelope_of(pipeline: Pipeline) -> str:
    """What the landing table has of a message, and the parsed one where each is one row."""
    return f"{ENVELOPE}, {DECODED}" if pipeline.is_decoded else ENVELOPE
