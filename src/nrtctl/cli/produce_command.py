"""`nrtctl produce`: events into the topic, generated or from a file."""

from __future__ import annotations

import datetime
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.options import MetricsHost, MetricsPort, Session

if TYPE_CHECKING:
    import rich.progress

    from nrtctl.metrics.producer import ProducerMetrics
    from nrtctl.producer import Progress
    from nrtctl.sources import Source

DEFAULT_RATE = 1000.0
Percent = Annotated[float, typer.Option(min=0, max=100, help="In percent of the messages.")]


def produce(
    session: Session,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, help="Messages a second; 1000 where nothing else ends the run."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after a time, as in 30s.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of generated events and faults.")] = None,
    users: Annotated[
        int, typer.Option(min=1, max=2_000_000, help="How many users take part.")
    ] = 10_000,
    start: Annotated[
        str | None,
        typer.Option(help="Time of the first event (ISO 8601), the next ones by --rate; else now."),
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="Send a file's, or stdin's (-).")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="jsonl, messages or csv; else by its name and first line."),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Of a CSV file.")] = "utf-8",
    key: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Key by this field; else pipeline.key.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Instead of pipeline.topic.")] = None,
    late: Percent = 0.0,
    duplicate: Percent = 0.0,
    invalid: Percent = 0.0,
    ledger: Annotated[
        Path | None, typer.Option(help="Record what was sent, and what should become of it.")
    ] = None,
    delivery_timeout: Annotated[
        str, typer.Option(help="Give a message up when Kafka has not taken it by then.")
    ] = "120s",
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Send events: generated, or those of a file. Exit 1 if any was not delivered."""
    import gc

    from nrtctl.clock import SystemClock
    from nrtctl.config.units import parse_duration
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.producer import run_producer

    if late + duplicate + invalid > 100:
        raise ConfigError("--late, --duplicate and --invalid are more than 100 % together")
    if input is not None and (late or start is not None):
        raise ConfigError(
            "--late and --start set the time of generated events, not of those of --input"
        )
    if input is None and (key is not None or format is not None):
        raise ConfigError(
            "--key and --format are about --input", hint="generated events are keyed by user_id"
        )
    config, stop = session.config, threading.Event()
    seconds = None if duration is None else _checked(parse_duration, duration)
    patience = _checked(parse_duration, delivery_timeout)
    address = session.addresses.bootstrap_servers
    if input is None and count is None and seconds is None and rate is None:
        rate = DEFAULT_RATE
        session.say.note(f"{rate:g} events a second, until Ctrl-C")
    if seed is None:
        seed = secrets.randbits(32)
        if input is None:
            session.say.debug(f"--seed {seed} makes the same events again")
    if input is None:
        source = _generator(seed, users, start, rate)
    else:
        source = _file(session, input, format, encoding, key)
    if late or duplicate or invalid:
        from nrtctl.sources.faults import Faulty

        source = Faulty(
            source,
            seed=seed,
            late=late,
            duplicate=duplicate,
            invalid=invalid,
            fields=config.pipeline.fields,
        )
    gc.freeze()
    gc.set_threshold(50_000)
    with ExitStack() as stack:
        metrics: ProducerMetrics | None = None
        if metrics_port is not None:
            from nrtctl.metrics.serving import producer_metrics

            metrics = stack.enter_context(
                producer_metrics(
                    topic or config.pipeline.topic,
                    session.say.note,
                    clock=SystemClock(),
                    host=metrics_host,
                    port=metrics_port,
                    patient=input == "-",
                )
            )
        stack.enter_context(Interrupts(stop.set, session.say.note))
        bar = stack.enter_context(_Bar(session, metrics))
        summary, failure = run_producer(
            config.kafka,
            source,
            topic or config.pipeline.topic,
            address=address,
            clock=SystemClock(),
            stop=stop,
            rate=rate,
            count=count,
            duration=seconds,
            delivery_timeout=patience,
            ledger=ledger,
            observe=bar.show,
            notice=session.say.warn,
        )
    if session.out.table:
        session.out.text(
            f"sent {summary.sent:,}, acknowledged {summary.acknowledged:,}, "
            f"failed {summary.failed:,} in {summary.seconds:.1f} s ({summary.rate:,.0f}/s) "
            f"to {summary.topic}; ended: {summary.ended}"
        )
    else:
        session.out.object(summary.as_dict())
    for example in summary.examples:
        session.say.warn(example)
    if failure is not None:
        raise failure
    if summary.failed:
        reasons = [f"{number:,} {name}" for name, number in summary.reasons.items()]
        if summary.unsendable:
            reasons.append(f"{summary.unsendable:,} rows that could not be read")
        raise NrtctlError(f"{summary.failed:,} messages were not delivered: {', '.join(reasons)}")


def _checked(parse: Callable[[str], float], text: str) -> float:
    from nrtctl.errors import ConfigError

    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _time(text: str) -> float:
    """Seconds since the epoch; a time without a zone is UTC."""
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return moment.timestamp()


def _generator(seed: int, users: int, start: str | None, rate: float | None) -> Source:
    from nrtctl.clock import SystemClock
    from nrtctl.sources.reference import ReferenceEvents

    return ReferenceEvents(
        seed,
        clock=SystemClock(),
        users=users,
        start_ms=None if start is None else int(_checked(_time, start) * 1000),
        interval_ms=1000 / (rate or DEFAULT_RATE),
    )


def _file(
    session: Session, path: str, format: str | None, encoding: str, key: str | None
) -> Source:
    from nrtctl.errors import ConfigError

    if path == "-" and sys.stdin.isatty():
        session.say.note("reading messages from the terminal, a line each; Ctrl-D ends it")
    known_key = session.config.pipeline.key
    kind = format or ("csv" if path.lower().endswith((".csv", ".csv.gz")) else "jsonl")
    if kind == "csv":
        from nrtctl.sources.csv import CsvRows

        fields = session.config.pipeline.fields
        return CsvRows(path, fields=fields, key=key or known_key, encoding=encoding)
    if kind not in {"jsonl", "messages"}:
        raise ConfigError(f"--format {kind!r} is not known", hint="there are jsonl, messages, csv")
    if kind == "messages" and key is not None:
        raise ConfigError("--key: lines of --format messages have their own keys")
    from nrtctl.sources.jsonl import AUTO, MESSAGES, RAW, JsonLines

    form = MESSAGES if kind == "messages" else RAW if format or key else AUTO
    return JsonLines(path, key=key or known_key, form=form)


class _Bar:
    """A progress bar on stderr, on a terminal only."""

    def __init__(self, session: Session, metrics: ProducerMetrics | None) -> None:
        self._say = session.say
        self._metrics = metrics
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> _Bar:
        if not self._say.interactive:
            return self
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._say.console,
            transient=True,
        )
        self._task = self._bar.add_task("produce", total=None, text="")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        if self._metrics is not None:
            self._metrics.observe(progress)
        if self._bar is None:
            return
        rate = progress.acknowledged / max(0.001, progress.seconds)
        text = f"{progress.acknowledged:,} acknowledged, {rate:,.0f}/s"
        if progress.failed:
            text += f", {progress.failed:,} failed"
        total = None if progress.done is None else 1.0
        self._bar.update(self._task, total=total, completed=progress.done or 0, text=text)
