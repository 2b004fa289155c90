"""`nrtctl status`: what runs, and where."""

from __future__ import annotations

from nrtctl.cli.options import Session


def status(session: Session) -> None:
    """Show the stack: addresses, processes, data. Exit 3 if a part of the local stack is down."""
    from nrtctl.errors import ConnectError
    from nrtctl.stack import local

    config, state_dir = session.config, session.loaded.state_dir
    rows: list[tuple[object, ...]] = []
    down = []
    if config.stack_kind == "local":
        for part in local.PARTS:
            endpoint = local.running(state_dir, part)
            if endpoint is None:
                down.append(part.title)
                rows.append((part.name, "stopped", None, None, _size(state_dir / part.name)))
            else:
                address = f"{endpoint.host}:{endpoint.port}"
                size = _size(state_dir / part.name)
                rows.append((part.name, "running", address, endpoint.pid, size))
    else:
        rows.append(("kafka", config.stack_kind, config.kafka.bootstrap_servers, None, None))
        rows.append(("clickhouse", config.stack_kind, config.clickhouse.url, None, None))
    session.out.rows(("part", "state", "address", "pid", "bytes"), rows)
    if session.out.table:
        session.say.note(f"state directory: {state_dir}")
    if down:
        raise ConnectError(f"not running: {', '.join(down)}", hint="`nrtctl up` starts it")


def _size(path: object) -> int:
    import os

    total = 0
    for root, _, files in os.walk(str(path)):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total
