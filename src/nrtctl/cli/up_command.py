"""`nrtctl up`: start what is configured, make what is missing."""

from __future__ import annotations

import time

from nrtctl.cli.options import Session


def up(session: Session) -> None:
    """Start the stack, wait until it answers, create topic, tables, views and projections."""
    from nrtctl.bootstrap import bootstrap
    from nrtctl.errors import ConfigError
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
    seconds = round(time.monotonic() - began, 3)
    if not session.out.table:
        session.out.object(
            {
                "kafka": addresses.bootstrap_servers,
                "clickhouse": addresses.clickhouse_url,
                "state_dir": str(session.loaded.state_dir),
                "steps": [{"kind": s.kind, "name": s.name, "action": s.action} for s in steps],
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
    session.say.note(
        f"ready in {seconds:.1f} s. Next:\n"
        "  nrtctl produce --count 10000      send events\n"
        "  nrtctl consume --until-end        store them\n"
        "  nrtctl verify                     prove that none is missing"
    )
