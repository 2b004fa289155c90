"""`nrtctl incarnations`: the topics of the pipeline's name, and what the table has of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.command_line import again
from nrtctl.cli.common_options import Execute, for_each_pipeline
from nrtctl.cli.results import Document, Result, Table
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.stack.topics_of_name import StoredTopic


@for_each_pipeline
def list_incarnations(session: Session) -> Result:
    """List the topics that have had the pipeline's name, and count the rows of each.

    A topic that is deleted and created again starts with offset 0 once more. Its rows have another
    number in the column `_incarnation`, so they are never mistaken for rows of the earlier topic.
    """
    from nrtctl.view.words import moment_of

    found = [each.as_dict() for each in _stored(session)]
    shown = [{**each, "first_stored": moment_of(each["first_stored"])} for each in found]
    columns = ("incarnation", "state", "rows", "dead_letters", "first_stored", "topic_id")
    return Document(
        {"topic": session.config.pipeline.topic, "incarnations": found},
        [Table(columns, [tuple(each[name] for name in columns) for each in shown])],
    )


def drop(
    session: Session,
    number: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="NUMBER", help="Delete only these incarnations; otherwise all earlier ones."
        ),
    ] = None,
    execute: Execute = False,
) -> Result:
    """Delete the rows and dead letters of earlier topics. Changes nothing without --execute.

    The rows of the topic that exists now cannot be deleted.
    """
    from nrtctl.errors import ConfigError
    from nrtctl.stack.topics_of_name import delete_stored

    earlier = {each.incarnation: each for each in _stored(session) if not each.is_now}
    for wanted in number or ():
        if wanted not in earlier:
            raise ConfigError(
                f"topic {session.config.pipeline.topic!r} has no earlier incarnation {wanted}",
                hint="`nrtctl incarnations list` shows all of them",
            )
    chosen = [each for each in earlier.values() if number is None or each.incarnation in number]
    if execute:
        delete_stored(
            session.config, session.clickhouse(), chosen, clock=session.clock, again=again
        )
    rows = sum(each.rows for each in chosen)
    letters_count = sum(each.dead_letters for each in chosen)
    what = (
        f"{counted(rows, 'row')} and {counted(letters_count, 'dead letter')} of "
        f"{counted(len(chosen), 'earlier topic')}"
    )
    shown = [f"{what} {'were' if execute else 'would be'} deleted"]
    if not execute and chosen:
        shown.append(f"nothing was changed; to do it, run: {again()}")
    dropped = [each.as_dict() for each in chosen]
    return Document({"executed": execute, "dropped": dropped, "command": again()}, shown)


def _stored(session: Session) -> list[StoredTopic]:
    from nrtctl.stack.topics_of_name import stored_topics

    return stored_topics(session.config, session.addresses, session.clickhouse())
