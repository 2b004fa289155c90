"""The command that does what was shown, as text: built here only, so that no secret is in one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nrtctl.cli.session import Session


def again(fixed: Mapping[str, str] | None = None) -> str:
    """The command that led here, with --execute: what carries a dry run out.

    Args:
        fixed: option to the value that takes the place of the given one: a time that moves with
            the present would mean more by the time that the command is run.
    """
    return _shown([*_with(sys.argv[1:], fixed or {}), "--execute"])


def _with(arguments: Sequence[str], fixed: Mapping[str, str]) -> Iterator[str]:
    option = ""
    for each in arguments:
        name, equals, _ = each.partition("=")
        if option in fixed:
            yield fixed[option]
            option = ""
        elif equals and name in fixed:
            yield f"{name}={fixed[name]}"
        else:
            yield each
            option = each


def command_line(session: Session, words: Sequence[str]) -> str:
    """A command with the configuration that led here."""
    line = list(words)
    for name in ("config", "profile"):
        if session.options[name]:
            line += [f"--{name}", str(session.options[name])]
    for name in session.options.get("pipeline") or ():
        line += ["--pipeline", name]
    for setting in session.options["set"]:
        line += ["--set", setting]
    return _shown(line)


def of_pipeline(name: str | None) -> str:
    """What a command that is told to somebody ends with, where pipelines have names."""
    return f" --pipeline {shlex.quote(name)}" if name else ""


def words_of(given: Any) -> list[str]:
    """The words that give these options once more; those that have their default need none.

    Args:
        given: a dataclass whose fields are named as its options.
    """
    words: list[str] = []
    for field in fields(given):
        value, name = getattr(given, field.name), f"--{field.name.replace('_', '-')}"
        if value != field.default:
            words += [name] if value is True else [name, str(value)]
    return words


def _shown(arguments: Sequence[str]) -> str:
    return shlex.join(["nrtctl", *_masked(arguments)])


def _masked(arguments: Sequence[str]) -> Iterator[str]:
    from nrtctl.config.describe import without_secret

    setting = False
    for each in arguments:
        if setting:
            yield without_secret(each)
        elif each.startswith("--set="):
            yield f"--set={without_secret(each.removeprefix('--set='))}"
        else:
            yield each
        setting = not setting and each == "--set"
