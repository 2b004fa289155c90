"""`nrtctl dashboard`: the numbers of `stats` as a page on loopback."""

from __future__ import annotations

from typing import Annotated

import typer

from nrtctl.cli.options import Session, durations


def dashboard(
    session: Session,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on loopback; 0: any free one.")
    ] = 8321,
    window: Annotated[
        str, typer.Option(help="Rows that latencies and batches are taken over.")
    ] = "60s",
    interval: Annotated[str, typer.Option(help="Time between two looks.")] = "1s",
    by: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The window's rows by a column, or by partition."),
    ] = None,
) -> None:
    """The numbers of `stats` as a live page, until Ctrl-C. Read-only, on loopback only."""
    import signal

    from nrtctl.cli.diagnostics import endings
    from nrtctl.dashboard.serve import HOST, listen, serve

    seconds, every = durations(window, interval)
    watcher = session.watcher(window=seconds, by=by)
    try:  # from here on: the watcher's clients would hold an end that comes early
        for text in session.metrics.wrong:
            session.say.warn(text)
        with listen(port) as listening:
            address = f"http://{HOST}:{listening.getsockname()[1]}"
            if session.out.table:
                session.out.text(address)
            else:
                session.out.object({"url": address})
            session.say.note("Ctrl-C ends it")
            # The server ends in order, and then raises the signal that ended it once more.
            signal.signal(signal.SIGTERM, lambda *_: None)
            if signal.SIGHUP in endings():
                signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
            serve(listening, watcher.look, interval=every)
    finally:
        watcher.close()
