"""`nrtctl stats`: the numbers of the pipeline, as a live view, as lines, once, or served."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.formats import FormatName
from nrtctl.cli.options import (
    SERVED,
    By,
    Interval,
    MetricsHost,
    Session,
    Window,
    durations,
)
from nrtctl.cli.results import Block, Document, Result, Table
from nrtctl.cli.streams import stdout_failed
from nrtctl.clock import notices

if TYPE_CHECKING:
    from nrtctl.errors import CheckFailed
    from nrtctl.stats.fail_if import Condition
    from nrtctl.stats.snapshot import Snapshot


def stats(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="Print the numbers once and exit.")] = False,
    window: Window = "60s",
    interval: Interval = "1s",
    by: By = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Exit with 5 when this is true, as in 'lag_seconds > 30'; may be repeated.",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a snapshot and exit.")
    ] = False,
    serve: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help=SERVED)
    ] = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> Result | None:
    """Show lag, rates, latencies, rows, dead letters, consumers and metrics of the pipeline.

    On a terminal this is a live view, otherwise a JSON line per interval.
    """
    if schema:
        from nrtctl.config.load import template

        return Document(json.loads(template("snapshot.schema.json")))
    seconds, every = durations(window, interval)
    conditions = parse_conditions(session, fail_if or [])
    if serve is not None and (once or by is not None):
        from nrtctl.errors import ConfigError

        raise ConfigError(f"--serve cannot be used with {'--once' if once else '--by'}")
    if once:
        shot = look(session, window=seconds, interval=every, by=by)
        return Document(shot.as_dict(), shown(shot), failure=failed(session, conditions, shot))
    watcher = session.watcher(window=seconds, by=by)

    def checked() -> Snapshot:
        shot = watcher.look()
        if failure := failed(session, conditions, shot):
            raise failure
        return shot

    if serve is None and can_draw(session):
        # Its looks may go on when the view has ended, so the watcher ends with the process.
        live(session, checked, interval=every)
        return None
    try:
        if serve is not None:
            serve_metrics(session, checked, metrics_host, serve, interval=every)
        else:
            follow(session, watcher.look, every, conditions)
    finally:
        watcher.close()
    return None


def can_draw(session: Session) -> bool:
    """Whether there is a terminal that can be drawn on, and no other format was asked for."""
    dumb = os.environ.get("TERM", "") in {"", "dumb", "unknown"}
    return session.options["output"] is None and sys.stdout.isatty() and not dumb


def live(session: Session, look: Callable[[], Snapshot], *, interval: float) -> None:
    """The view that stays on the terminal."""
    notices.listen(None)  # the view itself shows what does not answer
    from rich.console import Console

    from nrtctl.cli.diagnostics import color_options
    from nrtctl.view.live import watch

    console = Console(highlight=False, **color_options(session.say.color))
    watch(look, interval=interval, console=console)


def serve_metrics(
    session: Session, look: Callable[[], Snapshot], host: str, port: int, *, interval: float
) -> None:
    """The numbers for Prometheus, until Ctrl-C."""
    from nrtctl.clock import SystemClock
    from nrtctl.metrics.serving import serve_snapshots

    for text in session.metrics.wrong:
        session.say.warn(text)
    stop = threading.Event()
    with Interrupts(stop.set, session.say.note):
        serve_snapshots(
            look,
            session.say.note,
            stop,
            interval=max(1.0, interval),
            clock=SystemClock(),
            host=host,
            port=port,
        )


def follow(
    session: Session, look: Callable[[], Snapshot], interval: float, conditions: list[Condition]
) -> None:
    """A snapshot per interval, until a condition holds or somebody ends it.

    JSON lines, or tables where they are asked for or the terminal cannot be drawn on.

    Raises:
        KeyboardInterrupt: Ctrl-C; SIGTERM and the terminal's end are an end as asked for.
    """
    format = session.format(FormatName.TABLE if sys.stdout.isatty() else FormatName.JSONL)
    before: list[str] = []
    stop = threading.Event()
    with Interrupts(stop.set, session.say.note) as ends:
        while not stop.is_set():
            began = time.monotonic()
            shot = look()
            before = warn(session, shot, before)
            format.next(Document(shot.as_dict(), shown(shot)))
            if failure := failed(session, conditions, shot):
                raise failure
            if stdout_failed():
                return
            stop.wait(max(0.0, interval - (time.monotonic() - began)))
    if ends.interrupted:
        raise KeyboardInterrupt


def look(session: Session, *, window: float, interval: float, by: str | None = None) -> Snapshot:
    """As `Watcher.look_for_rates`; what is wrong besides is said."""
    watcher = session.watcher(window=window, by=by, timeout=None)
    try:
        shot = watcher.look_for_rates(interval)
        warn(session, shot, [])
        return shot
    finally:
        watcher.close()


def parse_conditions(session: Session, texts: list[str]) -> list[Condition]:
    """Raises ConfigError."""
    if not texts:
        return []
    from nrtctl.stats.fail_if import parse

    metrics = [each.name for each in session.metrics.defined]
    return [parse(text, metrics) for text in texts]


def failed(session: Session, conditions: list[Condition], shot: Snapshot) -> CheckFailed | None:
    """At least one condition holds; all that do are named."""
    from nrtctl.errors import CheckFailed

    if not conditions:
        return None
    data = shot.as_dict()
    said = []
    for each in conditions:
        met = each.met_by(data)
        if met:
            said.append(f"{each.text}: it is {', '.join(_brief(value) for value in met[:5])}")
        elif not each.known(data):
            session.say.debug(f"{each.text}: the value is not known now")
    return CheckFailed("\n".join(said)) if said else None


def _brief(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def warn(session: Session, shot: Snapshot, before: list[str]) -> list[str]:
    """Say on stderr what is wrong now and was not before; what is wrong now."""
    now = [each.message for each in shot.errors]
    for text in now:
        if text not in before:
            session.say.warn(text)
    if before and not now:
        session.say.note("all sources answer again")
    return now


def shown(shot: Snapshot) -> Iterator[Block]:
    """The snapshot as plain tables."""
    from nrtctl.stats.plain import tables

    for number, (columns, rows) in enumerate(tables(shot)):
        if number:
            yield ""
        yield Table(columns, rows)
