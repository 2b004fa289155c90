"""`nrtctl status`: what runs, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from nrtctl.cli.common_options import for_any_pipeline
from nrtctl.cli.results import Block, Document, Note, Result, Rows, Table, Warn
from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from nrtctl.errors import ConnectError

DOWN = ("stopped", "not answering", "exited", "dead", "stalled", "Kafka gone", "ClickHouse gone")
"""How the state begins of what does not work."""

CLIENTS = {
    "librdkafka": "kcat -F FILE, confluent-kafka and other clients of librdkafka",
    "java": "Java clients, and Kafka's own tools with --command-config FILE",
    "registry": "clients of the schema registry, in addition to one of those above",
}


@for_any_pipeline
def status(
    session: Session,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect",
            help="Print the settings, with passwords, that other clients of Kafka and of the "
            "schema registry need.",
        ),
    ] = False,
) -> Result:
    """Show addresses, processes and data of the stack. Exits with 3 if a part does not answer.

    If there are several pipelines, each is listed with its verdict from `nrtctl stats`.
    """
    from nrtctl.view.words import size

    config, state_dir = session.config, session.loaded.state_dir
    if connect:
        return _connect(session, state_dir)
    rows: list[tuple[object, ...]] = []
    down: list[str] = []
    hung: list[str] = []
    if config.stack_kind == "local":
        rows = _local(session, state_dir, down, hung)
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
    if not (down or hung) and len(session.pipelines) > 1:
        rows += _pipelines(session)
    table = Table(("part", "state", "address", "pid", "bytes"), rows)
    for_people = [(*row[:4], size(cast("int | None", row[4]))) for row in rows]
    shown: list[Block] = [
        Table(
            (*table.columns[:4], "size"),
            for_people,
            (False, False, False, True, True),
            bad=lambda name, value: name == "state" and value.startswith(DOWN),
        )
    ]
    said: list[Warn] = []
    if config.stack_kind == "local":
        from nrtctl.stack.damage import warnings

        shown.append(Note(f"state directory: {state_dir}"))
        said = [Warn(text) for text in warnings(state_dir)]
    return Rows(table, shown, said=said, failure=_failure(state_dir, down, hung))


def _pipelines(session: Session) -> list[tuple[object, ...]]:
    watchers = session.watchers(window=60)
    try:
        shots = watchers.look()
    finally:
        watchers.close()
    return [
        (f"pipelines.{name}", shot.verdict.state, f"{shot.topic} → {shot.table}", None, None)
        for name, shot in shots.items()
    ]


def _failure(state_dir: Path, down: list[str], hung: list[str]) -> ConnectError | None:
    from nrtctl.errors import ConnectError

    if hung:
        return ConnectError(
            f"not answering: {', '.join(hung)}" + (f"; not running: {down[0]}" if down else ""),
            hint=f"the logs in {state_dir / 'logs'} may say why; ending the process with "
            "`kill -9` loses no stored data, and `nrtctl up` starts it again",
        )
    if down:
        return ConnectError(
            f"not running: {', '.join(down)}",
            hint=f"`nrtctl up` starts {'them' if len(down) > 1 else 'it'}",
        )
    return None


def _connect(session: Session, state_dir: Path) -> Result:
    """The only place that shows the passwords of the broker and of the schema registry."""
    from nrtctl.errors import ConfigError
    from nrtctl.stack.login import connecting, connecting_to_registry

    if session.config.stack_kind != "local":
        raise ConfigError(
            "only the local stack has a login of its own",
            hint="`nrtctl config show` shows how this project's Kafka is reached",
        )
    clients = connecting(session.addresses.bootstrap_servers, state_dir)
    if registry := connecting_to_registry(state_dir):
        clients["registry"] = registry
    shown = [
        line
        for name, title in CLIENTS.items()
        if name in clients
        for line in (f"# {title}", *(f"{key}={text}" for key, text in clients[name].items()), "")
    ]
    return Document(clients, shown)


def _local(
    session: Session, state_dir: Path, down: list[str], hung: list[str]
) -> list[tuple[object, ...]]:
    from nrtctl.stack.asking import answering
    from nrtctl.stack.local import parts_for
    from nrtctl.stack.spawn import ALL_PARTS
    from nrtctl.stack.state_dir import live, size

    there = {part.name: live(state_dir, part.name) for part in ALL_PARTS}
    needed = parts_for(each.config for each in session.whole)
    parts = [part for part in ALL_PARTS if part in needed or there[part.name] is not None]
    asked = [(part, each) for part in parts if (each := there[part.name]) is not None]
    answers = {part.name: yes for (part, _), yes in zip(asked, answering(asked), strict=True)}
    rows: list[tuple[object, ...]] = []
    for part in parts:
        endpoint, stored = there[part.name], size(state_dir / part.name)
        if endpoint is None:
            down.append(part.title)
            rows.append((part.name, "stopped", None, None, stored))
            continue
        if not answers[part.name]:
            hung.append(f"{part.title} (process {endpoint.pid})")
        state = "running" if answers[part.name] else "not answering"
        rows.append((part.name, state, endpoint.address, endpoint.pid, stored))
    return rows
