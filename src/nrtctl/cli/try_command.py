"""`nrtctl try`: what the pipeline would do with the messages of files, without storing any."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.common_options import whole_pipelines
from nrtctl.cli.file_options import HowToRead
from nrtctl.cli.results import Block, Document, Result, Table, Warn
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.producer.sources import Unsendable
    from nrtctl.producer.trying import Tried
    from nrtctl.schema.trial import FieldTally, Trial

MOST_UNTAKEN = 20
"""Keys without a field that a table names."""

COLUMNS = ("field", "type", "seen", "missing", "null", "wrong", "first value that fails")


@whole_pipelines
def try_(
    session: Session,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Read the messages in these files, in the files of these directories, or in "
            "those that match these patterns; - is stdin.",
        ),
    ],
    how: HowToRead,
) -> Result:
    """Show what the pipeline would do with the messages of files. Exits with 5 if it rejects any.

    Nothing is sent or stored, and no stack needs to run.
    """
    from nrtctl.errors import CheckFailed

    found, unsendable = put_before(session, files, how)
    refused = found.trial.refused + unsendable.count
    every = found.trial.messages + unsendable.count
    failure = CheckFailed(
        f"{refused:,} of {counted(every, 'message')} would not be stored",
        hint="change the fields in nrtctl.toml, or the messages, and try again",
    )
    return Document(
        _as_dict(found, unsendable),
        _shown(found, session.loaded.pipeline),
        said=[Warn(example) for example in unsendable.examples],
        failure=failure if refused else None,
    )


def put_before(
    session: Session, files: list[str], how: HowToRead, most: int | None = None
) -> tuple[Tried, Unsendable]:
    """What the pipeline would do with the messages of the files, and what is none.

    Args:
        most: of the messages, from the first on; None: all.

    Raises:
        ConfigError, QueryError, ConnectError: as `tried`.
    """
    from nrtctl.cli.reading_progress import ReadingProgress
    from nrtctl.cli.samples import opened
    from nrtctl.producer.drafting import types_of_cells
    from nrtctl.producer.trying import tried
    from nrtctl.stack.trial_engine import engine

    pipeline = session.config.pipeline.of_json()
    lines = session.config.pipeline.format == "text"
    with (
        engine(session.config, session.loaded.state_dir) as values,
        opened(session, files, how, types_of_cells(pipeline)) as records,
    ):
        progress = ReadingProgress(session.say, "trying the pipeline", records)
        with progress.shown():
            found = tried(pipeline, islice(progress.of(records), most), values, lines=lines)
        return found, records.unsendable


def _shown(found: Tried, pipeline: str | None) -> Iterator[Block]:
    from nrtctl.config.parts import whole_name
    from nrtctl.pipeline.infer import text
    from nrtctl.view.printable import printable

    trial = found.trial
    reasons = ", ".join(f"{count:,} {printable(name)}" for name, count in _by_count(trial.reasons))
    yield (
        f"{counted(trial.messages, 'message')}: {_stored(trial)} would be stored"
        + (f", {counted(trial.refused, 'dead letter')} ({reasons})" if reasons else "")
        + (f", {trial.left_out:,} left out" if trial.left_out else "")
    )
    yield Table(COLUMNS, [_row(found, each) for each in trial.fields.values()])
    for example in trial.examples:
        faults = "; ".join(map(str, example.faults)) or example.error
        where = found.origins.get(example.number, f"message {example.number:,}")
        yield f"{where}: {example.reason}" + (f": {faults}" if faults else "")
    cures = [cure for name in trial.fields if (cure := found.cure(name)) is not None]
    if cures:
        section = "pipeline" if pipeline is None else f"pipelines.{text.key(whole_name(pipeline))}"
        yield f"with these lines in [{section}.fields], every value would be accepted:"
        for cure in cures:
            yield f"  {cure}"
    unseen = _unseen(found)
    if unseen:
        yield f"in no message: {', '.join(unseen)}"
    untaken = list(found.untaken())
    if untaken:
        more = len(untaken) - MOST_UNTAKEN
        listed = ", ".join(untaken[:MOST_UNTAKEN]) + (f" and {more:,} more" if more > 0 else "")
        yield f"read by no field: {listed}"


def _stored(trial: Trial) -> str:
    if trial.pipeline.rows is None:
        return f"{trial.stored:,}"
    return f"{counted(trial.rows, 'row')}"


def _row(found: Tried, tally: FieldTally) -> tuple[object, ...]:
    first = ""
    if tally.first is not None:
        what = tally.first.text if tally.first.state == "seen" else f"({tally.first.state})"
        where = found.origins.get(tally.first_message or 0, f"message {tally.first_message}")
        first = f"{what} in {where}"
    there = found.presence[tally.name]
    counts = (there.seen, there.missing, there.null, tally.refused)
    return (tally.name, tally.wanted, *counts, first)


def _unseen(found: Tried) -> list[str]:
    return [name for name, each in found.presence.items() if not each.seen and not each.null]


def _by_count(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda each: -each[1])


def _as_dict(found: Tried, unsendable: Unsendable) -> dict[str, Any]:
    trial = found.trial
    return {
        "messages": trial.messages,
        "stored": trial.stored,
        "rows": trial.rows,
        "dead_letters": trial.refused,
        **({"left_out": trial.left_out} if trial.pipeline.takes_some else {}),
        "reasons": dict(_by_count(trial.reasons)),
        "unsendable": unsendable.count,
        "fields": [
            {
                "name": each.name,
                "type": each.wanted,
                "seen": found.presence[each.name].seen,
                "missing": found.presence[each.name].missing,
                "null": found.presence[each.name].null,
                "wrong": each.refused,
                "first": None if each.first is None else each.first.text,
                "first_at": found.origins.get(each.first_message or 0),
                "cure": found.cure(each.name),
            }
            for each in trial.fields.values()
        ],
        "examples": [
            {
                "message": each.number,
                "origin": found.origins.get(each.number),
                "reason": each.reason,
                "error": each.error or None,
                "faults": [
                    {
                        "field": f.field,
                        "place": f.place,
                        "state": f.state,
                        "value": f.text,
                        "type": f.wanted,
                    }
                    for f in each.faults
                ],
            }
            for each in trial.examples
        ],
        "never_seen": _unseen(found),
        "not_taken": found.untaken(),
    }
