"""`nrtctl completion install | show`: the Tab key completes what is typed, by Typer's scripts.

What a script asks when Tab is pressed is answered by Typer: `cli.app` lets it.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nrtctl.cli.common_options import for_any_pipeline
from nrtctl.cli.results import Document, Raw, Result
from nrtctl.cli.session import Session

ASKED = "_NRTCTL_COMPLETE"
"""The variable by which a script asks."""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


ShellName = Annotated[
    Shell | None,
    typer.Argument(
        metavar="SHELL", help="The shell: bash, zsh or fish; otherwise the one in $SHELL."
    ),
]


@for_any_pipeline
def install(session: Session, shell: ShellName = None) -> Result:
    """Let the Tab key complete nrtctl's commands and options in shells that you start from now on.

    Writes the script that `nrtctl completion show` prints into your home directory. For bash and
    zsh, it also adds the lines that load the script to ~/.bashrc or ~/.zshrc.
    """
    from typer._completion_shared import install as write

    from nrtctl.errors import NrtctlError

    chosen = shell or _own("install")
    try:
        _, path = write(shell=chosen.value, prog_name="nrtctl", complete_var=ASKED)
    except OSError as error:
        raise NrtctlError(
            f"{error.filename}: {error.strerror}",
            hint=f"`nrtctl completion show {chosen.value}` prints the script, which you can "
            "store elsewhere",
        ) from error
    return Document(
        {"shell": chosen.value, "path": str(path)},
        [f"wrote {path}; it takes effect in the next {chosen.value} that you start"],
    )


@for_any_pipeline
def show(session: Session, shell: ShellName = None) -> Result:
    """Print the script that lets a shell complete nrtctl's commands and options."""
    from typer._completion_shared import get_completion_script

    text = get_completion_script(
        prog_name="nrtctl", complete_var=ASKED, shell=(shell or _own("show")).value
    )
    return Raw([f"{text}\n".encode()])


def _own(verb: str) -> Shell:
    """The user's, for `nrtctl completion verb`. Raises ConfigError: it is none of those."""
    from nrtctl.errors import ConfigError

    name = Path(os.environ.get("SHELL", "")).name
    if name not in set(Shell):
        known = f"$SHELL is {name!r}" if name else "$SHELL is not set"
        raise ConfigError(
            f"{known}, but there are scripts only for bash, zsh and fish",
            hint=f"name one, as in `nrtctl completion {verb} bash`",
        )
    return Shell(name)
