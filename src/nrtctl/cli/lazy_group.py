"""Commands by name, imported when they are called, and help in plain text. Called by `cli.app`.

Typer would import every command to list it, and rich to draw the list: that took more than twice
as long as the rest (docs/decisions/0018-help-without-rich.md).
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from nrtctl.cli.common_options import command

Entry = tuple[str, "str | Listing"]
"""(the first line of its help, `module:function` within `nrtctl.cli`, or a group's commands)"""

Listing = Mapping[str, Entry]

WIDTH = {"max_content_width": 100}

PLAIN = frozenset({bool, int, float, str})

NAMES_OF_FILES = frozenset({"FILE", "DIRECTORY"})

RANGE = re.compile(r"\b([0-9.]+)<=x<=([0-9.]+)|\bx>=([0-9.]+)")
"""How click writes which numbers are allowed."""


class Loaded(Mapping[str, Any]):
    """Click's commands by name, each made when it is asked for."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            summary, where = self._listing[name]
            self._made[name] = (
                _one(name, where)
                if isinstance(where, str)
                else Group(
                    name=name,
                    help=summary,
                    no_args_is_help=True,
                    listing=where,
                    context_settings=dict(WIDTH),
                )
            )
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._listing

    def __iter__(self) -> Iterator[str]:
        return iter(self._listing)

    def __len__(self) -> int:
        return len(self._listing)


def _one(name: str, where: str) -> Any:
    module, _, function = where.partition(":")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    run = command(getattr(import_module(f"nrtctl.cli.{module}"), function))
    alone.command(name, cls=Command, context_settings=dict(WIDTH))(run)
    return typer.main.get_command(alone)


class Command(TyperCommand):
    """A command whose help keeps the common options apart."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _take_values(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)


class Group(TyperGroup):
    """Commands of a listing."""

    def __init__(self, *, listing: Listing, **given: Any) -> None:
        super().__init__(**{**given, "rich_markup_mode": None})
        self.listing = listing
        self._only_listed = False
        self.commands: Any = Loaded(listing)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _take_values(self.get_params(ctx))
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """`help` and `help COMMAND` are `--help` and `COMMAND --help`."""
        if args[:1] != ["help"]:
            return super().resolve_command(ctx, args)
        names = [each for each in args[1:] if not each.startswith("-")]
        if not names:
            typer.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().resolve_command(ctx, [*names, "--help"])

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.listing)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if self._only_listed and cmd_name in self.listing:
            return TyperCommand(cmd_name, help=self.listing[cmd_name][0])
        return super().get_command(ctx, cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Commands and options that begin so; no command is imported for that."""
        self._only_listed = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._only_listed = False

    def format_options(self, ctx: Any, formatter: Any) -> None:
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section(heading("Commands")):
            formatter.write_dl([(name, summary) for name, (summary, _) in self.listing.items()])


def _take_values(parameters: list[Any]) -> None:
    """Keep Typer from making a pydantic adapter for an option that was not given, and from
    importing pydantic for that: our defaults have the right type already. What is given must not be
    empty, as where a script's variable is not set: a command would take it for not given."""

    def checked(parameter: Any, process: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def value_of(ctx: Any, value: Any) -> Any:
            if value is None or value == ():
                if parameter.required:
                    return process(ctx, value)
                value = () if parameter.multiple else None
            elif type(value) not in PLAIN or not _by_default(ctx, parameter):
                try:
                    _refuse_no_text(parameter, value)
                    value = process(ctx, value)
                    if isinstance(value, float) and not math.isfinite(value):
                        raise typer.BadParameter(f"must be a number, not '{value}'")
                except typer.BadParameter as error:
                    error.message, error.ctx, error.param = _in_words(error), ctx, parameter
                    raise
                return value
            return parameter.callback(ctx, parameter, value) if parameter.callback else value

        return value_of

    for each in parameters:
        if "process_value" not in vars(each):
            each.process_value = checked(each, each.process_value)


def _refuse_no_text(parameter: Any, value: Any) -> None:
    """Raises BadParameter: it is empty, or has bytes that are no text, as only a name
    of a file may."""
    for each in value if isinstance(value, list | tuple) else [value]:
        if each == "":
            raise typer.BadParameter("must not be empty")
        if isinstance(each, str) and parameter.metavar not in NAMES_OF_FILES:
            try:
                each.encode()
            except UnicodeEncodeError:
                encoding = sys.getfilesystemencoding()
                raise typer.BadParameter(f"must be text in {encoding}, not {each!r}") from None


def _in_words(refused: typer.BadParameter) -> str:
    """Pydantic's words are for those who write a program."""
    from pydantic import ValidationError

    from nrtctl.config.problems import of_option

    cause = refused.__cause__
    return of_option(cause) if isinstance(cause, ValidationError) else refused.message


def _by_default(ctx: Any, parameter: Any) -> bool:
    return getattr(ctx.get_parameter_source(parameter.name), "name", "") == "DEFAULT"


def _write_options(shown: Any, ctx: Any, formatter: Any) -> None:
    for title, records in described(shown, ctx).items():
        with formatter.section(heading(title)):
            formatter.write_dl(records)


def described(shown: Any, ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """The arguments and options of a command, with what is said of each, by the heading that they
    stand below in its help. Asked by `benchmarks.command_reference` as well."""
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in shown.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            title = "Options"
            if parameter.param_type_name == "argument":
                title = "Arguments"
                record = (record[0].partition(" <")[0], record[1])
            record = (record[0], RANGE.sub(_range_in_words, record[1]))
            panel = getattr(parameter, "rich_help_panel", None) or title
            sections.setdefault(panel, []).append(record)
    return {title: records for title, records in sections.items() if records}


def _range_in_words(found: re.Match[str]) -> str:
    least, most, only_least = found.groups()
    return f"{only_least} or more" if only_least else f"{least} to {most}"


def heading(title: str) -> str:
    """Bold on a terminal: click takes it out elsewhere."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return title if plain else typer.style(title, bold=True)
