"""`nrtctl dlq replay --to-topic`: dead letters as messages of another topic."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nrtctl.cli.command_line import again
from nrtctl.cli.diagnostics import Interrupts

if TYPE_CHECKING:
    from nrtctl.cli.options import Session
    from nrtctl.dead_letters.selection import Selection


def forward(session: Session, selection: Selection, topic: str, fix: str, *, execute: bool) -> None:
    """Produce them, or count them.

    Raises:
        NrtctlError: some were not delivered; how many is said.
    """
    from nrtctl.clock import SystemClock
    from nrtctl.dead_letters.forward import LettersSource
    from nrtctl.dead_letters.judging import Judge
    from nrtctl.dead_letters.letters import count_by_reason, log_sql
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.producer import run_producer

    config, client = session.config, session.clickhouse()
    pipeline, database = config.pipeline, config.clickhouse.database
    if topic == pipeline.topic:
        raise ConfigError(
            f"--to-topic {topic}: that is where they came from; they would be there twice",
            hint="`nrtctl dlq replay` sends them through the pipeline, under their own offsets",
        )
    where = selection.where(pipeline)
    Judge(client, pipeline, database, where=where, fix=fix).check()
    if not execute:
        count = sum(count_by_reason(client, pipeline, database, selection).values())
        if not session.out.table:
            report = {"executed": False, "topic": topic, "letters": count}
            session.out.object({**report, "command": again()})
            return
        session.out.text(f"{count:,} dead letters would be sent to {topic}")
        session.out.text(f"nothing was changed; to do it: {again()}")
        return
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
    if session.out.table:
        session.out.text(f"sent {summary.acknowledged:,} dead letters to {topic}")
    else:
        session.out.object({"executed": True, "letters": summary.sent, **summary.as_dict()})
    if failure is not None:
        raise failure
    if summary.failed or summary.ended != "end of input":
        raise NrtctlError(
            f"{summary.failed:,} dead letters were not delivered; ended: {summary.ended}",
            hint="they are still dead letters; what was delivered would be sent again",
        )
    note = log_sql(pipeline, database, where, "sent", fix=f"to {topic}")
    client.command(note)
