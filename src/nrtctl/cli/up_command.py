"""`nrtctl up`: start what is configured, make what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.options import Session, StackOption, use_stack

if TYPE_CHECKING:
    from nrtctl.schema.building import Building


def up(
    session: Session,
    stack: StackOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until rollups are built for the rows from before.")
    ] = False,
) -> None:
    """Start the stack, wait until it answers, create topic, tables, views and projections."""
    from nrtctl.bootstrap import bootstrap
    from nrtctl.clock import SystemClock
    from nrtctl.config.layer import DEFAULT
    from nrtctl.schema.building import build_the_rest, wait_until_built

    began = time.monotonic()
    use_stack(session, stack)
    started = _start(session)
    config = session.config
    addresses = session.addresses
    client = session.clickhouse()
    asked = session.loaded.origin("pipeline.partitions") is not DEFAULT
    steps = bootstrap(config, addresses, client, add_partitions=asked)

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
    for title, address, verb in started:
        session.out.text(f"{title:<11} {address}  {verb}")
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


def _start(session: Session) -> list[tuple[str, str, str]]:
    """Start what `stack.kind` says: (title, address, what became of it) of each half."""
    from nrtctl.errors import ConfigError
    from nrtctl.stack import damage, docker, local, login, not_loaded
    from nrtctl.stack.spawn import PARTS
    from nrtctl.stack.state_dir import live, set_aside

    config, state_dir = session.config, session.loaded.state_dir
    if config.stack_kind == "external":
        return []
    if config.stack_kind == "local":
        if docker.is_up(state_dir):
            raise ConfigError("this project's docker stack is up", hint="`nrtctl down` first")
        had_password = login.has_password(state_dir)
        running = local.start(config, state_dir, say=session.say.note)
        for each in running:
            if each.instead:
                session.say.note(
                    f"{each.instead}, so the {each.part.role} answers at {each.endpoint.address}"
                )
        _say_who_may_connect(session, had_password)
        unknown = set_aside(state_dir)
        if unknown:
            session.say.warn(
                f"the broker knows nothing of {len(unknown)} in {unknown[0].parent}: "
                "`nrtctl doctor` says more"
            )
        for text in (*damage.warnings(state_dir), *not_loaded.warnings(state_dir)):
            session.say.warn(text)
        return [
            (
                each.part.title,
                each.endpoint.address,
                "started" if each.process else "running already",
            )
            for each in running
        ]
    if any(live(state_dir, part.name) for part in PARTS):
        raise ConfigError("this project's local stack is up", hint="`nrtctl down` first")
    docker.start(config, state_dir, session.loaded.project_file, session.say.passed_on)
    session.say.debug(f"the same containers by hand: {docker.by_hand(state_dir)}")
    return [
        ("Kafka", config.kafka.bootstrap_servers, "healthy"),
        ("ClickHouse", config.clickhouse.url, "healthy"),
    ]


def _say_who_may_connect(session: Session, had_password: bool) -> None:
    from nrtctl.stack import login

    state_dir, wanted = session.loaded.state_dir, session.config.local.auth
    is_so = login.auth_of_running(state_dir)
    if is_so != wanted:
        session.say.warn(
            f"the broker was started with local.auth = {is_so!r}, and the configuration says "
            f"{wanted!r}: `nrtctl down`, then `nrtctl up`"
        )
    elif wanted != "none" and not had_password:
        session.say.note(
            "a password for the broker was made. The commands here use it; "
            "`nrtctl status --connect` prints what other users and clients need"
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
