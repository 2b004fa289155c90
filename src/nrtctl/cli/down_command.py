"""`nrtctl down`: stop the local or the docker stack; with --volumes, delete its data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from nrtctl.cli.common_options import StackOption, for_any_pipeline, use_stack
from nrtctl.cli.results import Document, Result
from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from nrtctl.stack.state_dir import Identity


class Stopped(NamedTuple):
    """What was running. `pid`: None of a container."""

    name: str
    title: str
    pid: int | None = None


@for_any_pipeline
def down(
    session: Session,
    stack: StackOption = None,
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete the data as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> Result:
    """Stop what `nrtctl up` started. The data is kept unless --volumes is given."""
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.stack import docker

    use_stack(session, stack)
    kind = session.config.stack_kind
    if kind == "external":
        raise ConfigError(
            "the stack is external: nrtctl has not started it and cannot stop it",
            hint="`nrtctl config show --origin` shows where the addresses come from",
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
        if volumes and docker.env_file(state_dir).exists():
            session.say.note(
                "the data of the Docker stack stays on the volumes of "
                f"{docker.project(state_dir)}; `nrtctl down --stack docker --volumes` deletes it"
            )
    else:
        stopped, deleted = _docker(session, volumes)
    shown = [
        f"stopped {each.title}" + (f" (process {each.pid})" if each.pid else "") for each in stopped
    ]
    return Document(
        {"stopped": {each.name: each.pid for each in stopped}, "deleted": deleted},
        (shown or ["nothing was running"]) + [f"deleted the data {data}"] * deleted,
    )


def _what_is_there(session: Session) -> Identity | None:
    """None where it cannot be read: then `down` stops it, and `delete` says why it stays."""
    from nrtctl.errors import ConfigError
    from nrtctl.stack.state_dir import identity

    try:
        return identity(session.loaded.state_dir)
    except ConfigError:
        return None


def _local(session: Session, volumes: bool, known: Identity | None) -> tuple[list[Stopped], bool]:
    """(what was running, whether data was deleted)."""
    from nrtctl.errors import NrtctlError
    from nrtctl.stack import local
    from nrtctl.stack.state_dir import delete

    state_dir = session.loaded.state_dir
    if volumes and _what_is_there(session) != known:
        raise NrtctlError(
            f"another stack has taken over {state_dir} in the meantime: nothing was stopped"
        )
    stopped = local.stop(state_dir, session.say.note)
    return (
        [Stopped(part.name, part.title, pid) for part, pid in stopped],
        volumes and delete(state_dir, known, session.say.note),
    )


def _docker(session: Session, volumes: bool) -> tuple[list[Stopped], bool]:
    from nrtctl.stack import docker

    state_dir = session.loaded.state_dir
    stopped = docker.stop(session.config, state_dir, session.say.passed_on, volumes=volumes)
    return [Stopped(name, name) for name in stopped], volumes
