"""What is said of each object that `apply` looked at, and the mark that tells its own. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What was done to one object: `made`, `changed…`, `kept…` or `dropped…`."""

    kind: str
    name: str
    action: str


MARK = "nrtctl "
CHANGING = f"{MARK}changing"
"""The comment of a view while what it reads is changed: it is ours, and not what any pipeline
describes."""


def mark_of(query: str) -> str:
    """The comment of a view that has this query."""
    return f"{MARK}{hashlib.sha256(query.encode()).hexdigest()[:16]}"


def with_mark(query: str) -> str:
    """Clauses of an ALTER TABLE that give a view this query and its mark at once: two who change it
    at the same time never leave the query of one under the mark of the other."""
    return f"MODIFY COMMENT '{mark_of(query)}', MODIFY QUERY {query}"
