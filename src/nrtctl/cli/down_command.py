"""`nrtctl down`: stop the local or the docker stack; with --volumes, delete its data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nrtctl.cli.options import Session, StackOption, use_stack

if TYPE_CHECKING:
    from nrtctl.stack.state_dir import Identity


def down(
    session: Session,
    stack: StackOption = None,
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete the data as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop what `up` started. Data is kept unless --volumes is given."""
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.stack import docker

    use_stack(session, stack)
    kind = session.config.stack_kind
    if kind == "external":
        raise ConfigError(
            "the stack is external: nrtctl did not start it",
            hint="`nrtctl config show --origin` tells where the addresses come from",
        )
    state_dir = session.loaded.state_dir
    known = _what_is_there(session) if kind == "local" and volumes else None
    data = (
        f"in {state_dir}" if kind == "local" else f"on the volumes of {docker.project(state_dir)}"
    )
    if volumes and not yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"--volumes would delete all data {data}", hint="add --yes to confirm"
            )
        if not typer.confirm(f"Delete all data {data}?", err=True):
            raise NrtctlError("nothing was stopped or deleted")
    if kind == "local":
        stopped, deleted = _local(session, volumes, known)
    else:
        stopped, deleted = _docker(session, volumes)
    if session.out.table:
        for what, pid in stopped.items():
            session.out.text(f"stopped {what}" + (f" (process {pid})" if pid else ""))
        if not stopped:
            session.out.text("nothing was running")
        if deleted:
            session.out.text(f"deleted the data {data}")
    else:
        session.out.object({"stopped": stopped, "deleted": deleted})


def _what_is_there(session: Session) -> Identity | None:
    """None where it cannot be read: then `down` stops it, and `delete` says why it stays."""
    from nrtctl.errors import ConfigError
    from nrtctl.stack.state_dir import identity

    try:
        return identity(session.loaded.state_dir)
    except ConfigError:
        return None


def _local(
    session: Session, volumes: bool, known: Identity | None
) -> tuple[dict[str, int | None], bool]:
    """(what was running with its process id, whether data was deleted)."""
    from nrtctl.errors import NrtctlError
    from nrtctl.stack import local
    from nrtctl.stack.state_dir import delete

    state_dir = session.loaded.state_dir
    if volumes and _what_is_there(session) != known:
        raise NrtctlError(f"another stack is in {state_dir} meanwhile: nothing was stopped")
    stopped = local.stop(state_dir, session.say.note)
    names = {part.title if session.out.table else part.name: pid for part, pid in stopped}
    return dict(names), volumes and delete(state_dir, known, session.say.note)


def _docker(session: Session, volumes: bool) -> tuple[dict[str, int | None], bool]:
    from nrtctl.stack import docker

    state_dir = session.loaded.state_dir
    stopped = docker.stop(session.config, state_dir, session.say.passed_on, volumes=volumes)
    return dict.fromkeys(stopped), volumes
