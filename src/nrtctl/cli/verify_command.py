"""`nrtctl verify`: offsets against rows, a ledger against rows, and the repair."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.command_line import command_line
from nrtctl.cli.options import Session, one_server
from nrtctl.cli.waits import patient

if TYPE_CHECKING:
    from nrtctl.intents import Incarnation
    from nrtctl.kafka_log import KafkaLog
    from nrtctl.patience import Storage
    from nrtctl.verify import Report
    from nrtctl.verify.ledger import LedgerReport

COLUMNS = (
    "partition", "log_start", "log_end", "committed", "lag", "stored", "dead_letters",
    "missing", "duplicated", "lost",
)  # fmt: skip


def verify(
    session: Session,
    ledger: Annotated[
        list[Path] | None,
        typer.Option("--ledger", metavar="FILE", help="Compare with what `produce` recorded."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Reload what is missing, remove doubles; dry.")
    ] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Carry the repair out.")] = False,
) -> None:
    """Compare Kafka's offsets with ClickHouse's rows. Exit 5 if anything differs."""
    from nrtctl.errors import ConfigError
    from nrtctl.kafka_log import KafkaLog
    from nrtctl.ledger import Ledger
    from nrtctl.store.current import current_topic

    if execute and not repair:
        raise ConfigError("--execute carries out a repair", hint="`nrtctl verify --repair`")
    if repair:
        one_server(session, "nrtctl verify --repair")
    ledgers = [Ledger(path) for path in ledger or ()]
    client: Storage = patient(session) if repair else session.clickhouse()
    topic = current_topic(session.config, session.addresses, client)
    log = KafkaLog(session.config, session.addresses, topic=topic)
    report = _report(session, client, log, topic)
    done = _repair(session, client, log, topic, report, execute=execute) if repair else None
    if execute:
        report = _report(session, client, log, topic)
    book = _ledgers(session, client, ledgers, topic, report) if ledgers else None
    _print(session, report, book, done)
    _judge(report, book, repair=repair)


def _report(session: Session, client: Storage, log: KafkaLog, topic: Incarnation) -> Report:
    from nrtctl.schema.drift import lost
    from nrtctl.verify import verify as compare

    config, clickhouse = session.config, session.config.clickhouse
    return compare(
        client,
        config.pipeline,
        database=config.clickhouse.database,
        group=config.consumer.group,
        log=log,
        topic=topic,
        lost=lost(client, config.pipeline, clickhouse.database, clickhouse.cluster),
    )


def _ledgers(
    session: Session,
    client: Storage,
    ledgers: list[Any],
    topic: Incarnation,
    report: Report,
) -> LedgerReport:
    from nrtctl.store.current import incarnations
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

    from nrtctl.verify.repair import Repair

    config = session.config
    work = Repair(
        client,
        config.pipeline,
        database=config.clickhouse.database,
        log=log,
        topic=topic,
        max_rows=config.batch.max_rows,
        max_bytes=config.batch.max_bytes,
        sleep=time.sleep,
    )
    steps = work.plan(report)
    reloaded, removed = work.execute() if execute else (0, 0)
    return {
        "executed": execute,
        "plan": [asdict(step) for step in steps],
        "reloaded": reloaded,
        "removed": removed,
        "command": command_line(session, ["verify", "--repair", "--execute"]),
    }


def _print(
    session: Session, report: Report, book: LedgerReport | None, done: dict[str, Any] | None
) -> None:
    if not session.out.table:
        ledgers = {} if book is None else {"ledger": book.as_dict()}
        session.out.object({
            **report.as_dict(), **ledgers, **({} if done is None else {"repair": done})
        })  # fmt: skip
        return
    rows = [tuple(getattr(each, name) for name in COLUMNS) for each in report.partitions]
    session.out.rows(COLUMNS, rows)
    session.out.text(
        f"{report.stored:,} stored, {report.dead_letters:,} dead letters, "
        f"{report.missing:,} missing, {report.duplicated:,} duplicated; lag {report.lag:,}"
    )
    for note in report.notes:
        session.say.note(note)
    if book is not None:
        _print_ledger(session, book)
    if done is not None:
        _print_repair(session, done)


def _print_ledger(session: Session, book: LedgerReport) -> None:
    rows = [(name, value) for name, value in book.as_dict().items() if isinstance(value, int)]
    session.out.rows(("ledger", "messages"), rows)
    if book.reasons:
        rows_by_reason = [(reason, *both) for reason, both in book.reasons.items()]
        session.out.rows(("dead letters", "expected", "found"), rows_by_reason)
    for each in book.examples:
        session.say.note(
            f"{each['difference']}: {each['partition']}/{each['offset']}: {each['what']}"
        )


def _print_repair(session: Session, done: dict[str, Any]) -> None:
    columns = ("partition", "reload", "remove", "later")
    if done["plan"]:
        rows = [tuple(step[name] for name in columns) for step in done["plan"]]
        session.out.rows(columns, rows)
    if done["executed"]:
        session.out.text(f"reloaded {done['reloaded']:,}, removed {done['removed']:,}")
    elif any(step["reload"] or step["remove"] for step in done["plan"]):
        session.out.text(f"nothing was changed; to do it: {done['command']}")
    else:
        session.out.text("nothing to repair")


def _judge(report: Report, book: LedgerReport | None, *, repair: bool) -> None:
    """Raises CheckFailed: something differs."""
    from nrtctl.errors import CheckFailed

    found = list(report.problems)
    if report.missing or report.duplicated:
        ranges = [
            f"{each.partition}: {start}-{end}"
            for each in report.partitions
            for start, end in (*each.missing_ranges[:3], *each.duplicated_ranges[:3])
        ]
        where = f" (partition: range {'; '.join(ranges[:5])})" if ranges else ""
        found.append(
            f"{report.missing} missing, {report.duplicated} duplicated in {report.table}{where}"
        )
    found += [
        f"partition {each.partition}: {each.lost} offsets were lost to retention before group "
        f"{report.group} stored them, from {each.lost_ranges[0][0]} to {each.lost_ranges[-1][1]}"
        for each in report.partitions
        if each.lost
    ]
    if book is not None and book.differences:
        counts = ", ".join(f"{count} {name}" for name, count in book.differences.items())
        found.append(f"the ledger differs: {counts.replace('_', ' ')}")
    if found:
        mends = (report.missing or report.duplicated) and not report.problems and not repair
        raise CheckFailed(
            "\n".join(found),
            hint="`nrtctl verify --repair` shows what would mend it" if mends else None,
        )
