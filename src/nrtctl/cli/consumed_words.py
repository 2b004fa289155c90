"""What `consume` says of rows and dead letters when it ends. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from nrtctl.cli.command_line import of_pipeline
from nrtctl.config.counted import counted

MOST_REASONS = 5
"""For dead letters, that the summary as text names."""


def stored_words(
    records: int,
    letters: int | None,
    several: tuple[int, int] | None = None,
    left_out: int | None = None,
) -> str:
    """Args:
    letters: how many of the records are dead letters; None: that is not known.
    several: messages that have rows, and their rows, where these may be more.
    left_out: how many the pipeline does not take; None: it takes all.
    """
    taken = records - (left_out or 0)
    dead = f" and {counted(letters, 'dead letter')}" if letters else ""
    if several is not None:
        messages, rows = several
        return f"stored {counted(messages, 'message')} as {counted(rows, 'row')}{dead}"
    rest = f", left out {counted(left_out, 'message')}," if left_out else ""
    return f"stored {counted(max(0, taken - (letters or 0)), 'row')}{dead}{rest}"


def together(lists: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What several workers say of dead letters, by reason and field, most first."""
    counts: Counter[tuple[str, str]] = Counter()
    for each in chain.from_iterable(lists):
        counts[each["reason"], each["field"]] += each["dead_letters"]
    return [
        {"reason": reason, "field": field, "dead_letters": number}
        for (reason, field), number in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]


def rejected_words(rejected: Sequence[Mapping[str, Any]], columns: Container[str]) -> Iterator[str]:
    """A line for each reason. Args: columns: of the pipeline's own; other names are fields."""
    for each in rejected[:MOST_REASONS]:
        yield f"  {counted(each['dead_letters'], 'dead letter')}: {_why(each, columns)}"
    if rest := rejected[MOST_REASONS:]:
        letters = sum(each["dead_letters"] for each in rest)
        yield f"  {counted(letters, 'dead letter')}: {counted(len(rest), 'other reason')}"


def mostly_rejected(summary: Mapping[str, Any], columns: Container[str], pipeline: str = "") -> str:
    """What is to be said of a run most of whose messages were rejected; empty: nothing."""
    records = summary["records"] - (summary.get("left_out") or 0)
    letters = summary["dead_letters"] or 0
    rejected = summary["rejected"]
    if not rejected or 2 * letters <= records:
        return ""
    first = rejected[0]
    only = shlex.quote(first["reason"])
    of = of_pipeline(pipeline)
    share = "all" if len(rejected) == 1 else "most"
    if 2 * first["dead_letters"] <= letters:
        share = f"{first['dead_letters']:,}"
    return (
        f"{letters:,} of {counted(records, 'message')} became dead letters, "
        f"{share} of them by {_why(first, columns)}; "
        f"`nrtctl dlq list --reason {only}{of}` shows them, and once the pipeline is changed and "
        f"applied by `nrtctl up`, `nrtctl dlq replay --reason {only}{of} --execute` stores them"
    )


def _why(rejected: Mapping[str, Any], columns: Container[str]) -> str:
    reason, name = rejected["reason"], rejected["field"]
    of = f", {'column' if name in columns else 'field'} {name}" if name else ""
    return f"{reason}{of}"
