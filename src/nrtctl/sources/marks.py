"""What a source says of a record besides its bytes, and what should become of it.

Set by `faults` and the sources, written by `ledger`, compared by `verify --ledger`.
"""

from __future__ import annotations

from typing import Literal

Expect = Literal["stored", "dead_letter", "either"]

LATE = "late"
"""Its event time lies in the past."""
DUPLICATE = "duplicate"
"""The same event was sent before; both are rows, as two messages of the topic."""
FOREIGN = "input"
"""From a file: nothing is promised about it."""

INVALID = (
    "not_json",
    "truncated",
    "not_an_object",
    "missing_field",
    "null_field",
    "wrong_type",
    "invalid_utf8",
    "empty",
    "tombstone",
    "second_object",
    "deep_nesting",
    "huge_number",
)
"""Kinds of bad messages, each a dead letter."""

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
