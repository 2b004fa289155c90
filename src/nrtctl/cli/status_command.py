"""`nrtctl status`: what runs, and where."""

from __future__ import annotations

from nrtctl.cli.options import Session


def status(session: Session) -> None:
    """Show the stack: addresses, processes, data. Exit 3 if a part that `up` starts is down."""
    from nrtctl.errors import ConnectError
    from nrtctl.stack.spawn import PARTS
    from nrtctl.stack.state_dir import live, size

    config, state_dir = session.config, session.loaded.state_dir
    rows: list[tuple[object, ...]] = []
    down = []
    if config.stack_kind == "local":
        for part in PARTS:
            endpoint = live(state_dir, part.name)
            stored = size(state_dir / part.name)
            if endpoint is None:
                down.append(part.title)
                rows.append((part.name, "stopped", None, None, stored))
            else:
                address = f"{endpoint.host}:{endpoint.port}"
                rows.append((part.name, "running", address, endpoint.pid, stored))
    elif config.stack_kind == "docker":
        from nrtctl.stack import docker

        found = {each.service: each for each in docker.containers(config, state_dir)}
        where = {"kafka": config.kafka.bootstrap_servers, "clickhouse": config.clickhouse.url}
        for name in sorted({*docker.SERVICES, *found}):
            state = str(found[name]) if name in found else "stopped"
            rows.append((name, state, where.get(name), None, None))
            if name in docker.SERVICES and not (name in found and found[name].fine):
                down.append(name)
    else:
        rows.append(("kafka", config.stack_kind, config.kafka.bootstrap_servers, None, None))
        rows.append(("clickhouse", config.stack_kind, config.clickhouse.url, None, None))
    session.out.rows(("part", "state", "address", "pid", "bytes"), rows)
    if session.out.table and config.stack_kind == "local":
        session.say.note(f"state directory: {state_dir}")
    if down:
        raise ConnectError(f"not running: {', '.join(down)}", hint="`nrtctl up` starts it")
