"""`nrtctl consume`: from the topic into ClickHouse."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.common_options import (
    LOOPBACK,
    Group,
    MetricsHost,
    MetricsPort,
    refuse_unserved,
    use_group,
)
from nrtctl.cli.consume_result import summarized
from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.formats import FormatName
from nrtctl.cli.progress import ConsumerProgress
from nrtctl.cli.results import Result
from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from nrtctl.clock.stop import Stop
    from nrtctl.metrics.consumer import ConsumerMetrics


@dataclass(frozen=True)
class Limits:
    """What is asked of a run: fields of `consumer.run.Options`, which workers are given as well."""

    count: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="Stop after this many messages.")
    ] = None
    until_end: Annotated[
        bool,
        typer.Option(
            "--until-end", help="Stop at what is the end of the log when the command starts."
        ),
    ] = False
    skip_lost: Annotated[
        bool,
        typer.Option(
            "--skip-lost",
            help="Continue past messages that Kafka deleted before they were stored; "
            "otherwise they end the command.",
        ),
    ] = False
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Continue past messages that are damaged in Kafka, which count as lost; "
            "otherwise their partition stops.",
        ),
    ] = False


def consume(
    session: Session,
    limits: Limits,
    group: Group = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=1, max=256, help="Run this many processes in one consumer group."
        ),
    ] = 1,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOOPBACK,
    offset: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="With -o jsonl, print the messages from this place: start, end, 47, +3, -3 "
            "or @-1h; otherwise all of them.",
        ),
    ] = None,
    member: Annotated[bool, typer.Option("--member", hidden=True)] = False,
    instance: Annotated[str, typer.Option("--instance", metavar="NAME", hidden=True)] = "",
) -> Result | None:
    """Store the topic's messages in ClickHouse; with -o jsonl, print them instead.

    If the configuration has several pipelines, all of them run in this one process. A pipeline that
    fails stops alone and is started again after a pause.

    Printing uses no consumer group and commits no offset. Ctrl-C finishes what is in progress; a
    second Ctrl-C stops at once.
    """
    from nrtctl.cli.consume_workers import consume_with_workers
    from nrtctl.cli.garbage_collection import CONSUMING, collect_rarely
    from nrtctl.errors import ConfigError

    refuse_unserved(metrics_host, metrics_port)
    if session.options["output"] == FormatName.JSONL and not member:
        from nrtctl.cli.consume_print import print_topic

        skip = limits.skip_lost or limits.skip_damaged
        if group is not None or workers > 1 or skip or metrics_port is not None:
            raise ConfigError(
                "-o jsonl only prints messages: --group, --workers, --skip-lost, --skip-damaged "
                "and --metrics-port cannot be used with it"
            )
        print_topic(session, offset or "start", limits)
        return None
    if offset is not None:
        raise ConfigError(
            "--offset can only be used with -o jsonl; storing begins at the group's "
            "committed offset"
        )
    use_group(session, group)
    if workers > 1:
        return consume_with_workers(session, workers, limits, host=metrics_host, port=metrics_port)
    collect_rarely(CONSUMING)
    session.say.lives = not member
    stop = _stop(member)
    waits = _waits_for_topics(session, limits)
    if waits or len(session.pipelines) > 1:
        from nrtctl.cli.consume_several import consume_several

        return consume_several(
            session,
            limits,
            waits=waits,
            host=metrics_host,
            port=metrics_port,
            stop=stop,
            member=member,
            instance=instance,
        )
    session = session.of(session.pipelines[0])
    return _consume(
        session,
        limits,
        host=metrics_host,
        port=metrics_port,
        stop=stop,
        member=member,
        instance=instance,
    )


def _waits_for_topics(session: Session, limits: Limits) -> bool:
    """Whether topics that come while it runs are read, too."""
    if limits.until_end or limits.count is not None:
        return False
    return any(each.has_pattern for each in session.whole)


def _stop(member: bool) -> Stop:
    """Args: member: a process that `--workers` has started, which ends when its stdin does."""
    from nrtctl.clock.stop import Stop

    stop = Stop()
    if member:
        threading.Thread(target=_when_stdin_closes, args=(stop.set,), daemon=True).start()
    return stop


def _consume(
    session: Session,
    limits: Limits,
    *,
    host: str,
    port: int | None,
    stop: Stop,
    member: bool,
    instance: str,
) -> Result:
    """
    Args:
        member: a process that `--workers` has started.
        instance: as of `consumer.run.Options`.
    """
    from nrtctl.consumer.consuming import make_consumer
    from nrtctl.consumer.result import NotStored, consumed
    from nrtctl.consumer.run import Options

    lasting = limits.count is None and not limits.until_end and not member
    progress, began = ConsumerProgress(session.say, lasting=lasting), time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(Interrupts(stop.set, session.say.note))
        served = (
            None if port is None else stack.enter_context(_served(session, progress, host, port))
        )
        observer = served or progress
        consumer = make_consumer(
            session.config,
            session.addresses,
            Options(
                **vars(limits),
                statistics=served.statistics if served else None,
                instance=instance,
            ),
            clock=session.clock,
            observer=observer,
            waiting=observer.waiting,
            stop=stop,
        )
        try:
            summary = consumer.run()
        finally:
            progress.done()
    seconds = time.monotonic() - began
    done = consumed(
        session.config, session.addresses, summary, seconds=seconds, waits=progress.waits
    )
    failure = NotStored.of(done)
    return summarized(session, done.as_dict(), warn=not member, failure=failure)


def _served(
    session: Session, progress: ConsumerProgress, host: str, port: int
) -> AbstractContextManager[ConsumerMetrics]:
    """An observer that is scraped, and tells `progress` everything."""
    from nrtctl.metrics.serving import consumer_metrics
    from nrtctl.stack.current_topic import current_topic

    return consumer_metrics(
        session.config,
        current_topic(session.config, session.addresses, session.clickhouse()),
        session.clickhouse,
        progress,
        clock=session.clock,
        host=host,
        port=port,
    )


def _when_stdin_closes(action: Callable[[], None]) -> None:
    """The process that started this worker asks for the end by closing it, or by ending."""
    while os.read(0, 4096):
        pass
    action()
