"""`nrtctl stats`: the numbers of the pipeline, as a live view, as lines, once, or served."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl import notices
from nrtctl.cli.options import MetricsHost, Session, durations
from nrtctl.cli.streams import stdout_failed

if TYPE_CHECKING:
    from nrtctl.stats.fail_if import Condition
    from nrtctl.stats.snapshot import Snapshot


def stats(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="One snapshot, then end.")] = False,
    window: Annotated[
        str, typer.Option(help="Rows that latencies and batches are taken over.")
    ] = "60s",
    interval: Annotated[str, typer.Option(help="Time between two snapshots.")] = "1s",
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The window's rows by a column, or by partition."),
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="End with 5 when this holds: 'lag_seconds > 30'. May be repeated.",
        ),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="The JSON Schema of a snapshot, then end.")
    ] = False,
    serve: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve /metrics, /healthz and /readyz for Prometheus; 0: any port.",
        ),
    ] = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Lag, rates, freshness, latency, rows, batches, dead letters, parts, consumers, metrics.

    On a terminal a live view; else a JSON line per interval.
    """
    if schema:
        from nrtctl.config.load import template

        session.out.text(template("snapshot.schema.json"))
        return
    seconds, every = durations(window, interval)
    conditions = parse_conditions(session, fail_if or [])
    if serve is not None and (once or by is not None):
        from nrtctl.errors import ConfigError

        raise ConfigError(f"--serve goes on and has no {'end' if once else 'breakdown'}: "
                          f"leave out {'--once' if once else '--by'}")  # fmt: skip
    if once:
        shot = look(session, window=seconds, interval=every, by=by)
        if session.out.table:
            show(session, shot)
        else:
            session.out.object(shot.as_dict())
        check(session, conditions, shot)
        return
    watcher = session.watcher(window=seconds, by=by)

    def checked() -> Snapshot:
        shot = watcher.look()
        check(session, conditions, shot)
        return shot

    if serve is None and can_draw(session):
        # Its looks may go on when the view has ended, so the watcher ends with the process.
        live(session, checked, interval=every)
        return
    try:
        if serve is not None:
            serve_metrics(session, checked, metrics_host, serve, interval=every)
        else:
            follow(session, watcher.look, every, conditions)
    finally:
        watcher.close()


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
    import threading

    from nrtctl.cli.diagnostics import Interrupts
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
    """
    asked = session.options["output"]
    tables = asked == "table" or (asked is None and sys.stdout.isatty())
    before: list[str] = []
    while True:
        began = time.monotonic()
        shot = look()
        before = warn(session, shot, before)
        if tables:
            show(session, shot)
            session.out.text("")
        else:
            session.out.json(shot.as_dict())
        check(session, conditions, shot)
        if stdout_failed():
            return
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def look(session: Session, *, window: float, interval: float, by: str | None = None) -> Snapshot:
    """Two looks, `interval` seconds apart, for the rates.

    Raises:
        NrtctlError: what a service did not answer.
    """
    watcher = session.watcher(window=window, by=by, timeout=None)
    try:
        shot = watcher.look()
        if not watcher.failed:
            time.sleep(interval)
            shot = watcher.look()
        for error in watcher.failed:
            raise error
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


def check(session: Session, conditions: list[Condition], shot: Snapshot) -> None:
    """Raises CheckFailed: at least one condition holds; all that do are named."""
    from nrtctl.errors import CheckFailed

    if not conditions:
        return
    data = shot.as_dict()
    said = []
    for each in conditions:
        met = each.met_by(data)
        if met:
            said.append(f"{each.text}: it is {', '.join(_brief(value) for value in met[:5])}")
        elif not each.known(data):
            session.say.debug(f"{each.text}: not known now")
    if said:
        raise CheckFailed("\n".join(said))


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


def show(session: Session, shot: Snapshot) -> None:
    """The snapshot as plain tables."""
    from nrtctl.stats.plain import tables

    for number, (columns, rows) in enumerate(tables(shot)):
        if number:
            session.out.text("")
        session.out.rows(columns, rows)
