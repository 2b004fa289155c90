"""`nrtctl produce`: events into the topic, generated or from a file."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.common_options import (
    LOOPBACK,
    SEED,
    KeyField,
    MetricsHost,
    MetricsPort,
    refuse_unserved,
    whole_pipelines,
)
from nrtctl.cli.diagnostics import Interrupts
from nrtctl.cli.fetching import FETCHING, Fetching, fetched
from nrtctl.cli.file_options import AS_FOUND, HowToRead
from nrtctl.cli.meant import the_topic
from nrtctl.cli.option_values import parsed
from nrtctl.cli.results import Document, Result, Warn
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    import rich.progress

    from nrtctl.errors import NrtctlError
    from nrtctl.metrics.producer import ProducerMetrics
    from nrtctl.pipeline import Pipeline
    from nrtctl.producer.run import Produced, Progress
    from nrtctl.producer.sources import Source

USERS = 10_000
"""How many users generated events have, unless it is said."""


@dataclass(frozen=True)
class Faults:
    """What is made wrong of the messages, in percent."""

    late: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Give this share of the events a time that is up to six hours in the past.",
        ),
    ] = 0.0
    duplicate: Annotated[
        float,
        typer.Option(
            metavar="PERCENT", min=0, max=100, help="Send this share of the messages twice."
        ),
    ] = 0.0
    invalid: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Replace this share of the messages with invalid ones.",
        ),
    ] = 0.0

    def among(self, source: Source, seed: int, pipeline: Pipeline) -> Source:
        """The source, with these faults in it."""
        if not (self.late or self.duplicate or self.invalid):
            return source
        from nrtctl.producer.sources.faults import Faulty

        return Faulty(source, seed=seed, fields=pipeline.places_to_types, **vars(self))


NO_FAULTS = Faults()


@whole_pipelines
def produce(
    session: Session,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE", help="Send these files too; each is anything that --input takes."
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0.001,
            help="Send this many messages per second; otherwise as many as Kafka takes, or "
            "1000 if nothing else ends the run.",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="Stop after this many messages.")
    ] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Stop after this time, as in 30s.")
    ] = None,
    seed: Annotated[int | None, SEED] = None,
    users: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            min=1,
            max=2_000_000,
            help="Generate events of this many different users.",
        ),
    ] = USERS,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Give the first event this time (ISO 8601) and space the others by --rate; "
            "otherwise events have the current time.",
        ),
    ] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="Send the messages in this file, in the files of this directory, in those "
            "that match this pattern, or at this URL (https://host/path); - is stdin; "
            "may be repeated.",
        ),
    ] = None,
    how: HowToRead = AS_FOUND,
    fetching: Fetching = FETCHING,
    key: KeyField = None,
    topic: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Send to this topic instead of pipeline.topic."),
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Encode messages with the schema in this file, and register it; otherwise "
            "with the topic's newest schema, or one made from pipeline.fields.",
        ),
    ] = None,
    faults: Faults = NO_FAULTS,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Record what was sent, and what is expected of it, for `nrtctl verify --ledger`.",
        ),
    ] = None,
    delivery_timeout: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Give up on a message that Kafka has not acknowledged within this time.",
        ),
    ] = "120s",
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOOPBACK,
) -> Result:
    """Send messages, generated or from files or a URL. Exits with 1 if any was not delivered."""
    from nrtctl.cli.garbage_collection import PRODUCING, collect_rarely, leave_alone_what_is_there
    from nrtctl.config.units import parse_duration
    from nrtctl.producer.run import run_producer
    from nrtctl.producer.sources.choosing import EVENTS_PER_SECOND

    inputs = [*(input or []), *(files or [])]
    _refuse(inputs, how, faults, start, key, users)
    refuse_unserved(metrics_host, metrics_port)
    url = _address(
        inputs, fetching, plain=not (count or duration or ledger) and faults == NO_FAULTS
    )
    config, stop = session.config, threading.Event()
    topic = topic or the_topic(session)
    seconds = None if duration is None else parsed(parse_duration, duration, "--duration")
    patience = parsed(parse_duration, delivery_timeout, "--delivery-timeout")
    address = session.addresses.bootstrap_servers
    if not inputs and count is None and seconds is None and rate is None:
        rate = EVENTS_PER_SECOND
        session.say.note(f"sending {counted(rate, 'event')} per second until Ctrl-C")
    if seed is None:
        seed = secrets.randbits(32)
        if not inputs:
            session.say.debug(f"--seed {seed} generates the same events again")
    source = None
    if url is None:
        source = (
            _files(session, inputs, how, key)
            if inputs
            else _generator(session, seed, users, start, rate, late=bool(faults.late))
        )
        source = faults.among(source, seed, config.pipeline)
        source = _encoded(session, source, topic, schema, faults, generated=not inputs)
    leave_alone_what_is_there()
    collect_rarely(PRODUCING)
    with ExitStack() as stack:
        metrics = None
        if metrics_port is not None:
            patient = inputs == ["-"] or url is not None
            metrics = stack.enter_context(
                _served(session, topic, metrics_host, metrics_port, patient=patient)
            )
        bar = stack.enter_context(_Bar(session, metrics))

        def send(source: Source) -> tuple[Produced, NrtctlError | None]:
            return run_producer(
                config.kafka,
                source,
                topic,
                address=address,
                clock=session.clock,
                stop=stop,
                rate=rate,
                count=count,
                duration=seconds,
                delivery_timeout=patience,
                ledger=ledger,
                observe=bar.show,
                notice=session.say.warn,
            )

        if source is None:
            return fetched(
                session,
                inputs[0],
                how,
                fetching,
                topic,
                key=key,
                encoded=lambda each: _encoded(
                    session, each, topic, schema, faults, generated=False
                ),
                send=send,
                stop=stop,
            )
        stack.enter_context(Interrupts(stop.set, session.say.note))
        return _result(*send(source), key=key)


def _result(produced: Produced, failure: NrtctlError | None, *, key: str | None) -> Result:
    """Args: key: the field that was named to key the messages; None: none was."""
    from nrtctl.producer.run import NotDelivered

    if failure is None and produced.failed:
        failure = NotDelivered(produced)
    words = (
        f"sent {produced.sent:,}, acknowledged {produced.acknowledged:,}, "
        f"failed {produced.failed:,} in {produced.seconds:.1f} s ({produced.rate:,.0f}/s) "
        f"to {produced.topic}; ended: {produced.ended}"
    )
    said = [Warn(example) for example in produced.examples]
    if key is not None and produced.sent and not produced.has_keys:
        what = f"sent without a key, as none has {key!r}"
        said.append(Warn(f"{counted(produced.sent, 'message was', 'messages were')} {what}"))
    return Document(produced.as_dict(), [words], said=said, failure=failure)


def _refuse(
    inputs: Sequence[str],
    how: HowToRead,
    faults: Faults,
    start: str | None,
    key: str | None,
    users: int,
) -> None:
    """Raises ConfigError: options that do not go together, or a value that is none."""
    from nrtctl.errors import ConfigError

    if faults.late + faults.duplicate + faults.invalid > 100:
        raise ConfigError("--late, --duplicate and --invalid add up to more than 100 %")
    how.reading()
    if inputs and (faults.late or start is not None or users != USERS):
        raise ConfigError(
            "--late, --start and --users are for generated events and cannot be used with --input"
        )
    if not inputs and (key is not None or how != AS_FOUND):
        raise ConfigError(
            "--key and the options that say how files are read can only be used with --input",
            hint="a generated event is keyed by pipeline.key, or by its user_id",
        )


def _address(inputs: Sequence[str], fetching: Fetching, *, plain: bool) -> str | None:
    """The address that is fetched; None: there is none.

    Args:
        plain: nothing is said that ends a run in its middle, or changes what is sent.

    Raises:
        ConfigError: it stands beside others, or what is said does not go together with it.
    """
    from nrtctl.errors import ConfigError
    from nrtctl.producer.fetching.addresses import is_address

    if not any(is_address(each) for each in inputs):
        if fetching != FETCHING:
            raise ConfigError(
                "--every, --records, --cursor, --max-answer and --allow-http can only be "
                "used with a URL",
                hint="give it as --input https://host/path",
            )
        return None
    if len(inputs) > 1:
        raise ConfigError(
            "a URL cannot be combined with other inputs", hint="run a command for each of them"
        )
    if not plain:
        raise ConfigError(
            "--count, --duration, --ledger, --late, --duplicate and --invalid cannot be used "
            "with a URL, from which everything new is sent"
        )
    return inputs[0]


def _encoded(
    session: Session,
    source: Source,
    topic: str,
    schema: Path | None,
    faults: Faults,
    *,
    generated: bool,
) -> Source:
    """The source, in the pipeline's format."""
    from nrtctl.config.named_files import named_text
    from nrtctl.errors import ConfigError
    from nrtctl.producer.sources.encoded import in_format

    kind = session.config.pipeline.format
    if kind == "json" and schema is not None:
        raise ConfigError("--schema can only be used if the pipeline's format is not JSON")
    if kind == "text" and schema is not None:
        raise ConfigError("--schema cannot be used if the pipeline's format is text")
    if kind in {"avro", "protobuf", "text"} and faults.invalid:
        named = "of text" if kind == "text" else f"in {kind.capitalize()}"
        raise ConfigError(f"--invalid makes faults in JSON, which messages {named} cannot have")
    try:
        text = None if schema is None else named_text(schema)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--schema: {schema}: {error}") from error
    config = session.addresses.with_registry(session.config)
    source, said = in_format(source, config, topic, text, generated=generated)
    if said:
        session.say.note(said)
    return source


