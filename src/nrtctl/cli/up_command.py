"""`nrtctl up`: start what is configured, make what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.options import Session

if TYPE_CHECKING:
    from nrtctl.schema.building import Building


def up(
    session: Session,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until rollups are built for the rows from before.")
    ] = False,
) -> None:
    """Start the stack, wait until it answers, create topic, tables, views and projections."""
    from nrtctl.bootstrap import bootstrap
    from nrtctl.clock import SystemClock
    from nrtctl.errors import ConfigError
    from nrtctl.schema.building import build_the_rest, wait_until_built
    from nrtctl.stack import local

    began = time.monotonic()
    config = session.config
    if config.stack_kind == "docker":
        raise ConfigError(
            "stack.kind = 'docker' is not available yet",
            hint="start the containers yourself and set stack.kind = 'external'",
        )
    started = local.start(config, session.loaded.state_dir) if config.stack_kind == "local" else []
    addresses = session.addresses
    client = session.clickhouse()
    steps = bootstrap(config, addresses, client)

    def look() -> list[Building]:
        return build_the_rest(client, config.clickhouse.database, config.pipeline.table)

    if wait:
        wait_until_built(look, _progress(session), SystemClock())
    left = look()
    seconds = round(time.monotonic() - began, 3)
    if not session.out.table:
        session.out.object(
            {
                "kafka": addresses.bootstrap_servers,
                "clickhouse": addresses.clickhouse_url,
                "state_dir": str(session.loaded.state_dir),
                "steps": [{"kind": s.kind, "name": s.name, "action": s.action} for s in steps],
                "building": [
                    {
                        "projection": each.projection,
                        "parts": each.parts,
                        "left": each.left,
                        "failure": each.failure or None,
                    }
                    for each in left
                ],
                "seconds": seconds,
            }
        )
        return
    for part in started:
        verb = "started" if part.process else "running already"
        session.out.text(f"{part.part.title:<11} {part.endpoint.host}:{part.endpoint.port}  {verb}")
    kept = [step for step in steps if step.action == "kept"]
    for step in steps:
        if step.action != "kept":
            session.out.text(f"{step.kind:<11} {step.name}  {step.action}")
    if kept:
        session.out.text(f"{len(kept)} objects were there already")
    for each in left:
        session.out.text(f"{'building':<11} {each}, in the background (`nrtctl up --wait` watches)")
        if each.failure:
            session.say.warn(f"ClickHouse cannot build {each.projection}: {each.failure}")
    session.say.note(
        f"ready in {seconds:.1f} s. Next:\n"
        "  nrtctl produce --count 10000      send events\n"
        "  nrtctl consume --until-end        store them\n"
        "  nrtctl verify                     prove that none is missing"
    )


def _progress(session: Session) -> Callable[[Sequence[Building]], None]:
    """Says what is left, once a second at most, where it has changed."""
    from nrtctl.cli.diagnostics import Ticker

    ticker, before = Ticker(1), ""

    def show(left: Sequence[Building]) -> None:
        nonlocal before
        text = "; ".join(map(str, left))
        if text != before and ticker.due():
            session.say.note(text)
            before = text

    return show
