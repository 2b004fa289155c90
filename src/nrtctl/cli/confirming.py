"""Asking before something is done that cannot be taken back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nrtctl.kafka.topic_states import Unstored

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Unneeded = Annotated[
    bool,
    typer.Option(
        "--unstored",
        help="Also delete messages that the pipeline's group has not stored yet.",
    ),
]


def confirm(question: str, what: str, *, yes: bool) -> None:
    """Args: question: "Delete X?"; what: "X would be deleted", told where nobody can be asked.

    Raises:
        ConfigError: there is no terminal to ask at.
        NrtctlError: the answer is no.
    """
    from nrtctl.errors import ConfigError, NrtctlError
    from nrtctl.view.printable import printable

    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(what, hint="add --yes to confirm")
    if not typer.confirm(printable(question, keep="\n"), err=True):
        raise NrtctlError("nothing was changed")


def growing(topic: str, there: int, wanted: int) -> str:
    """The question before a topic with messages gets more partitions."""
    from nrtctl.config.counted import counted

    return (
        "After this, messages with the same key may go to another partition than before,\nso "
        f"that a consumer may read them in another order.\nGive topic {topic} "
        f"{counted(wanted, 'partition')} instead of {there}?"
    )


def refuse_unstored(topic: str, left: Unstored, messages: int, *, told: bool) -> None:
    """Args: messages: of those that are left to store, the ones that would be deleted; told:
    that the user has said that they may be.

    Raises:
        NrtctlError: there are some, and the user has not said so.
    """
    from nrtctl.config.counted import counted
    from nrtctl.errors import NrtctlError

    if messages and not told:
        has = "has" if messages == 1 else "have"
        raise NrtctlError(
            f"{counted(messages, 'message')} of topic {topic!r} {has} not been stored yet by the "
            f"pipeline's group {left.group}, and would be lost",
            hint="`nrtctl consume --until-end` stores them; --unstored deletes them anyway",
        )
