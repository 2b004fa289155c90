"""`nrtctl init`: write a configuration to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nrtctl.cli.options import Session


def init(
    session: Session,
    directory: Annotated[Path, typer.Argument(help="Where to.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write nrtctl.toml and metrics.json: the reference pipeline, ready to be changed."""
    from nrtctl.config.load import template
    from nrtctl.errors import ConfigError, NrtctlError

    names = ("nrtctl.toml", "metrics.json", "metrics.schema.json")
    there = [name for name in names if (directory / name).exists()]
    if there and not force:
        raise ConfigError(
            f"{directory / there[0]} exists already", hint="`nrtctl init --force` overwrites it"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            (directory / name).write_text(template(name), encoding="utf-8")
            # Whatever the umask: what others can write is not read again.
            (directory / name).chmod((directory / name).stat().st_mode & ~0o022)
    except OSError as error:
        raise NrtctlError(f"{directory}: cannot be written: {error.strerror}") from error
    if session.out.table:
        for name in names:
            session.out.text(f"wrote {directory / name}")
    else:
        session.out.object({"wrote": [str(directory / name) for name in names]})
    session.say.note("next: edit nrtctl.toml, then `nrtctl up`")
