"""Which messages of a topic a pipeline takes, where several may read it. Pure.

Called by `pipeline` and by `schema.parsing`. Each pipeline decides alone, with the conditions of
the others where `route` or `unmatched` make it depend on them; so each has all of its evidence in
tables of its own (docs/decisions/0050).
"""

from __future__ import annotations

from dataclasses import dataclass

from nrtctl.pipeline.condition import Condition, Equal, leaves

EVERYTHING = None
"""In the place of a condition: that of a pipeline without one."""


@dataclass(frozen=True, slots=True)
class Others:
    """Conditions of the other pipelines that read the topic; `EVERYTHING`: it has none.

    Attributes:
        earlier: of those before it in the file, where `route` is "first"; what they take is not
            for this one.
        every: of all others, where `unmatched` is "dead letter".
    """

    earlier: tuple[str | None, ...] = ()
    every: tuple[str | None, ...] = ()


def not_for_pipelines(condition: Condition) -> str:
    """Why a pipeline cannot have it; empty: it can."""
    for each in leaves(condition):
        wanted = each.wanted if isinstance(each, Equal) else ()
        if any(isinstance(value, list | dict) for value in wanted):
            return "write texts, numbers, true, false or null, but no array or object"
    return ""
