"""`nrtctl dashboard`: the numbers of `stats` as a page on loopback."""

from __future__ import annotations

from typing import Annotated

import typer

from nrtctl.cli.common_options import By, Interval, Window, for_any_pipeline
from nrtctl.cli.results import Document
from nrtctl.cli.session import Session
from nrtctl.cli.stats_command import durations


@for_any_pipeline
def dashboard(
    session: Session,
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve the pages on this port of 127.0.0.1; 0 takes any free port.",
        ),
    ] = 8321,
    window: Window = "60s",
    interval: Interval = "1s",
    by: By = None,
) -> None:
    """Show the numbers of `nrtctl stats` on live web pages that only this machine can open.

    With several pipelines it shows an overview, from which each can be opened. Dead letters,
    messages and SQL need the token in the printed address. The only change that the pages can make
    is to replay a dead letter. Ctrl-C ends it.
    """
    from threading import Event

    from nrtctl.cli.dashboard_questions import Questions
    from nrtctl.cli.diagnostics import Interrupts
    from nrtctl.view.dashboard.serve import HOST, listen, serve
    from nrtctl.view.dashboard.token import Token

    seconds, every = durations(window, interval)
    watchers = session.watchers(window=seconds, by=by)
    questions = Questions(session)
    try:  # from here on: the watchers' clients would hold an end that comes early
        for text in session.metrics.wrong:
            session.say.warn(text)
        stop = Event()
        with listen(port) as listening, Interrupts(stop.set, session.say.note) as ends:
            address, token = f"http://{HOST}:{listening.getsockname()[1]}", Token()
            shown = f"{address}/#token={token.text}"
            session.show(Document({"url": address, "token": token.text}, [shown]))
            session.say.note("press Ctrl-C to end it")
            serve(
                listening,
                watchers.look,
                interval=every,
                stop=stop,
                names=watchers.names,
                look_back=questions.look_back,
                questions=questions.all(),
                token=token,
            )
        if ends.interrupted:
            raise KeyboardInterrupt
    finally:
        questions.close()
        watchers.close()
