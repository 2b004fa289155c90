"""`nrtctl bench`: what this machine can do, in a stack of its own that is gone afterwards."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nrtctl.cli.diagnostics import endings
from nrtctl.cli.options import Session

if TYPE_CHECKING:
    from nrtctl.bench.scratch import Scratch

Count = Annotated[int, typer.Option(min=1000, help="Events a run.")]
Runs = Annotated[int, typer.Option(min=1, help="How often each is measured.")]
Rate = Annotated[int, typer.Option(min=1, help="Events a second.")]
Seconds = Annotated[float, typer.Option(min=1, help="Seconds that are measured, each run.")]
WarmUp = Annotated[float, typer.Option(min=0, help="Seconds before, that are not counted.")]
MaxWait = Annotated[str, typer.Option(help="batch.max_wait, tuned for latency.")]
Plain = Annotated[
    bool,
    typer.Option("--plain", help="Beside it a plain loop (poll, json.loads, insert), and kcat."),
]
Measure = Callable[["Scratch", Callable[[str], None]], dict[str, Any]]


def produce(session: Session, count: Count = 1_000_000, runs: Runs = 3) -> None:
    """Events a second into a topic, generated and from a file; beside kcat where that is there."""

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.produce import produce

        return produce(stack, count=count, runs=runs, say=say)

    _show(session, measure)


def ingest(
    session: Session, count: Count = 1_000_000, runs: Runs = 3, plain: Plain = False
) -> None:
    """Rows a second from a topic into the table, and the ratio to what the engine itself does."""

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.ingest import ingest

        return ingest(stack, count=count, runs=runs, plain=plain, say=say)

    _show(session, measure)


def latency(
    session: Session,
    rate: Rate = 20_000,
    duration: Seconds = 10.0,
    warm_up: WarmUp = 3.0,
    max_wait: MaxWait = "20ms",
    runs: Runs = 3,
) -> None:
    """Milliseconds from a message to its row being queryable, at a steady rate."""

    def measure(stack: Scratch, say: Callable[[str], None]) -> dict[str, Any]:
        from nrtctl.bench.latency import latency

        return latency(
            stack, rate=rate, duration=duration, warm_up=warm_up, max_wait=max_wait, runs=runs,
            say=say,
        )  # fmt: skip

    _show(session, measure)


def everything(
    session: Session,
    count: Count = 1_000_000,
    duration: Seconds = 10.0,
    max_wait: MaxWait = "20ms",
    runs: Runs = 3,
) -> None:
    """All three, latency at 20,000 and at 1,000 events a second. Takes some minutes."""

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
                stack, rate=rate, duration=duration, warm_up=3.0, max_wait=max_wait, runs=runs,
                say=say,
            )  # fmt: skip
        return found

    _show(session, measure)


def _show(session: Session, measure: Measure) -> None:
    from nrtctl.bench import machine
    from nrtctl.bench.scratch import scratch_stack
    from nrtctl.errors import ConfigError

    if session.options["config"] or session.options["profile"]:
        raise ConfigError(
            "bench measures the reference pipeline, in a stack of its own",
            hint="settings can be given one by one, as in --set batch.max_rows=50000",
        )
    before = machine.machine()
    with _terminated_is_interrupted(), scratch_stack(session.options["set"]) as stack:
        about = {
            "machine": before,
            "versions": machine.versions(stack),
            "settings": machine.settings(stack),
        }
        with _status(session) as say:
            found = measure(stack, say)
    if session.out.table:
        _table(session, about, found)
    else:
        session.out.object({**found, **about})


@contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM and the terminal's end leave nothing behind either."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in endings()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _status(session: Session) -> Iterator[Callable[[str], None]]:
    """What runs now: a line that moves on a terminal, else a note."""
    if not session.say.interactive:
        yield session.say.note
        return
    from rich.text import Text

    from nrtctl.printable import printable

    with session.say.console.status("") as status:
        yield lambda text: status.update(Text(printable(text)))


def _table(session: Session, about: dict[str, Any], found: dict[str, Any]) -> None:
    rows: list[tuple[Any, ...]] = []
    for name, value in found.items():
        rows += _rows(name, value)
    session.out.rows(("figure", "median", "min", "max", "runs"), rows)
    for title, values in about.items():
        text = ", ".join(f"{name} {value}" for name, value in values.items())
        session.out.text(f"{title}: {text}")


def _rows(name: str, value: Any) -> list[tuple[Any, ...]]:
    if not isinstance(value, dict):
        return [(name, value, None, None, None)]
    if "median" in value:
        return [(name, value["median"], value["min"], value["max"], len(value["runs"]))]
    return [row for key, each in value.items() for row in _rows(f"{name}.{key}", each)]
