"""What a source says of a record besides its bytes, and what should become of it.

Set by `faults` and the sources, written by `ledger`, compared by `verify --ledger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from nrtctl.schema import reasons

Expect = Literal["stored", "dead_letter", "either"]

LATE = "late"
"""Its event time lies in the past."""
DUPLICATE = "duplicate"
"""The same event was sent before; both are rows, as two messages of the topic."""
FOREIGN = "input"
"""From a file: nothing is promised about it."""

INVALID: Mapping[str, str] = {
    "not_json": reasons.NOT_JSON,
    "truncated": reasons.NOT_JSON,
    "not_an_object": reasons.NOT_OBJECT,
    "missing_field": reasons.FIELD_MISSING,
    "null_field": reasons.FIELD_NULL,
    "wrong_type": reasons.WRONG_TYPE,
    "invalid_utf8": reasons.NOT_UTF8,
    "empty": reasons.EMPTY,
    "tombstone": reasons.NULL_VALUE,
    "second_object": reasons.NOT_JSON,
    "deep_nesting": reasons.NOT_JSON,
    "huge_number": reasons.WRONG_TYPE,
    "duplicate_key": reasons.DUPLICATE_KEY,
}
"""Kinds of bad messages, and the reason that each becomes a dead letter for."""

MARKS = (LATE, DUPLICATE, FOREIGN, *INVALID)


def expectation(mark: str | None) -> Expect:
    """What should become of a message that carries `mark`.

    Raises:
        ValueError: there is no such mark.
    """
    if mark is None or mark in {LATE, DUPLICATE}:
        return "stored"
    if mark == FOREIGN:
        return "either"
    if mark in INVALID:
        return "dead_letter"
    raise ValueError(f"{mark!r} is no mark of a message")
