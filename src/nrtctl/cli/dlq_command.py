"""`nrtctl dlq`: dead letters, found, shown, sent again, purged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nrtctl.cli.command_line import again
from nrtctl.cli.options import Session, one_server
from nrtctl.cli.waits import patient

if TYPE_CHECKING:
    from nrtctl.dead_letters.replay import Report
    from nrtctl.dead_letters.selection import Selection

T = TypeVar("T")
SHOWN = 100

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="With this reason; several.")]
Since = Annotated[
    str | None, typer.Option(help="Kafka's timestamp from here: ISO 8601, or 2h for 2 hours ago.")
]
Until = Annotated[str | None, typer.Option(help="And before here.")]
Partitions = Annotated[list[int] | None, typer.Option("--partition", min=0, help="Of these.")]
Offsets = Annotated[
    str | None,
    typer.Option("--offset", metavar="RANGE", help="17, 10-20 (without 20), 10- or -20."),
]
Text = Annotated[str | None, typer.Option(help="Whose key or value has this text.")]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without, nothing is changed.")]


def list_letters(
    session: Session,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    partition: Partitions = None,
    offset: Offsets = None,
    text: Text = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many at most; a table: 100 if not said.")
    ] = None,
) -> None:
    """The dead letters, in offset order, and how many there are of each reason."""
    from nrtctl.dead_letters.letters import (
        check_tables,
        count_by_reason,
        incarnations_of,
        list_sql,
    )
    from nrtctl.printable import printable

    selection = _selection(reason, since, until, partition, offset, text, purged=True)
    client, pipeline, database = session.clickhouse(), session.config.pipeline, _database(session)
    check_tables(client, pipeline, database)
    if not session.out.table:
        sql = list_sql(pipeline, database, selection, limit, several=True)
        settings = {"readonly": 2, "output_format_json_quote_64bit_integers": 0}
        session.out.lines(client.stream(sql, "JSONEachRow", settings=settings))
        return
    several = len(incarnations_of(client, pipeline, database, selection)) > 1
    sql = list_sql(pipeline, database, selection, limit or SHOWN, several=several)
    names, rows = client.query_named(sql)
    session.out.rows(names, [[_moment(each) for each in row] for row in rows])
    counts = count_by_reason(client, pipeline, database, selection)
    parts = [f"{number:,} {printable(name)}" for name, number in counts.items()]
    listed = f"{len(rows):,} of {sum(counts.values()):,} dead letters"
    session.say.note(f"{listed}: {', '.join(parts)}" if parts else "no dead letter fits")


def show(
    session: Session,
    letter: Annotated[
        str,
        typer.Argument(
            metavar="PARTITION/OFFSET",
            help="As in 0/1234; 1/0/1234 where the topic was made again: incarnation 1 of it.",
        ),
    ],
) -> None:
    """One dead letter whole: key, headers, value, reason, and what was tried."""
    from dataclasses import replace

    from nrtctl.cli.shown import letter_as_dict, letter_as_text
    from nrtctl.dead_letters.letters import check_tables, contents, history, incarnations_of
    from nrtctl.dead_letters.selection import Selection, parse_letter
    from nrtctl.errors import NrtctlError

    number, partition, offset = _checked(parse_letter, letter)
    client, pipeline, database = session.clickhouse(), session.config.pipeline, _database(session)
    check_tables(client, pipeline, database)
    here = Selection(
        partitions=(partition,), offsets=(offset, offset + 1), purged=True, incarnation=number
    )
    topics = incarnations_of(client, pipeline, database, here)
    if len(topics) > 1:
        raise NrtctlError(
            f"{len(topics)} topics of this name had a dead letter at {partition}/{offset}",
            hint=f"`nrtctl dlq show {topics[-1]}/{partition}/{offset}` shows the newest",
        )
    number = topics[0] if topics else number
    found = contents(client, pipeline, database, replace(here, incarnation=number).where(pipeline))
    past = history(client, pipeline, database, number, partition, offset)
    if not found:
        ended = f": it is a row of {pipeline.table} since a replay" if past else ""
        raise NrtctlError(
            f"{partition}/{offset} is no dead letter of {pipeline.table}{ended}",
            hint="`nrtctl dlq list` shows those that are",
        )
    if session.out.table:
        session.out.text(letter_as_text(pipeline.topic, found[0], past))
    else:
        session.out.object(letter_as_dict(pipeline.topic, found[0], past))


def replay(
    session: Session,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    partition: Partitions = None,
    offset: Offsets = None,
    text: Text = None,
    fix: Annotated[
        str | None,
        typer.Option(metavar="SQL", help="Send this instead of the value: SQL over value, key, …"),
    ] = None,
    edit: Annotated[
        bool, typer.Option("--edit", help="Open the value of the one that fits in $EDITOR.")
    ] = False,
    to_topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Produce them there; they stay as they are.")
    ] = None,
    execute: Execute = False,
) -> None:
    """Send dead letters through the present pipeline again. Dry unless --execute."""
    from nrtctl.dead_letters.letters import check_tables
    from nrtctl.errors import ConfigError

    one_server(session, "nrtctl dlq replay")
    if edit and (fix is not None or to_topic is not None):
        raise ConfigError("--edit goes with neither --fix nor --to-topic")
    if edit and not execute:
        raise ConfigError("--edit needs --execute", hint="an edit that is not kept is lost")
    selection = _selection(reason, since, until, partition, offset, text)
    check_tables(session.clickhouse(), session.config.pipeline, _database(session))
    if to_topic is not None:
        from nrtctl.cli.dlq_forward import forward

        forward(session, selection, to_topic, fix or "value", execute=execute)
        return
    if not execute:
        _show_report(session, _replay(session, selection, fix or "value", fix or "", False), False)
        return
    with _alone(session):
        note = fix or ""
        if edit:
            from nrtctl.cli.dlq_edit import edited

            selection, fix, note = (*edited(session, selection), "edited")
        _show_report(session, _replay(session, selection, fix or "value", note, True), True)


def purge(
    session: Session,
    reason: Reasons = None,
    since: Since = None,
    until: Until = None,
    partition: Partitions = None,
    offset: Offsets = None,
    text: Text = None,
    execute: Execute = False,
) -> None:
    """Erase key, value and headers of dead letters; their offsets stay. Dry unless --execute."""
    from nrtctl.dead_letters.letters import check_tables, count_by_reason
    from nrtctl.dead_letters.purge import purge as erase

    one_server(session, "nrtctl dlq purge")
    selection = _selection(reason, since, until, partition, offset, text)
    client, pipeline, database = patient(session), session.config.pipeline, _database(session)
    check_tables(client, pipeline, database)
    if execute:
        with _alone(session):
            count, reasons = erase(client, pipeline, database, selection), {}
    else:
        reasons = count_by_reason(client, pipeline, database, selection)
        count = sum(reasons.values())
    command = again()
    if not session.out.table:
        session.out.object({"executed": execute, "letters": count, "command": command})
    elif execute:
        session.out.text(f"purged {count:,} dead letters")
    else:
        session.out.text(f"{count:,} dead letters would be purged")
        session.out.text(f"nothing was changed; to do it: {command}")


def _replay(session: Session, selection: Selection, fix: str, note: str, execute: bool) -> Report:
    import time
    from dataclasses import replace

    from nrtctl.dead_letters.letters import incarnations_of
    from nrtctl.dead_letters.replay import Replay, Report
    from nrtctl.faultpoints import arm
    from nrtctl.kafka_log import KafkaLog
    from nrtctl.store.current import current_topic

    arm()
    config, client, database = session.config, patient(session), _database(session)
    topic = current_topic(config, session.addresses, client)
    positions = KafkaLog(config, session.addresses, topic=topic).partitions()
    committed = {each.partition: each.committed or 0 for each in positions}

    def progress(done: int) -> None:
        if session.say.interactive:
            session.say.note(f"{done:,} dead letters done")

    report = Report()
    numbers = incarnations_of(client, config.pipeline, database, selection)
    for number in numbers or [topic.number]:
        work = Replay(
            client,
            config.pipeline,
            replace(selection, incarnation=number),
            database=database,
            committed=committed if number == topic.number else None,
            fix=fix,
            note=note,
            max_rows=config.batch.max_rows,
            max_bytes=config.batch.max_bytes,
            sleep=time.sleep,
            clock=lambda: int(time.time() * 1000),
        )
        work.run(report, execute=execute, progress=progress)
    return report


def _show_report(session: Session, report: Report, execute: bool) -> None:
    from dataclasses import asdict

    from nrtctl.printable import printable

    command = again()
    if not session.out.table:
        session.out.object({"executed": execute, **asdict(report), "command": command})
        return
    if report.reasons:
        columns = ("reason", "stored", "rejected again", "undecided")
        rows = [(name, *counts) for name, counts in report.reasons.items()]
        session.out.rows(columns, rows)
    would = "" if execute else "would be "
    session.out.text(
        f"{report.letters:,} dead letters: {report.stored:,} {would}stored, "
        f"{sum(report.rejected.values()):,} {would}rejected again"
        + (f", {report.undecided:,} undecided" if report.undecided else "")
        + (f"; {report.already:,} were rows already" if report.already else "")
    )
    now = ", ".join(f"{count:,} {printable(name)}" for name, count in report.rejected.items())
    if now:
        session.say.note(f"rejected for: {now}")
    if report.later:
        session.say.note(
            f"{report.later:,} lie above the group's offset and are left to the consumer"
        )
    if report.undecided:
        session.say.warn("the pipeline's SQL throws on too many: mend it, or select fewer")
    if not execute and report.stored + report.already:
        session.out.text(f"nothing was changed; to do it: {command}")
    elif not execute:
        session.out.text("nothing was changed")


def _alone(session: Session) -> AbstractContextManager[None]:
    from nrtctl.dead_letters.lock import alone

    address = session.addresses.clickhouse_url
    return alone(address, _database(session), session.config.pipeline.dead_letters)


def _database(session: Session) -> str:
    return session.config.clickhouse.database


def _moment(value: Any) -> Any:
    return value.isoformat(timespec="milliseconds") if hasattr(value, "isoformat") else value


def _selection(
    reason: list[str] | None,
    since: str | None,
    until: str | None,
    partition: list[int] | None,
    offset: str | None,
    text: str | None,
    *,
    purged: bool = False,
) -> Selection:
    from nrtctl.dead_letters.selection import Selection, parse_offsets

    return Selection(
        reasons=tuple(reason or ()),
        since=None if since is None else _checked(_time, since),
        until=None if until is None else _checked(_time, until),
        partitions=tuple(partition or ()),
        offsets=None if offset is None else _checked(parse_offsets, offset),
        text=text or None,
        purged=purged,
    )


def _time(text: str) -> int:
    """ms since the epoch: ISO 8601 (UTC where it names no zone), or a duration before now."""
    import datetime
    import time

    from nrtctl.config.units import parse_duration

    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        try:
            return int((time.time() - parse_duration(text)) * 1000)
        except ValueError as error:
            raise ValueError(
                f"{text!r} is no time: write 2026-01-31T08:00Z, or 2h for two hours ago"
            ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp() * 1000)


def _checked(parse: Callable[[str], T], text: str) -> T:
    from nrtctl.errors import ConfigError

    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error
