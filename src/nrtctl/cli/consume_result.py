"""What `nrtctl consume` hands back, of one consumer or of several."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Any

from nrtctl.cli.consumed_words import mostly_rejected, rejected_words, stored_words
from nrtctl.cli.results import Block, Document, Result, Warn
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.session import Session


def summarized(
    session: Session,
    summary: dict[str, Any],
    *,
    warn: bool = True,
    failure: Exception | None = None,
) -> Result:
    """Args: warn: where most messages were rejected."""
    columns = session.config.pipeline.columns
    told = mostly_rejected(summary, columns, session.pipeline) if warn else ""
    return Document(
        summary,
        _summary_words(summary, columns),
        said=[Warn(told)] if told else (),
        failure=failure,
    )


def _stored(summary: dict[str, Any]) -> str:
    several, left_out = _several(summary), summary.get("left_out")
    return stored_words(summary["records"], summary["dead_letters"], several, left_out)


def _several(summary: dict[str, Any]) -> tuple[int, int] | None:
    return (summary["stored"], summary["rows"]) if "stored" in summary else None


def _summary_words(summary: dict[str, Any], columns: Container[str]) -> Iterator[Block]:
    rate = summary["records"] / max(0.001, summary["seconds"])
    yield (
        f"{_stored(summary)} in "
        f"{counted(summary['inserts'], 'insert')}, "
        f"{summary['seconds']:.1f} s ({rate:,.0f}/s); ended: {summary['ended']}"
    )
    yield from rejected_words(summary["rejected"] or (), columns)
    if summary["resolved"]:
        yield (
            f"{counted(summary['resolved'], 'more message')} had been stored before, in batches "
            "whose offsets were not committed yet"
        )