def _served(
    session: Session, topic: str, host: str, port: int, *, patient: bool
) -> AbstractContextManager[ProducerMetrics]:
    """Args: patient: the input may be silent for ever."""
    from nrtctl.metrics.serving import producer_metrics

    return producer_metrics(
        topic, session.say.note, clock=session.clock, host=host, port=port, patient=patient
    )


def _generator(
    session: Session, seed: int, users: int, start: str | None, rate: float | None, *, late: bool
) -> Source:
    from nrtctl.clock import SystemClock
    from nrtctl.errors import ConfigError
    from nrtctl.kafka.offsets import parse_time
    from nrtctl.producer.sources.choosing import Generated, source_of
    from nrtctl.producer.sources.own_events import takes_reference_events

    pipeline = session.config.pipeline
    start_ms = None if start is None else parsed(parse_time, start, "--start")
    if not takes_reference_events(pipeline):
        if late:
            raise ConfigError("--late can only be used with the events of the reference pipeline")
        session.say.note("the events are made up, with random values for the pipeline's fields")
    events = Generated(seed, users, start_ms, rate)
    return source_of(events, pipeline, key=None, clock=SystemClock())


def _files(session: Session, inputs: Sequence[str], how: HowToRead, key: str | None) -> Source:
    from nrtctl.errors import ConfigError
    from nrtctl.producer.sources.choosing import Files, source_of

    if "-" in inputs and sys.stdin.isatty():
        session.say.note("reading messages from the terminal, one per line; press Ctrl-D to finish")
    reading = how.reading()
    if reading.kind == "messages" and key is not None:
        raise ConfigError(
            "--key cannot be used with --format messages, whose lines have their own keys"
        )
    files = Files(inputs, reading)
    return source_of(files, session.config.pipeline, key=key, clock=session.clock)


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
