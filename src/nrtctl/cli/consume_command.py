"""`nrtctl consume`: from the topic into ClickHouse."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.diagnostics import Diagnostics, Interrupts, Ticker
from nrtctl.cli.options import MetricsHost, MetricsPort, Session
from nrtctl.cli.waits import Waits

if TYPE_CHECKING:
    from nrtctl.consumer.buffer import Batch
    from nrtctl.consumer.observer import Summary
    from nrtctl.metrics.consumer import ConsumerMetrics


class Watcher:
    """Shows a consumer at work, on stderr."""

    def __init__(self, say: Diagnostics) -> None:
        self._say = say
        self._ticker = Ticker(4)
        self._began = time.monotonic()
        self._records = 0
        self._waits = Waits(say)

    @property
    def waits(self) -> int:
        return self._waits.count

    def stored(self, batches: Sequence[Batch], seconds: float) -> None:
        rows = sum(len(batch.offsets) for batch in batches)
        self._records += rows
        self._waits.over()
        if self._say.interactive and self._ticker.due():
            rate = self._records / max(0.001, time.monotonic() - self._began)
            text = f"\r{self._records:,} stored, {rate:,.0f}/s, {rows:,} in "
            self._say.console.file.write(f"{text}{seconds * 1000:.0f} ms   ")
            self._say.console.file.flush()

    def turned(self, partitions: object, group: object) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        self._say.note(text)

    def waiting(self, reason: str, seconds: float) -> None:
        self._waits.waiting(reason, seconds)

    def done(self) -> None:
        if self._say.interactive and self._records:
            self._say.console.file.write("\n")


def consume(
    session: Session,
    group: Annotated[str | None, typer.Option(help="Consumer group.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes, all in one group.")] = 1,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many messages.")] = None,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop at the log end of this moment.")
    ] = False,
    skip_lost: Annotated[
        bool, typer.Option("--skip-lost", help="Go on after a range that retention has taken.")
    ] = False,
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Go on after messages that are damaged in Kafka; they count as lost.",
        ),
    ] = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    offset: Annotated[
        str | None,
        typer.Option(
            help="With -o jsonl: print from start, end, 47, +3, -3 or @-1h on; start if not."
        ),
    ] = None,
    member: Annotated[bool, typer.Option("--member", hidden=True)] = False,
) -> None:
    """Store the topic's messages; with -o jsonl print them instead, without a group.

    Ctrl-C finishes what is under way; a second one stops at once.
    """
    from nrtctl.clock import SystemClock
    from nrtctl.consumer.run import dead_letters, make_consumer
    from nrtctl.errors import ConfigError, NrtctlError

    if session.out.format == "jsonl" and not member:
        from nrtctl.cli.consume_print import print_topic

        if group is not None or workers > 1 or skip_lost:
            raise ConfigError("consume -o jsonl prints: --group, --workers, --skip-lost store")
        print_topic(
            session, offset or "start", count, until_end=until_end, skip_damaged=skip_damaged
        )
        return
    if offset is not None:
        raise ConfigError(
            "--offset is about printing (-o jsonl); what is stored begins where the group stands"
        )

    if group is not None:
        session.options["set"] = [*session.options["set"], f"consumer.group={group!r}"]
    if workers > 1:
        metrics = (metrics_host, metrics_port)
        skip = ["--skip-lost"] * skip_lost + ["--skip-damaged"] * skip_damaged
        _consume_with_workers(session, workers, count, until_end, skip, metrics)
        return
    watcher = Watcher(session.say)
    began = time.monotonic()
    with ExitStack() as stack:
        observer: Watcher | ConsumerMetrics = watcher
        statistics = None
        if metrics_port is not None:
            from nrtctl.metrics.serving import consumer_metrics
            from nrtctl.store.current import current_topic

            observer = stack.enter_context(
                consumer_metrics(
                    session.config,
                    current_topic(session.config, session.addresses, session.clickhouse()),
                    session.clickhouse,
                    watcher,
                    clock=SystemClock(),
                    host=metrics_host,
                    port=metrics_port,
                )
            )
            statistics = observer.statistics
        consumer = make_consumer(
            session.config,
            session.addresses,
            clock=SystemClock(),
            observer=observer,
            waiting=observer.waiting,
            count=count,
            until_end=until_end,
            skip_lost=skip_lost,
            skip_damaged=skip_damaged,
            statistics=statistics,
        )
        if member:
            threading.Thread(target=_when_stdin_closes, args=(consumer.stop,), daemon=True).start()
        with Interrupts(consumer.stop, session.say.note):
            try:
                summary = consumer.run()
            finally:
                watcher.done()
    seconds = time.monotonic() - began
    letters = dead_letters(session.config, session.addresses, summary)
    show(session, summary_of(session, summary, letters, seconds, watcher.waits))
    if summary.failure:
        raise NrtctlError(
            f"batches that were read are not stored: {summary.failure}",
            hint="their offsets are not committed; `nrtctl consume` stores them afterwards",
        )


def _when_stdin_closes(action: Callable[[], None]) -> None:
    while os.read(0, 4096):
        pass
    action()


def _consume_with_workers(
    session: Session,
    workers: int,
    count: int | None,
    until_end: bool,
    skip: Sequence[str],
    metrics: tuple[str, int | None],
) -> None:
    from nrtctl.clock import SystemClock
    from nrtctl.config.flags import environment_with
    from nrtctl.consumer.workers import Workers
    from nrtctl.errors import ConfigError

    if count is not None:
        raise ConfigError(
            "--count and --workers do not go together: who would stop at which message?",
            hint="use --until-end, or one worker",
        )
    host, port = metrics
    if port is not None and not 0 < port <= 65536 - workers:
        raise ConfigError(
            f"--metrics-port {port}: worker n of {workers} serves its own at PORT+n-1",
            hint="give a port from 1 on that has as many free ones after it",
        )
    config = session.config
    command = [sys.executable, "-P", "-m", "nrtctl", "consume", "--member", "-q", "-o", "json"]
    for name in ("config", "profile"):
        if session.options[name] is not None:
            command += [f"--{name}", str(session.options[name])]
    environ = environment_with(session.options["set"], os.environ)
    command += ["--until-end"] * until_end + [*skip]
    began = time.monotonic()

    def command_of(number: int) -> list[str]:
        if port is None:
            return command
        return [*command, "--metrics-port", str(port + number), "--metrics-host", host]

    def died(number: int, why: str, pause: float) -> None:
        session.say.warn(f"worker {number} ended ({why}); starting it again in {pause:g} s")

    group = Workers(
        command_of, workers, environ=environ, ends=until_end, clock=SystemClock(), died=died
    )
    session.say.note(f"{workers} workers in group {config.consumer.group}")
    if port is not None:
        session.say.note(f"metrics: http://{host}, ports {port} to {port + workers - 1}, /metrics")
    with Interrupts(group.stop, session.say.note):
        outcome = group.run()
    if outcome.exit_code:
        raise SystemExit(outcome.exit_code)
    summary = {
        "topic": config.pipeline.topic,
        "group": config.consumer.group,
        **{
            name: sum(each[name] or 0 for each in outcome.summaries)
            for name in (
                "records",
                "dead_letters",
                "resolved",
                "batches",
                "inserts",
                "bytes",
                "dead_lettered_by_bisecting",
                "waits",
            )
        },
        "partitions": sorted({n for each in outcome.summaries for n in each["partitions"]}),
        "workers": workers,
        "restarts": outcome.restarts,
        "seconds": round(time.monotonic() - began, 3),
        "ended": outcome.summaries[0]["ended"] if outcome.summaries else "stopped",
    }
    show(session, summary)


def summary_of(
    session: Session, summary: Summary, letters: int | None, seconds: float, waits: int
) -> dict[str, Any]:
    """Args: letters: how many of the records are dead letters; None: that is not known."""
    return {
        "topic": session.config.pipeline.topic,
        "group": session.config.consumer.group,
        "records": summary.records,
        "dead_letters": letters,
        "resolved": summary.resolved,
        "batches": summary.batches,
        "inserts": summary.inserts,
        "bytes": summary.bytes,
        "partitions": sorted(summary.partitions),
        "dead_lettered_by_bisecting": summary.letters,
        "waits": waits,
        "seconds": round(seconds, 3),
        "ended": summary.reason or "stopped",
    }


def show(session: Session, summary: dict[str, Any]) -> None:
    if not session.out.table:
        session.out.object(summary)
        return
    rate = summary["records"] / max(0.001, summary["seconds"])
    inserts = "1 insert" if summary["inserts"] == 1 else f"{summary['inserts']:,} inserts"
    letters = summary["dead_letters"] or 0
    rows = max(0, summary["records"] - letters)
    dead = f" and {letters:,} dead letter{'s' * (letters != 1)}" if letters else ""
    session.out.text(
        f"stored {rows:,} records{dead} in {inserts}, "
        f"{summary['seconds']:.1f} s ({rate:,.0f}/s); ended: {summary['ended']}"
    )
    if summary["resolved"]:
        session.out.text(
            f"{summary['resolved']:,} more had been stored before, in batches that were not "
            "committed yet"
        )
