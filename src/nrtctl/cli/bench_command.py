"""`nrtctl bench`: what this machine can do, in a stack of its own that is gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.results import Block, Document, Result, Table
from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from nrtctl.bench.scratch import Scratch

Count = Annotated[
    int, typer.Option(metavar="COUNT", min=1000, help="Use this many events in each run.")
]
Runs = Annotated[
    int, typer.Option(metavar="COUNT", min=1, help="Repeat each measurement this many times.")
]
Rate = Annotated[
    int, typer.Option(metavar="NUMBER", min=1, help="Send this many events per second.")
]
HowLong = Annotated[
    str, typer.Option(metavar="DURATION", help="Measure for this long in each run, at least 1s.")
]
WarmUp = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Run for this long before each measurement without counting what happens.",
    ),
]
MaxWait = Annotated[
    str,
    typer.Option(
        metavar="DURATION", help="Set batch.max_wait to this; a short one gives the lowest latency."
    ),
]
Plain = Annotated[
    bool,
    typer.Option("--plain", help="Also measure a simple loop (poll, json.loads, insert) and kcat."),
]
Measure = Callable[["Scratch", Callable[[str], None]], dict[str, Any]]


def produce(session: Session, count: Count = 1_000_000, runs: Runs = 3) -> Result:
    """Measure how many events per second reach a topic, and compare with kcat if installed."""

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.produce import produce

        return produce(stack, count=count, runs=runs, say=say)

    return _measured(session, measure)


def ingest(
    session: Session, count: Count = 1_000_000, runs: Runs = 3, plain: Plain = False
) -> Result:
    """Measure how many rows per second get from a topic into the table, and compare."""

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.ingest import ingest

        return ingest(stack, count=count, runs=runs, plain=plain, say=say)

    return _measured(session, measure)


def latency(
    session: Session,
    rate: Rate = 20_000,
    duration: HowLong = "10s",
    warm_up: WarmUp = "3s",
    max_wait: MaxWait = "20ms",
    runs: Runs = 3,
) -> Result:
    """Measure how long it takes until a message can be queried, at a steady rate."""
    seconds, before = _times(duration, warm_up)

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.latency import latency

        return latency(
            stack, rate=rate, duration=seconds, warm_up=before, max_wait=max_wait, runs=runs,
            say=say,
        )  # fmt: skip

    return _measured(session, measure)


def everything(
    session: Session,
    count: Count = 1_000_000,
    duration: HowLong = "10s",
    warm_up: WarmUp = "3s",
    max_wait: MaxWait = "20ms",
    runs: Runs = 3,
) -> Result:
    """Run all three benchmarks, latency at 20,000 and 1,000 events per second. Takes minutes."""
    seconds, before = _times(duration, warm_up)

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.ingest import ingest
        from nrtctl.bench.latency import latency
        from nrtctl.bench.produce import produce

        found = {
            "produce": produce(stack, count=count, runs=runs, say=say),
            "ingest": ingest(stack, count=count, runs=runs, plain=False, say=say),
        }
        for rate in (20_000, 1000):
            found[f"latency_{rate}"] = latency(
                stack, rate=rate, duration=seconds, warm_up=before, max_wait=max_wait, runs=runs,
                say=say,
            )  # fmt: skip
        return found

    return _measured(session, measure)


def _times(duration: str, warm_up: str) -> tuple[float, float]:
    """In seconds. Raises ConfigError."""
    from nrtctl.cli.option_values import parsed
    from nrtctl.errors import ConfigError

    seconds = parsed(_seconds, duration, "--duration")
    if seconds < 1:
        raise ConfigError("--duration must be at least 1s")
    return seconds, parsed(_seconds, warm_up, "--warm-up")


def _seconds(text: str) -> float:
    """A number without a unit is one of seconds. Raises ValueError."""
    from nrtctl.config.units import parse_duration

    return parse_duration(f"{text}s" if text.replace(".", "", 1).isdecimal() else text)


def _measured(session: Session, measure: Measure) -> Result:
    from nrtctl.bench import machine
    from nrtctl.bench.scratch import scratch_stack
    from nrtctl.errors import ConfigError

    if any(session.options[name] for name in ("config", "profile", "pipeline")):
        raise ConfigError(
            "`nrtctl bench` measures the reference pipeline, so it takes no configuration",
            hint="single settings can be given, as in --set batch.max_rows=50000",
        )
    before = machine.machine()
    with scratch_stack(session.options["set"]) as stack:
        about = {
            "machine": before,
            "versions": machine.versions(stack),
            "settings": machine.settings(stack),
        }
        with _status(session) as say:
            found = measure(stack, say)
    return Document({**found, **about}, _shown(about, found))


@contextmanager
def _status(session: Session) -> Iterator[Callable[[str], None]]:
    """What runs now: a line that moves on a terminal, else a note."""
    if not session.say.interactive:
        yield session.say.note
        return
    from rich.text import Text

    from nrtctl.view.printable import printable

    with session.say.console.status("") as status:
        yield lambda text: status.update(Text(printable(text)))


def _shown(about: dict[str, Any], found: dict[str, Any]) -> Iterator[Block]:
    rows: list[tuple[Any, ...]] = []
    for name, value in found.items():
        rows += _rows(name, value)
    yield Table(("figure", "median", "min", "max", "runs"), rows)
    for title, values in about.items():
        text = ", ".join(f"{name} {value}" for name, value in values.items())
        yield f"{title}: {text}"


def _rows(name: str, value: Any) -> list[tuple[Any, ...]]:
    if not isinstance(value, dict):
        return [(name, value, None, None, None)]
    if "median" in value:
        return [(name, value["median"], value["min"], value["max"], len(value["runs"]))]
    return [row for key, each in value.items() for row in _rows(f"{name}.{key}", each)]
