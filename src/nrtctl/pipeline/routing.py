"""Which messages of a topic a pipeline takes, where several may read it. Pure.

Called by `pipeline` and by `schema.parsing`. Each pipeline decides alone, with the conditions of
the others where `route` or `unmatched` make it depend on them; so each has all of its evidence in
tables of its own (docs/decisions/0050).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nrtctl.pipeline.condition import Condition, Equal, leaves
from nrtctl.pipeline.fields import FieldSpec

EVERYTHING = None
"""In the place of a condition: that of a pipeline without one."""


class Taking(NamedTuple):
    """What a pipeline takes. Attributes: when: its condition, or `EVERYTHING`. mends: what it makes
    JSON before it asks."""

    when: str | None
    mends: frozenset[str] = frozenset()


def mends(fields: Mapping[str, FieldSpec]) -> frozenset[str]:
    """What fields accept that is not JSON, and so is made JSON before the message is read."""
    found = {
        each for name, spec in fields.items() if spec.source(name).path for each in spec.accept
    }
    return frozenset(found & {"nan", "broken text"})


@dataclass(frozen=True, slots=True)
class Others:
    """The other pipelines that read the topic.

    Attributes:
        earlier: of those before it in the file, where `route` is "first"; what they take is not
            for this one.
        every: of all others, where `unmatched` is "dead letter".
    """

    earlier: tuple[Taking, ...] = ()
    every: tuple[Taking, ...] = ()


def not_for_pipelines(condition: Condition) -> str:
    """Why a pipeline cannot have it; empty: it can."""
    for each in leaves(condition):
        wanted = each.wanted if isinstance(each, Equal) else ()
        if any(isinstance(value, list | dict) for value in wanted):
            return "write texts, numbers, true, false or null, but no array or object"
    return ""
