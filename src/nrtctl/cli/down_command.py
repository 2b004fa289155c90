"""`nrtctl down`: stop the local stack; with --volumes, delete its data."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nrtctl.cli.options import Session


def down(
    session: Session,
    volumes: Annotated[bool, typer.Option("--volumes", help="Delete the data as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop what `up` started. Data is kept unless --volumes is given."""
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.stack import local
    from nrtctl.stack.state_dir import delete

    if session.config.stack_kind != "local":
        raise ConfigError(
            f"the stack is {session.config.stack_kind}: nrtctl did not start it",
            hint="`nrtctl config show --origin` tells where the addresses come from",
        )
    state_dir = session.loaded.state_dir
    if volumes and not yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"--volumes would delete all data in {state_dir}", hint="add --yes to confirm"
            )
        if not typer.confirm(f"Delete all data in {state_dir}?", err=True):
            raise NrtctlError("nothing was stopped or deleted")
    stopped = local.stop(state_dir)
    deleted = volumes and delete(state_dir)
    if session.out.table:
        for part, pid in stopped:
            session.out.text(f"stopped {part.title} (process {pid})")
        if not stopped:
            session.out.text("nothing was running")
        if deleted:
            session.out.text(f"deleted the data in {state_dir}")
    else:
        session.out.object(
            {"stopped": {part.name: pid for part, pid in stopped}, "deleted": deleted}
        )
