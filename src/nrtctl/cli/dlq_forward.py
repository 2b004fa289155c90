"""`nrtctl dlq replay --to-topic`: dead letters as messages of another topic."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.results import Document, Result
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from nrtctl.cli.session import Session
    from nrtctl.dead_letters.selection import Selection


def forward(
    session: Session, selection: Selection, topic: str, fix: str, command: str, *, execute: bool
) -> Result | None:
    """Produce them, or count them. Args: command: what carries a dry run out.

    Raises:
        NrtctlError: some were not delivered; how many is said.
    """
    from dataclasses import replace

    from nrtctl.clock import SystemClock
    from nrtctl.dead_letters.forward import LettersSource
    from nrtctl.dead_letters.judging import Judge
    from nrtctl.dead_letters.letters import count_by_reason, last_stored, log_letters
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.producer.run import run_producer

    config, client = session.config, session.clickhouse()
    pipeline, database = config.pipeline, config.clickhouse.database
    if pipeline.reads(topic):
        why = (
            "the dead letters come from this topic and would be in it twice"
            if topic == pipeline.topic
            else "the pipeline reads this topic as well, so each would become a dead letter again"
        )
        raise ConfigError(
            f"--to-topic {topic}: {why}",
            hint="`nrtctl dlq replay` without --to-topic sends them through the pipeline again",
        )
    where = selection.where(pipeline)
    cluster = config.clickhouse.cluster
    Judge(client, pipeline, database, cluster=cluster, where=where, fix=fix).check()
    if not execute:
        count = sum(count_by_reason(client, pipeline, database, selection).values())
        return Document(
            {"executed": False, "topic": topic, "letters": count, "command": command},
            [
                f"{counted(count, 'dead letter')} would be sent to {topic}",
                f"nothing was changed; to do it, run: {command}",
            ],
        )
    # Letters that are stored meanwhile are not sent, nor noted as sent.
    newest = last_stored(client, pipeline, database, selection)
    selection = replace(selection, stored_until=newest)
    stop = threading.Event()
    with Interrupts(stop.set, session.say.note):
        summary, failure = run_producer(
            config.kafka,
            LettersSource(client, pipeline, database, selection, fix=fix),
            topic,
            address=session.addresses.bootstrap_servers,
            clock=SystemClock(),
            stop=stop,
            notice=session.say.warn,
        )
    if failure is None and (summary.failed or summary.ended != "end of input"):
        failure = NrtctlError(
            f"{counted(summary.failed, 'dead letter was', 'dead letters were')} not delivered; "
            f"ended: {summary.ended}",
            hint="all of them are still dead letters; another run sends every one of them again",
        )
    sent = Document(
        {"executed": True, "letters": summary.sent, **summary.as_dict()},
        [f"sent {counted(summary.acknowledged, 'dead letter')} to {topic}"],
        failure=failure,
    )
    session.show(sent)  # also where it cannot be noted
    where = selection.where(pipeline)
    log_letters(client, pipeline, database, where, "sent", fix=f"to {topic}")
    return None
