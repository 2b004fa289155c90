"""`nrtctl verify`: offsets against rows, a ledger against rows, and the repair."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.command_line import command_line
from nrtctl.cli.common_options import Execute, for_each_pipeline
from nrtctl.cli.results import Block, Document, Note, Result, Table
from nrtctl.cli.session import Session
from nrtctl.cli.waits import Waits, patient, throwing_of
from nrtctl.config.counted import counted, from_to

if TYPE_CHECKING:
    from nrtctl.clickhouse.queries import Storage
    from nrtctl.errors import CheckFailed
    from nrtctl.kafka.log import KafkaLog
    from nrtctl.store.intents import Incarnation
    from nrtctl.verify import Report
    from nrtctl.verify.ledger import LedgerReport

COLUMNS = (
    "partition", "log_start", "log_end", "committed", "lag", "stored", "dead_letters",
    "missing", "duplicated", "lost",
)  # fmt: skip

FAULTS = frozenset({"missing", "duplicated", "lost"})
"""Columns in which a number other than 0 is a fault."""


@for_each_pipeline
def verify(
    session: Session,
    ledger: Annotated[
        list[Path] | None,
        typer.Option(
            "--ledger",
            metavar="FILE",
            help="Also compare with what `nrtctl produce --ledger` recorded; may be repeated.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Show how missing messages would be loaded again and duplicates removed; "
            "with --execute, do it.",
        ),
    ] = False,
    execute: Execute = False,
) -> Result:
    """Compare Kafka's offsets with ClickHouse's rows. Exits with 5 if anything differs."""
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.log import KafkaLog
    from nrtctl.producer.ledger import Ledger
    from nrtctl.stack.current_topic import current_topic

    if execute and not repair:
        raise ConfigError(
            "--execute can only be used with --repair",
            hint="`nrtctl verify --repair --execute` repairs the tables",
        )
    ledgers = [Ledger(path) for path in ledger or ()]
    client: Storage = patient(session) if repair else session.clickhouse()
    topic = current_topic(session.config, session.addresses, client)
    log = KafkaLog(session.config, session.addresses.bootstrap_servers, topic=topic)
    report = _compared(session, client, log, topic)
    loading = (report.missing > 0 or repair) and _loading(session, repair=repair)
    done = _repair(session, client, log, topic, report, execute=execute) if repair else None
    if execute:
        report = _compared(session, client, log, topic)
    book = _ledgers(session, client, ledgers, topic, report) if ledgers else None
    data = {
        **report.as_dict(),
        **({} if book is None else {"ledger": book.as_dict()}),
        **({} if done is None else {"repair": done}),
    }
    shown = _shown(report, book, done, several=session.config.pipeline.rows is not None)
    return Document(data, shown, failure=_failure(report, book, repair=repair, loading=loading))


def _loading(session: Session, *, repair: bool) -> bool:
    """Whether a load of the table is not finished.

    Raises:
        CheckFailed: it is to be repaired: rows would be stored by both.
    """
    from nrtctl.errors import CheckFailed
    from nrtctl.replay.unfinished import RESUME, is_under_way

    config, address = session.config, session.addresses.bootstrap_servers
    found = is_under_way(config, address=address, clock=session.clock)
    if found and repair:
        raise CheckFailed(
            f"nothing was repaired: a load of {config.pipeline.table} is running or was "
            "interrupted, and its rows would be stored by both",
            hint=RESUME,
        )
    return found


def _compared(session: Session, client: Storage, log: KafkaLog, topic: Incarnation) -> Report:
    """As `verify.run.report`. The topics of a pipeline share its table, so its current states are
    compared once, and again after a repair has changed something."""
    from nrtctl.verify.run import report

    table = session.config.clickhouse.database, session.config.pipeline.table
    found = report(session.config, client, log, topic, states=session.once.get(table))
    session.once[table] = found.latest
    return found


def _ledgers(
    session: Session,
    client: Storage,
    ledgers: list[Any],
    topic: Incarnation,
    report: Report,
) -> LedgerReport:
    from nrtctl.stack.current_topic import incarnations
    from nrtctl.verify.ledger import compare, topic_of

    return compare(
        client,
        session.config.pipeline,
        database=session.config.clickhouse.database,
        ledgers=ledgers,
        committed={each.partition: each.committed for each in report.partitions},
        topic=topic_of(ledgers, topic, incarnations(session.config, client)),
        now=topic,
    )


def _repair(
    session: Session,
    client: Storage,
    log: KafkaLog,
    topic: Incarnation,
    report: Report,
    *,
    execute: bool,
) -> dict[str, Any]:
    """Plan, and carry out if `execute`; what was or would be done."""
    from dataclasses import asdict

    from nrtctl.kafka.formats.opening import patient_decoder
    from nrtctl.store.filling import filling
    from nrtctl.store.latest import States
    from nrtctl.store.several_rows import rows_in
    from nrtctl.store.target import target_of
    from nrtctl.verify.repair import AGAIN, Repair

    config, waits = session.config, Waits(session.say)
    target = target_of(config, topic)
    work = Repair(
        rows_in(client, target),
        log,
        filling(
            target,
            session.clickhouse(),
            clock=session.clock,
            waiting=waits.waiting,
            throwing=throwing_of(session),
            again=AGAIN,
        ),
        max_rows=config.batch.max_rows,
        max_bytes=config.batch.max_bytes,
        sleep=time.sleep,
        decode=patient_decoder(
            session.addresses.with_registry(config), session.clock, waits.waiting
        ),
    )
    steps = work.plan(report)
    reloaded, removed = work.execute() if execute else (0, 0)
    database = config.clickhouse.database
    states = States(
        client,
        config.pipeline,
        database,
        sleep=time.sleep,
        cluster=config.clickhouse.cluster,
    )
    changed = bool(reloaded or removed)
    mended = {
        each.name: states.mend(each.name) if changed or each.differing else 0
        for each in report.latest
        if execute
    }
    if changed or any(mended.values()):
        session.once.pop((database, config.pipeline.table), None)
    return {
        "executed": execute,
        "plan": [asdict(step) for step in steps],
        "reloaded": reloaded,
        "removed": removed,
        "latest": {
            each.name: mended[each.name] if execute else each.differing for each in report.latest
        },
        "command": command_line(session, ["verify", "--repair", "--execute"]),
    }


def _shown(
    report: Report, book: LedgerReport | None, done: dict[str, Any] | None, *, several: bool
) -> Iterator[Block]:
    columns: tuple[str, ...] = COLUMNS
    if report.left_out:
        at = COLUMNS.index("missing")
        columns = (*COLUMNS[:at], "left_out", *COLUMNS[at:])
    rows = [tuple(getattr(e, name) for name in columns) for e in report.partitions]
    yield Table(columns, rows, bad=lambda name, value: name in FAULTS and bool(value))
    stored = f"{report.stored:,} stored"
    if several:
        stored = f"{counted(report.stored, 'message')} stored as {counted(report.rows, 'row')}"
    yield (
        f"{stored}, {counted(report.dead_letters, 'dead letter')}, "
        f"{f'{report.left_out:,} left out, ' if report.left_out else ''}"
        f"{report.missing:,} missing, {report.duplicated:,} duplicated; lag {report.lag:,}"
    )
    for state in report.latest:
        if not state.problem:
            yield (
                f"latest.{state.name}: {counted(state.keys, 'key')}, {state.wrong:,} wrong, "
                f"{state.missing:,} missing, {state.extra:,} extra"
                f"{f', {state.older:,} older than the rows' if state.older else ''}"
            )
    for note in report.notes:
        yield Note(note)
    if book is not None:
        yield from _ledger_shown(book)
    if done is not None:
        yield from _repair_shown(done)


def _ledger_shown(book: LedgerReport) -> Iterator[Block]:
    rows = [(name, value) for name, value in book.as_dict().items() if isinstance(value, int)]
    yield Table(("ledger", "messages"), rows)
    if book.reasons:
        rows_by_reason = [(reason, *both) for reason, both in book.reasons.items()]
        yield Table(("dead letters", "expected", "found"), rows_by_reason)
    for each in book.examples:
        yield Note(f"{each['difference']}: {each['partition']}/{each['offset']}: {each['what']}")


def _repair_shown(done: dict[str, Any]) -> Iterator[Block]:
    columns = ("partition", "reload", "remove", "later")
    if done["plan"]:
        rows = [tuple(step[name] for name in columns) for step in done["plan"]]
        yield Table(columns, rows)
    if done["executed"]:
        yield f"{counted(done['reloaded'], 'row')} loaded again, {done['removed']:,} removed"
        for name, keys in done["latest"].items():
            yield f"latest.{name}: {counted(keys, 'key')} repaired"
    elif any(step["reload"] or step["remove"] for step in done["plan"]) or any(
        done["latest"].values()
    ):
        yield f"nothing was changed; to do it, run: {done['command']}"
    else:
        yield "there is nothing to repair"


def _failure(
    report: Report, book: LedgerReport | None, *, repair: bool, loading: bool
) -> CheckFailed | None:
    """What differs, of all that was compared.

    Args:
        loading: a load is not finished, whose rows are missing meanwhile.
    """
    from nrtctl.errors import CheckFailed
    from nrtctl.replay.unfinished import RESUME

    found = list(report.problems)
    if report.missing or report.duplicated:
        ranges = [
            f"{each.partition}: {from_to(start, end)}"
            for each in report.partitions
            for start, end in (*each.missing_ranges[:3], *each.duplicated_ranges[:3])
        ]
        where = f" (partition: range {'; '.join(ranges[:5])})" if ranges else ""
        found.append(
            f"{report.missing} missing, {report.duplicated} duplicated in {report.table}{where}"
        )
    found += [
        f"partition {each.partition}: retention deleted {counted(each.lost, 'offset')} before "
        f"group {report.group} stored them, from {each.lost_ranges[0][0]} to "
        f"{each.lost_ranges[-1][1]}"
        for each in report.partitions
        if each.lost
    ]
    states = [each for each in report.latest if each.differing]
    found += [
        f"latest.{each.name}: {each.wrong} wrong, {each.missing} missing, {each.extra} extra of "
        f"{counted(each.keys, 'key')} (key: {'; '.join(each.examples)})"
        for each in states
    ]
    if book is not None and book.differences:
        counts = ", ".join(f"{count} {name}" for name, count in book.differences.items())
        found.append(f"the ledger differs: {counts.replace('_', ' ')}")
    if not found:
        return None
    differs = report.missing or report.duplicated or states
    helps = differs and not report.problems and not repair
    hint = "`nrtctl verify --repair` shows how to repair this" if helps else None
    if loading:
        hint = f"a load of {report.table} is running or was interrupted; {RESUME}"
    return CheckFailed("\n".join(found), hint=hint)
