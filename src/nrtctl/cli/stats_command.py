"""`nrtctl stats`: the numbers of the pipelines, as a live view, as lines, once, or served."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.common_options import (
    LOOPBACK,
    SERVED,
    By,
    Interval,
    MetricsHost,
    Window,
    for_any_pipeline,
    refuse_unserved,
)
from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.formats import FormatName
from nrtctl.cli.option_values import parsed
from nrtctl.cli.results import Block, Document, Result, Table
from nrtctl.cli.session import Session
from nrtctl.cli.streams import stdout_failed
from nrtctl.cli.waits import DIGITS
from nrtctl.clock import notices

if TYPE_CHECKING:
    from nrtctl.errors import CheckFailed, NrtctlError
    from nrtctl.stats.fail_if import Condition
    from nrtctl.stats.snapshot import Shots, Snapshot

MIN_INTERVAL = 0.1
"""Seconds between two looks."""


@for_any_pipeline
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
    metrics_host: MetricsHost = LOOPBACK,
) -> Result | None:
    """Show lag, rates, latencies, rows, dead letters, consumers and metrics of the pipeline.

    On a terminal this is a live view, otherwise a line of JSON per interval. Several pipelines are
    shown as an overview; --pipeline NAME shows one of them in depth.
    """
    if schema:
        from nrtctl.config.load import template

        return Document(json.loads(template("snapshot.schema.json")))
    refuse_unserved(metrics_host, serve, "--serve")
    seconds, every = durations(window, interval)
    conditions = parse_conditions(session, fail_if or [])
    if serve is not None and (once or by is not None):
        from nrtctl.errors import ConfigError

        raise ConfigError(f"--serve cannot be used with {'--once' if once else '--by'}")
    if once:
        return look_once(session, conditions, window=seconds, interval=every, by=by)
    watchers = session.watchers(window=seconds, by=by)

    def checked() -> Shots:
        shots = watchers.look()
        if failure := failed(session, conditions, shots):
            raise failure
        return shots

    if serve is None and can_draw(session):
        # Its looks may go on when the view has ended, so the watchers end with the process.
        live(session, checked, interval=every)
        return None
    try:
        if serve is not None:
            serve_metrics(session, checked, metrics_host, serve, interval=every)
        else:
            follow(session, watchers.look, every, conditions)
    finally:
        watchers.close()
    return None


def durations(window: str, interval: str) -> tuple[float, float]:
    """`--window` and `--interval` in seconds. Raises ConfigError."""
    from nrtctl.config.units import parse_duration
    from nrtctl.errors import ConfigError

    seconds = parsed(parse_duration, window, "--window")
    every = parsed(parse_duration, interval, "--interval")
    if not seconds:
        raise ConfigError("--window must be longer than 0s")
    if every < MIN_INTERVAL:
        raise ConfigError(f"--interval must be at least {MIN_INTERVAL * 1000:g}ms")
    return seconds, every


def look_once(
    session: Session,
    conditions: list[Condition],
    *,
    window: float,
    interval: float,
    by: str | None,
) -> Result:
    """As `Watchers.look_for_rates`. With several pipelines, what one of them did not answer is the
    failure, beside the numbers of the others."""
    from nrtctl.stats.snapshot import as_dict

    watchers = session.watchers(window=window, by=by, timeout=None)
    try:
        shots = watchers.look_for_rates(interval)
        unanswered = watchers.failed
    finally:
        watchers.close()
    failures = [(n, each.message) for n, errors in unanswered.items() for each in errors]
    warn(session, shots, _by_pipeline(failures, len(shots)))
    failure = _as_one(unanswered, failed(session, conditions, shots), len(shots))
    return Document(as_dict(shots), shown(shots), failure=failure)


def _as_one(
    unanswered: Mapping[str, list[NrtctlError]], condition: CheckFailed | None, pipelines: int
) -> NrtctlError | None:
    """What the pipelines met and which conditions hold, with the exit code of the first."""
    from nrtctl.errors import NrtctlError

    met = [(name, each) for name, errors in unanswered.items() for each in errors]
    if not met:
        return condition
    said = _by_pipeline([(name, each.message) for name, each in met], pipelines)
    if condition is not None:
        said.append(condition.message)
    found = NrtctlError("\n".join(said), hint=met[0][1].hint)
    found.exit_code = met[0][1].exit_code
    return found


def _by_pipeline(said: Sequence[tuple[str, str]], pipelines: int) -> list[str]:
    """Each message once, after the names of those that say it, where these are not all.

    Args:
        said: (pipeline, message).
        pipelines: how many there are.
    """
    by_message: dict[str, list[str]] = {}
    for name, message in said:
        by_message.setdefault(message, []).append(name)
    return [
        message if len(names) == pipelines else f"{', '.join(names)}: {message}"
        for message, names in by_message.items()
    ]


def can_draw(session: Session) -> bool:
    """Whether there is a terminal that can be drawn on, and no other format was asked for."""
    dumb = os.environ.get("TERM", "") in {"", "dumb", "unknown"}
    return session.options["output"] is None and sys.stdout.isatty() and not dumb


def live(session: Session, look: Callable[[], Shots], *, interval: float) -> None:
    """The view that stays on the terminal."""
    notices.listen(None)  # the view itself shows what does not answer
    from rich.console import Console

    from nrtctl.cli.diagnostics import color_options
    from nrtctl.view.live import watch

    console = Console(highlight=False, **color_options(session.say.color))
    watch(look, interval=interval, console=console)


def serve_metrics(
    session: Session, look: Callable[[], Shots], host: str, port: int, *, interval: float
) -> None:
    """The numbers for Prometheus, until Ctrl-C."""
    from nrtctl.clock import SystemClock
    from nrtctl.metrics.serving import serve_snapshots

    before: list[str] = []

    def told() -> Shots:
        nonlocal before
        shots = look()
        before = warn(session, shots, before)
        return shots

    stop = threading.Event()
    with Interrupts(stop.set, session.say.note):
        serve_snapshots(
            told,
            session.say.note,
            stop,
            interval=max(1.0, interval),
            schemas=[
                each.pipeline or ""
                for each in session.pipelines
                if each.config.pipeline.needs_registry
            ],
            clock=SystemClock(),
            host=host,
            port=port,
        )


def follow(
    session: Session, look: Callable[[], Shots], interval: float, conditions: list[Condition]
) -> None:
    """A snapshot per interval, until a condition holds or somebody ends it.

    JSON lines, or tables where they are asked for or the terminal cannot be drawn on.

    Raises:
        KeyboardInterrupt: Ctrl-C; SIGTERM and the terminal's end are an end as asked for.
    """
    from nrtctl.stats.rest import seconds_until_next
    from nrtctl.stats.snapshot import as_dict

    format = session.format(FormatName.TABLE if sys.stdout.isatty() else FormatName.JSONL)
    before: list[str] = []
    stop = threading.Event()
    with Interrupts(stop.set, session.say.note) as ends:
        while not stop.is_set():
            began = time.monotonic()
            shots = look()
            before = warn(session, shots, before)
            format.next(Document(as_dict(shots), shown(shots)))
            if failure := failed(session, conditions, shots):
                raise failure
            if stdout_failed():
                return
            stop.wait(seconds_until_next(shots, time.monotonic() - began, interval))
    if ends.interrupted:
        raise KeyboardInterrupt


def look(session: Session, *, window: float, interval: float, by: str | None = None) -> Snapshot:
    """As `Watcher.look_for_rates`; what is wrong besides is said."""
    watcher = session.watcher(window=window, by=by, timeout=None)
    try:
        shot = watcher.look_for_rates(interval)
        warn(session, {"": shot}, [])
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


def failed(session: Session, conditions: list[Condition], shots: Shots) -> CheckFailed | None:
    """At least one condition holds of at least one pipeline; all that do are named."""
    from nrtctl.errors import CheckFailed

    said = []
    for name, shot in shots.items():
        data = shot.as_dict() if conditions else {}
        of = f"{name}: " if len(shots) > 1 else ""
        for each in conditions:
            if met := each.met_by(data):
                values = ", ".join(_brief(value) for value in met[:5])
                said.append(f"{of}{each.text}: it is {values}")
            elif not each.known(data):
                session.say.debug(f"{of}{each.text}: the value is not known at the moment")
    return CheckFailed("\n".join(said)) if said else None


def _brief(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def warn(session: Session, shots: Shots, before: list[str]) -> list[str]:
    """Say on stderr what is wrong now and was not before, whatever numbers are in it; what is
    wrong now."""
    now = _by_pipeline(
        [(name, each.message) for name, shot in shots.items() for each in shot.errors], len(shots)
    )
    known = {DIGITS.sub("0", text) for text in before}
    for text in now:
        if DIGITS.sub("0", text) not in known:
            session.say.warn(text)
    if before and not now:
        session.say.note("all sources answer again")
    return now


def shown(shots: Shots) -> Iterator[Block]:
    """The snapshot, or the overview, as plain tables."""
    from nrtctl.stats.snapshot import the_only
    from nrtctl.view.plain import overview, tables

    one = the_only(shots)
    for number, (columns, rows) in enumerate(overview(shots) if one is None else tables(one)):
        if number:
            yield ""
        yield Table(columns, rows)
