"""`nrtctl stats`: the numbers of the pipeline."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.options import MetricsHost, Session, durations

if TYPE_CHECKING:
    from nrtctl.stats.snapshot import Snapshot


def stats(
    session: Session,
    once: Annotated[bool, typer.Option("--once", help="One snapshot, then end.")] = False,
    window: Annotated[
        str, typer.Option(help="Rows that latencies and batches are taken over.")
    ] = "60s",
    interval: Annotated[str, typer.Option(help="Time between two snapshots.")] = "1s",
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
    """Lag, rates, freshness, end-to-end latency, rows, dead letters, parts."""
    seconds, every = durations(window, interval)
    if serve is not None:
        serve_metrics(session, metrics_host, serve, window=seconds, interval=every)
        return
    if not once and session.out.table and sys.stdout.isatty():
        live(session, window=seconds, interval=every)
        return
    while True:
        shot = look(session, window=seconds, interval=every)
        if session.out.table:
            show(session, shot)
        else:
            session.out.object(shot.as_dict())
        if once:
            return


def serve_metrics(
    session: Session, host: str, port: int, *, window: float, interval: float
) -> None:
    """The numbers for Prometheus, until Ctrl-C."""
    import threading

    from nrtctl.cli.diagnostics import Interrupts
    from nrtctl.clock import SystemClock
    from nrtctl.metrics.serving import serve_snapshots
    from nrtctl.stats.watcher import Watcher

    watcher = Watcher(session.config, session.loaded.state_dir, window=window, timeout=2.0)
    stop = threading.Event()
    try:
        with Interrupts(stop.set, session.say.note):
            serve_snapshots(
                watcher.look,
                session.say.note,
                stop,
                interval=max(1.0, interval),
                clock=SystemClock(),
                host=host,
                port=port,
            )
    finally:
        watcher.close()


def live(session: Session, *, window: float, interval: float) -> None:
    """The view that stays on the terminal."""
    from rich.console import Console

    from nrtctl.cli.diagnostics import color_options
    from nrtctl.stats.watcher import Watcher
    from nrtctl.view.live import watch

    watcher = Watcher(session.config, session.loaded.state_dir, window=window, timeout=2.0)
    console = Console(highlight=False, **color_options(session.say.color))
    watch(watcher.look, interval=interval, console=console)


def look(session: Session, *, window: float, interval: float) -> Snapshot:
    """Two looks, `interval` seconds apart, for the rates.

    Raises:
        NrtctlError: what a service did not answer.
    """
    from nrtctl.stats.watcher import Watcher

    watcher = Watcher(session.config, session.loaded.state_dir, window=window)
    try:
        watcher.look()
        if not watcher.failed:
            time.sleep(interval)
            shot = watcher.look()
        for error in watcher.failed:
            raise error
        return shot
    finally:
        watcher.close()


def show(session: Session, shot: Snapshot) -> None:
    latency = shot.end_to_end_latency_seconds
    rows = [
        ("lag", f"{shot.lag_records:,} records"),
        ("produced", f"{shot.produced_per_second:,.0f} /s"),
        ("stored", f"{shot.stored_per_second:,.0f} /s"),
        ("dead letters", f"{shot.dead_letters_per_second:,.0f} /s"),
        ("freshness", _seconds(shot.freshness_seconds)),
        (
            "end-to-end latency",
            "  ".join(
                f"{name} {_seconds(getattr(latency, name))}" for name in ("p50", "p95", "p99")
            ),
        ),
        ("rows stored", f"{shot.stored:,}"),
        ("rows rejected", f"{shot.dead_letters:,}"),
        *((f"  {reason}", f"{n:,}") for reason, n in shot.dead_letters_by_reason.items()),
        ("active parts", f"{shot.active_parts:,}"),
    ]
    window = f"latency over {shot.window_seconds:g} s"
    session.out.rows((f"{shot.topic} → {shot.table}", window), rows)
    session.out.rows(
        ("partition", "log end", "committed", "lag"),
        [(each.partition, each.log_end, each.committed, each.lag_records) for each in shot.lag],
    )


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:,.1f} s"
