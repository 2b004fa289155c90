"""`nrtctl incarnations`: the topics of the pipeline's name, and what the table has of each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nrtctl.cli.command_line import again
from nrtctl.cli.options import Session, one_server


def list_incarnations(session: Session) -> None:
    """Each topic that had the pipeline's name, and how many rows the table has of it.

    A topic that is deleted and made again counts its offsets anew. Its rows carry another number in
    the column `_incarnation`, so that they are never taken for those of the topic before.
    """
    found = _incarnations(session)
    if not session.out.table:
        session.out.object({"topic": session.config.pipeline.topic, "incarnations": found})
        return
    columns = ("incarnation", "state", "rows", "dead_letters", "first_stored", "topic_id")
    session.out.rows(columns, [tuple(each[name] for name in columns) for each in found])


def drop(
    session: Session,
    number: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="[NUMBER]...", help="Drop these; without a number, every earlier one."
        ),
    ] = None,
    execute: Annotated[
        bool, typer.Option("--execute", help="Delete them; without it nothing is changed.")
    ] = False,
) -> None:
    """Delete the rows and dead letters of earlier topics. Dry unless --execute.

    The topic that is there now cannot be dropped.
    """
    from nrtctl.errors import ConfigError
    from nrtctl.replay.deletion import delete

    one_server(session, "nrtctl incarnations drop")
    found = _incarnations(session)
    earlier = {each["incarnation"]: each for each in found if each["state"] == "earlier"}
    for wanted in number or ():
        if wanted not in earlier:
            raise ConfigError(
                f"incarnation {wanted} is not an earlier one of topic "
                f"{session.config.pipeline.topic!r}",
                hint="`nrtctl incarnations list` shows all of them",
            )
    chosen = [each for each in earlier.values() if number is None or each["incarnation"] in number]
    if execute:
        client, pipeline = session.clickhouse(), session.config.pipeline
        database = session.config.clickhouse.database
        for each in chosen:
            of = f"_topic = '{pipeline.topic}' AND _incarnation = {each['incarnation']}"
            letters = f"_target = '{pipeline.table}' AND {of}"
            for name, where in (
                (pipeline.table, of), (pipeline.dead_letters, letters),
                (pipeline.letter_log, letters),
            ):  # fmt: skip
                delete(client, f"{database}.{name}", where, clock=session.clock, again=again())
    rows = sum(each["rows"] for each in chosen)
    letters_count = sum(each["dead_letters"] for each in chosen)
    if not session.out.table:
        session.out.object({"executed": execute, "dropped": chosen, "command": again()})
        return
    topics = "one earlier topic" if len(chosen) == 1 else f"{len(chosen)} earlier topics"
    what = f"{rows:,} rows and {letters_count:,} dead letters of {topics}"
    session.out.text(f"{what} {'were' if execute else 'would be'} deleted")
    if not execute and chosen:
        session.out.text(f"nothing was changed; to do it: {again()}")


def _incarnations(session: Session) -> list[dict[str, Any]]:
    from datetime import UTC, datetime

    from nrtctl.store.current import incarnations, topic_id
    from nrtctl.store.incarnations import rows_by_incarnation

    config, client = session.config, session.clickhouse()
    topics = incarnations(config, client)
    now = topics.find(topic_id(config, session.addresses))
    counted = rows_by_incarnation(client, config.pipeline, config.clickhouse.database)
    known = {each.number: each for each in topics.known()}
    found = []
    for number in sorted({*known, *counted, now.number}):
        rows, letters = counted.get(number, (0, 0))
        each = known.get(number)
        seen = None if each is None else datetime.fromtimestamp(each.seen / 1000, UTC)
        found.append(
            {
                "incarnation": number,
                "state": "now" if number == now.number else "earlier",
                "rows": rows,
                "dead_letters": letters,
                "first_stored": None if seen is None else seen.isoformat(timespec="seconds"),
                "topic_id": now.topic_id if number == now.number else each and each.topic_id,
            }
        )
    return found
