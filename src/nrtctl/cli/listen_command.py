"""`nrtctl listen`: events that are sent over HTTP, into the topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from nrtctl.cli.common_options import (
    LOOPBACK,
    KeyField,
    MetricsHost,
    MetricsPort,
    for_any_pipeline,
    refuse_unserved,
)
from nrtctl.cli.option_values import positive
from nrtctl.cli.results import Document, Result
from nrtctl.cli.session import Session
from nrtctl.config.counted import counted

if TYPE_CHECKING:
    from rich.status import Status

    from nrtctl.cli.waits import Waits
    from nrtctl.metrics.listen import ListenMetrics
    from nrtctl.producer.listening.requests import Target
    from nrtctl.producer.listening.serving import Options, Seen

Value = TypeVar("Value")


@dataclass(frozen=True)
class Bounds:
    """What a request may be, and how much may be under way."""

    max_body: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Refuse a request whose body is larger than this, compressed or decompressed.",
        ),
    ] = "8MiB"
    max_events: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=1, max=100_000, help="Refuse a request with more events than this."
        ),
    ] = 10_000
    max_waiting: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Refuse requests while this much of earlier ones is waiting for Kafka.",
        ),
    ] = "64MiB"
    max_connections: Annotated[
        int,
        typer.Option(
            metavar="COUNT",
            min=1,
            max=10_000,
            help="Keep at most this many connections; a further one takes the place of one "
            "that is idle or slow.",
        ),
    ] = 512
    read_timeout: Annotated[
        str,
        typer.Option(metavar="DURATION", help="Allow this much time for a request body to arrive."),
    ] = "30s"
    delivery_timeout: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Answer 503 if Kafka has not acknowledged an event within this time.",
        ),
    ] = "30s"


BOUNDS = Bounds()


@for_any_pipeline
def listen(
    session: Session,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Listen on this port; 0 takes any free port.",
        ),
    ] = 8080,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address of this machine.")
    ] = LOOPBACK,
    key: KeyField = None,
    key_header: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Take the key of a request's messages from this HTTP header, if the request "
            "has it.",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="NAME",
            help="Copy this HTTP header of a request into each of its messages; may be repeated.",
        ),
    ] = None,
    bounds: Bounds = BOUNDS,
    without_login: Annotated[
        bool,
        typer.Option(
            "--without-login",
            help="Accept events without a login on an address other than loopback, from "
            "anyone who can reach it.",
        ),
    ] = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = LOOPBACK,
) -> Result:
    """Accept events over HTTP and put them into the pipeline's topic, until Ctrl-C.

    Each request is answered once Kafka has acknowledged all of its events. With several pipelines,
    events for one are sent to the path of its name.
    """
    from nrtctl.cli.diagnostics import Interrupts
    from nrtctl.cli.waits import Waits
    from nrtctl.producer.listening import serving

    refuse_unserved(metrics_host, metrics_port)
    options = _options(host, port, without_login, bounds, key_header, header or ())
    settings = session.pipelines[0].config.listen
    login = serving.login_of(settings)
    serving.check_open(login, options)
    certificate = serving.certificate_of(settings)
    targets = _targets(session, key)
    stop = threading.Event()
    waits = Waits(session.say)
    one = session.of(session.pipelines[0])
    with ExitStack() as stack:
        metrics = None
        if metrics_port is not None:
            from nrtctl.metrics.serving import listen_metrics

            metrics = stack.enter_context(
                listen_metrics(
                    session.say.note, clock=session.clock, host=metrics_host, port=metrics_port
                )
            )
        stack.enter_context(Interrupts(stop.set, session.say.note))
        shown = stack.enter_context(_Shown(session, targets, metrics, open_=login.open))
        tally = serving.listen(
            one.config.kafka,
            targets,
            options,
            login=login,
            certificate=certificate,
            address=one.addresses.bootstrap_servers,
            clock=session.clock,
            stop=stop,
            watching=serving.Watching(
                ready=shown.ready,
                seen=shown.seen,
                note=shown.settled(waits),
                warn=session.say.warn,
                waits=waits.waiting,
            ),
        )
    answers = {str(status): count for status, count in sorted(tally.answers.items())}
    refused = sum(count for status, count in tally.answers.items() if status >= 300)
    words = (
        f"accepted {counted(tally.events, 'event')} in "
        f"{counted(tally.answers[202], 'request')}, refused {counted(refused, 'request')}"
    )
    return Document({"events": tally.events, "requests": answers}, [words])


def _options(
    host: str,
    port: int,
    without_login: bool,
    bounds: Bounds,
    key_header: str | None,
    headers: Sequence[str],
) -> Options:
    from nrtctl.config.units import parse_duration, parse_size
    from nrtctl.producer.listening.app import Limits
    from nrtctl.producer.listening.requests import Taking
    from nrtctl.producer.listening.serving import Options

    return Options(
        host=host,
        port=port,
        anybody=without_login,
        limits=Limits(
            body=positive(parse_size, bounds.max_body, "--max-body"),
            read_seconds=positive(parse_duration, bounds.read_timeout, "--read-timeout"),
            delivery_seconds=positive(
                parse_duration, bounds.delivery_timeout, "--delivery-timeout"
            ),
        ),
        taking=Taking(
            bounds.max_events, None if key_header is None else key_header.lower(), tuple(headers)
        ),
        room=positive(parse_size, bounds.max_waiting, "--max-waiting"),
        connections=bounds.max_connections,
    )


def _targets(session: Session, key: str | None) -> dict[str, Target]:
    """Where the events of each path go. Raises ConfigError, ConnectError: of a schema."""
    from nrtctl.producer.listening.requests import Target
    from nrtctl.producer.sources.encoded import encoder

    found = {}
    for each in session.pipelines:
        config = each.config
        encode = None
        if config.pipeline.format != "json":
            config = session.of(each).addresses.with_registry(config)
            encode, said = encoder(config, config.pipeline.topic)
            if said:
                session.say.note(said)
        target = Target(config.pipeline.topic, config.pipeline.key_path(key), encode)
        if each.pipeline:
            found[f"/{each.pipeline}"] = target
        if len(session.pipelines) == 1:
            found["/"] = target
    return found


class _Shown:
    """One line that lives at a terminal; elsewhere a line for each change of state."""

    def __init__(
        self,
        session: Session,
        targets: dict[str, Target],
        metrics: ListenMetrics | None,
        *,
        open_: bool,
    ) -> None:
        self._session = session
        self._targets = targets
        self._metrics = metrics
        self._open = open_
        self._status: Status | None = None
        self._before = (time.monotonic(), 0)
        self._rate = 0.0

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def settled(self, waits: Waits) -> Callable[[str], None]:
        """Says that Kafka answers again, and other changes for the better."""

        def say(text: str) -> None:
            waits.over()
            self._session.say.note(text)

        return say

    def ready(self, url: str, *of: object) -> None:
        if self._metrics is not None:
            self._metrics.watch(*of)  # type: ignore[arg-type]
        say = self._session.say
        for path, target in self._targets.items():
            if path == "/" or "/" not in self._targets:
                say.note(f"listening at {url}{path}, for the topic {target.topic}")
        if self._open:
            say.note("there is no login: anyone who can reach this address may send events")
        if say.interactive:
            from rich.status import Status

            self._status = Status("waiting for events", console=say.console, refresh_per_second=4)
            self._status.start()

    def seen(self, seen: Seen) -> None:
        if self._metrics is not None:
            self._metrics.health.turned()
        if self._status is None:
            return
        now = time.monotonic()
        then, events = self._before
        if now - then >= 1:
            self._rate = (seen.events - events) / (now - then)
            self._before = (now, seen.events)
        text = f"{counted(seen.events, 'event')} accepted, {self._rate:,.0f}/s"
        if seen.waiting:
            text += f", {counted(seen.waiting, 'waits', 'wait')} for Kafka"
        if seen.refused:
            text += f", {counted(seen.refused, 'request')} refused"
        if seen.away:
            text += "; Kafka does not answer"
        elif seen.full:
            text += "; full"
        self._status.update(text)
