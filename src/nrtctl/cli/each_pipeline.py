"""What a command hands back for several pipelines, as one result. Called by `common_options`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nrtctl.cli.results import Block, Document, Result, Rows, Table
from nrtctl.errors import NrtctlError

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.config.load import Loaded


def of_all(session: Session, run: Callable[[Session], Result | None]) -> Result | None:
    """As `of_each`; of a single pipeline the result is its own."""
    if len(session.pipelines) > 1:
        return of_each(session, run)
    one = session.pipelines[0]
    return run(session if one.config.pipeline.topics is None else session.of(one))


def of_each(
    session: Session,
    run: Callable[[Session], Result | None],
    pipelines: Sequence[Loaded] | None = None,
) -> Result:
    """Run a command for each pipeline, whatever becomes of the others.

    Args:
        pipelines: None: those of the session.

    Returns:
        Each one's document under its name, or the rows of all with the name in each. What failed
        says so in its place, and the first failure is that of the whole.
    """
    found: dict[str, Result | NrtctlError] = {}
    for loaded in session.pipelines if pipelines is None else pipelines:
        name = str(loaded.pipeline)
        try:
            result = run(session.of(loaded))
        except NrtctlError as error:
            found[name] = error
        else:
            if result is not None:
                found[name] = result
    said = [note for each in found.values() if isinstance(each, Result) for note in each.said]
    failures = [each if isinstance(each, NrtctlError) else each.failure for each in found.values()]
    failure = next((each for each in failures if each is not None), None)
    rows = {name: each.table for name, each in found.items() if isinstance(each, Rows)}
    if rows:
        return Rows(_joined(rows), _shown(found), said=said, failure=failure)
    data = {
        name: each.data if isinstance(each, Document) else {"error": str(each)}
        for name, each in found.items()
    }
    return Document({"pipelines": data}, _shown(found), said=said, failure=failure)


def _joined(tables: Mapping[str, Table]) -> Table:
    columns = next(iter(tables.values())).columns
    rows = [(name, *row) for name, table in tables.items() for row in table.rows]
    return Table(("pipeline", *columns), rows)


def _shown(found: Mapping[str, Result | NrtctlError]) -> Iterator[Block]:
    for name, each in found.items():
        yield f"{name}:"
        if isinstance(each, NrtctlError):
            yield f"error: {each.message}"
        elif isinstance(each, Document):
            yield from each.shown or ()
        elif isinstance(each, Rows):
            yield from each.shown or (each.table,)
