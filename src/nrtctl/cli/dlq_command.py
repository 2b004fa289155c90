"""`nrtctl dlq`: dead letters, found, shown, sent again, purged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from nrtctl.cli.command_line import again
from nrtctl.cli.common_options import Execute
from nrtctl.cli.dlq_replaying import alone, replayed
from nrtctl.cli.option_values import parsed
from nrtctl.cli.results import Block, Document, Note, Result, Stream, Table, Warn
from nrtctl.cli.session import Session
from nrtctl.cli.waits import Waits, patient
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.dead_letters.replay import Report
    from nrtctl.dead_letters.selection import Selection

T = TypeVar("T")
NUMBERS = frozenset({"size", "tries"})
SHOWN = 100


@dataclass(frozen=True)
class Filters:
    """The options that say which dead letters are meant."""

    reason: Annotated[
        list[str] | None,
        typer.Option(
            "--reason",
            metavar="REASON",
            help="Only dead letters with this reason; may be repeated.",
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only dead letters whose Kafka timestamp is this time or later: ISO 8601, or 2h "
            "for two hours ago.",
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only dead letters whose Kafka timestamp is before this time, written as in "
            "--since.",
        ),
    ] = None
    partition: Annotated[
        list[int] | None,
        typer.Option(
            "--partition",
            metavar="NUMBER",
            min=0,
            help="Only dead letters of this partition; may be repeated.",
        ),
    ] = None
    offset: Annotated[
        str | None,
        typer.Option(
            "--offset",
            metavar="RANGE",
            help="Only dead letters with these offsets: 17, 10-20 (without 20), 10- or -20.",
        ),
    ] = None
    text: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Only dead letters whose key or value contains this text."
        ),
    ] = None
    incarnation: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            min=1,
            help="Only dead letters of this incarnation of the topic, if it was deleted and "
            "created again; `nrtctl dlq list` then names it before the partition.",
        ),
    ] = None

    def selection(self, *, purged: bool = False) -> Selection:
        """Raises ConfigError: a time or a range that cannot be read."""
        from nrtctl.dead_letters.selection import Selection, parse_offsets

        return Selection(
            reasons=tuple(self.reason or ()),
            since=None if self.since is None else parsed(_time, self.since, "--since"),
            until=None if self.until is None else parsed(_time, self.until, "--until"),
            partitions=tuple(self.partition or ()),
            offsets=None if self.offset is None else parsed(parse_offsets, self.offset, "--offset"),
            text=self.text or None,
            purged=purged,
            incarnation=self.incarnation,
        )

    def again(self, selection: Selection) -> str:
        """The command that carries out what was shown, for the same times."""
        from nrtctl.kafka.offsets import format_time

        given = {"--since": selection.since, "--until": selection.until}
        return again({name: format_time(at) for name, at in given.items() if at is not None})


def list_letters(
    session: Session,
    filters: Filters,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            help="Print at most this many dead letters; otherwise a table shows 100, and JSON "
            "all of them.",
        ),
    ] = None,
) -> Result:
    """List dead letters in offset order, and count them by reason."""
    from nrtctl.dead_letters.letters import (
        check_tables,
        count_by_reason,
        incarnations_of,
        list_sql,
        partitions_of,
    )
    from nrtctl.view.printable import printable

    selection = filters.selection(purged=True)
    client, pipeline, database = session.clickhouse(), session.config.pipeline, _database(session)
    check_tables(client, pipeline, database)

    def lines() -> Iterable[bytes]:
        sql = list_sql(pipeline, database, selection, limit, several=True)
        settings = {"readonly": 2, "output_format_json_quote_64bit_integers": 0}
        return client.stream(sql, "JSONEachRow", settings=settings)

    def cells() -> Iterator[Block]:
        several = len(incarnations_of(client, pipeline, database, selection)) > 1
        sql = list_sql(pipeline, database, selection, limit or SHOWN, several=several)
        names, rows = client.query_named(sql)
        yield _a_line_each(names, rows)
        counts = count_by_reason(client, pipeline, database, selection)
        parts = [f"{number:,} {printable(name)}" for name, number in counts.items()]
        listed = f"{len(rows):,} of {counted(sum(counts.values()), 'dead letter')}"
        if parts:
            yield Note(f"{listed}: {', '.join(parts)}")
            return
        there = partitions_of(client, pipeline, database) if selection.partitions else []
        elsewhere = there and not set(there) & set(selection.partitions)
        numbers = ", ".join(map(str, there))
        where = f"; dead letters are in {counted(len(there), 'partition')}: {numbers}"
        yield Note(f"no dead letter matches{where if elsewhere else ''}")

    return Stream(lines, cells)


COLUMNS = (
    "letter", "timestamp", "reason", "field", "size", "tries", "purged", "value",
)  # fmt: skip


def _a_line_each(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """For people: the place as `dlq show` takes it, in the column of the field the names of all
    that are at fault; no column in which there is nothing to say."""
    from nrtctl.schema.field_faults import finding
    from nrtctl.view.words import moment, size

    shown = []
    for row in rows:
        letter = dict(zip(names, row, strict=True))
        place = [letter[name] for name in ("incarnation", "partition", "offset") if name in letter]
        fields = ", ".join(finding(each).place for each in letter["faults"]) or letter["field"]
        shown.append(
            {
                "letter": "/".join(map(str, place)),
                "timestamp": moment(letter["timestamp"]),
                "reason": letter["reason"],
                "field": fields,
                "size": size(letter["bytes"]),
                "tries": letter["tries"],
                "purged": "purged" if letter["purged"] else "",
                "value": letter["value"],
            }
        )
    told = {"field", "tries", "purged"}
    columns = [name for name in COLUMNS if name not in told or any(each[name] for each in shown)]
    cells = [[each[name] for name in columns] for each in shown]
    return Table(columns, cells, [name in NUMBERS for name in columns], a_line_each=True)


def show(
    session: Session,
    letter: Annotated[
        str,
        typer.Argument(
            metavar="PARTITION/OFFSET",
            help="The place of the dead letter, as in 0/1234; if the topic was deleted and "
            "created again, 1/0/1234 is the one of incarnation 1.",
        ),
    ],
) -> Result:
    """Show one dead letter: key, headers, value, reason, and what has been tried with it."""
    from dataclasses import replace

    from nrtctl.cli.dlq_show import letter_as_dict, letter_as_text
    from nrtctl.dead_letters.letters import (
        check_tables,
        contents,
        faults_of,
        history,
        incarnations_of,
    )
    from nrtctl.dead_letters.selection import one_letter, parse_letter
    from nrtctl.errors import NrtctlError

    number, partition, offset = parsed(parse_letter, letter, "PARTITION/OFFSET")
    client, pipeline, database = session.clickhouse(), session.config.pipeline, _database(session)
    check_tables(client, pipeline, database)
    here = one_letter(number, partition, offset, purged=True)
    topics = incarnations_of(client, pipeline, database, here)
    if len(topics) > 1:
        raise NrtctlError(
            f"{counted(len(topics), 'topic')} of this name have had a dead letter at "
            f"{partition}/{offset}",
            hint=f"`nrtctl dlq show {topics[-1]}/{partition}/{offset}` shows the newest one",
        )
    number = topics[0] if topics else number
    where = replace(here, incarnation=number).where(pipeline)
    found = contents(client, pipeline, database, where)
    past = history(client, pipeline, database, number, partition, offset)
    if not found:
        ended = " any more: a replay turned it into a row" if past else ""
        raise NrtctlError(
            f"{partition}/{offset} is not a dead letter of {pipeline.table}{ended}",
            hint="`nrtctl dlq list` shows all dead letters",
        )
    faults = faults_of(client, pipeline, database, where)
    told = (pipeline.topic, found[0], past, faults)
    return Document(letter_as_dict(*told), [letter_as_text(*told)])


def replay(
    session: Session,
    filters: Filters,
    fix: Annotated[
        str | None,
        typer.Option(
            metavar="SQL",
            help="Send the result of this SQL expression instead of the value; the expression "
            "may use value, key, headers, reason and field.",
        ),
    ] = None,
    edit: Annotated[
        bool,
        typer.Option(
            "--edit",
            help="With one dead letter selected, open its value in $EDITOR and send what you save.",
        ),
    ] = False,
    to_topic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Send the dead letters to this topic instead; they remain dead letters.",
        ),
    ] = None,
    execute: Execute = False,
) -> Result | None:
    """Send dead letters through the current pipeline again. Changes nothing without --execute.

    What the pipeline accepts becomes a row, what it rejects again remains a dead letter.
    """
    from nrtctl.dead_letters.letters import check_tables
    from nrtctl.errors import ConfigError

    if edit and (fix is not None or to_topic is not None):
        raise ConfigError("--edit cannot be used with --fix or --to-topic")
    if edit and not execute:
        raise ConfigError(
            "--edit needs --execute", hint="without it, the edited value would be lost"
        )
    selection = filters.selection()
    check_tables(session.clickhouse(), session.config.pipeline, _database(session))
    if to_topic is not None:
        from nrtctl.cli.dlq_forward import forward

        command = filters.again(selection)
        return forward(session, selection, to_topic, fix or "value", command, execute=execute)
    if not execute:
        report = _replay(session, selection, fix or "value", fix or "", False)
        return _replayed(report, filters.again(selection), executed=False)
    with alone(session):
        note = fix or ""
        if edit:
            from nrtctl.cli.dlq_edit import edited

            selection, fix, note = (*edited(session, selection), "edited")
        report = _replay(session, selection, fix or "value", note, True)
    return _replayed(report, filters.again(selection), executed=True)


def purge(
    session: Session,
    filters: Filters,
    execute: Execute = False,
) -> Result:
    """Erase the content of dead letters. Changes nothing without --execute.

    Key, value, headers and error are erased. The offset and the reason are kept, so that
    `nrtctl verify` still accounts for every message.
    """
    from nrtctl.dead_letters.letters import check_tables, count_by_reason
    from nrtctl.dead_letters.purge import purge as erase

    selection = filters.selection()
    client, pipeline, database = patient(session), session.config.pipeline, _database(session)
    check_tables(client, pipeline, database)
    if execute:
        with alone(session):
            cluster = session.config.clickhouse.cluster
            count = erase(client, pipeline, database, selection, cluster=cluster)
    else:
        count = sum(count_by_reason(client, pipeline, database, selection).values())
    command = filters.again(selection)
    shown = (
        [f"purged {counted(count, 'dead letter')}"]
        if execute
        else [
            f"{counted(count, 'dead letter')} would be purged",
            f"nothing was changed; to do it, run: {command}",
        ]
    )
    return Document({"executed": execute, "letters": count, "command": command}, shown)


def _replay(session: Session, selection: Selection, fix: str, note: str, execute: bool) -> Report:
    def progress(done: int) -> None:
        if session.say.interactive:
            session.say.note(f"{counted(done, 'dead letter')} processed")

    return replayed(
        session,
        selection,
        fix,
        note,
        execute=execute,
        storage=session.clickhouse(),
        waiting=Waits(session.say).waiting,
        progress=progress,
    )


def _replayed(report: Report, command: str, *, executed: bool) -> Result:
    from dataclasses import asdict

    counted = {"rejected": dict(report.rejected)}  # of a Counter asdict makes nonsense
    data = {"executed": executed, **asdict(report), **counted, "command": command}
    return Document(data, _report_words(report, executed, command))


def _report_words(report: Report, execute: bool, command: str) -> Iterator[Block]:
    from nrtctl.view.printable import printable

    if report.reasons:
        columns = ("reason", "stored", "rejected again", "undecided")
        rows = [(name, *counts) for name, counts in report.reasons.items()]
        yield Table(columns, rows)
    would = "" if execute else "would be "
    yield (
        f"{counted(report.letters, 'dead letter')}: {report.stored:,} {would}stored, "
        f"{sum(report.rejected.values()):,} {would}rejected again"
        + (f", {report.undecided:,} undecided" if report.undecided else "")
        + (
            f"; {counted(report.already, 'was already a row', 'were already rows')}"
            if report.already
            else ""
        )
    )
    now = ", ".join(f"{count:,} {printable(name)}" for name, count in report.rejected.items())
    if now:
        yield Note(f"reasons for the rejection: {now}")
    if report.later:
        yield Note(
            f"{counted(report.later, 'is', 'are')} at or above the group's committed offset, "
            "and left to the consumer"
        )
    if report.beside:
        yield Note(
            f"{counted(report.beside, 'dead letter')} of single rows, whose messages have "
            "other rows: `nrtctl replay load` loads such messages again as a whole"
        )
    if report.undecided:
        yield Warn(
            "the pipeline's SQL fails on too many messages, or a message is too large to be tried: "
            "fix it, or select fewer of them; `nrtctl replay load` loads a large one from Kafka"
        )
    if not execute and report.stored + report.already:
        yield f"nothing was changed; to do it, run: {command}"
    elif not execute:
        yield "nothing was changed"


def _database(session: Session) -> str:
    return session.config.clickhouse.database


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
                f"{text!r} is not a time: write 2026-01-31T08:00Z, or 2h for two hours ago"
            ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1000)
