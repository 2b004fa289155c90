"""The options that every command takes, before its name or after it, and those of several.

`command` makes a function a command that takes them; `session` is what they resolve to.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from nrtctl.cli.formats import FormatName, listed
from nrtctl.cli.session import Session

if TYPE_CHECKING:
    from nrtctl.cli.results import Result


class Color(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


PANEL = "Common options"

SHARED: dict[str, Any] = {
    "config": Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Read this configuration file; otherwise nrtctl.toml is looked for in this "
            "directory and its parents.",
            rich_help_panel=PANEL,
        ),
    ],
    "profile": Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Apply the settings of [profile.NAME] on top of the others.",
            rich_help_panel=PANEL,
        ),
    ],
    "pipeline": Annotated[
        list[str] | None,
        typer.Option(
            "--pipeline",
            metavar="NAME",
            help="Work on the pipeline in [pipelines.NAME]; if the command takes several, may "
            "be repeated or be a pattern such as 'eu-*'.",
            rich_help_panel=PANEL,
        ),
    ],
    "set": Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override one setting, as in batch.max_rows=50000; may be repeated.",
            rich_help_panel=PANEL,
        ),
    ],
    "output": Annotated[
        FormatName | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT",
            help=f"Print data as {listed()}.",
            rich_help_panel=PANEL,
        ),
    ],
    "quiet": Annotated[
        bool,
        typer.Option(
            "-q", "--quiet", help="Print warnings and errors, but no notes.", rich_help_panel=PANEL
        ),
    ],
    "verbose": Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Print more notes.", rich_help_panel=PANEL),
    ],
    "color": Annotated[
        Color | None,
        typer.Option(
            "--color",
            metavar="WHEN",
            help="Use colours: auto (only on a terminal), always or never.",
            rich_help_panel=PANEL,
        ),
    ],
    "debug": Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Print the Python traceback when a command fails.",
            rich_help_panel=PANEL,
        ),
    ],
}

Function = TypeVar("Function", bound=Callable[..., Any])

FLAGS = ("quiet", "verbose", "debug")
"""Those of them that have no value."""

before_command: dict[str, Any] = {}
"""Shared options given before the command's name."""


class StackKind(StrEnum):
    LOCAL = "local"
    DOCKER = "docker"
    EXTERNAL = "external"


StackOption = Annotated[
    StackKind | None,
    typer.Option(
        "--stack",
        metavar="KIND",
        help="Use this kind of stack instead of stack.kind: local (processes on this machine), "
        "docker (containers) or external (servers of your own).",
    ),
]


def use_group(session: Session, group: str | None) -> None:
    """Make it consumer.group, whatever characters it has."""
    if group is not None:
        import json

        session.options["set"] = [*session.options["set"], f"consumer.group={json.dumps(group)}"]


SERVED = "Serve /metrics, /healthz and /readyz on this port; 0 takes any free port."
MetricsPort = Annotated[int | None, typer.Option(metavar="PORT", min=0, max=65535, help=SERVED)]
MetricsHost = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Serve the metrics on this address of this machine.")
]
LOOPBACK = "127.0.0.1"


def refuse_unserved(host: str, port: int | None, option: str = "--metrics-port") -> None:
    """Raises ConfigError: an address is given for metrics that nobody serves."""
    if port is None and host != LOOPBACK:
        from nrtctl.errors import ConfigError

        raise ConfigError(
            f"--metrics-host can only be used with {option}",
            hint=f"{option} PORT serves the metrics",
        )


KeyField = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="FIELD",
        help="Take the key of each message from this field instead of pipeline.key.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="NAME", help="Use this consumer group instead of consumer.group."
    ),
]
Partitions = Annotated[
    list[int] | None,
    typer.Option(
        "--partition", metavar="NUMBER", help="Work on this partition only; may be repeated."
    ),
]
Execute = Annotated[
    bool, typer.Option("--execute", help="Make the changes; without it they are only shown.")
]
Window = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Calculate latencies and batches from the rows stored in this most recent period.",
    ),
]
Interval = Annotated[str, typer.Option(metavar="DURATION", help="Update the numbers this often.")]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Break the rows in the window down by this column, or by partition.",
    ),
]
SEED: Any = typer.Option(
    metavar="NUMBER", help="Generate the same events and faults as any other run with this seed."
)


def one_server(session: Session, what: str) -> None:
    """Raises ConfigError: clickhouse.cluster is set, and `what` would do wrong there."""
    from nrtctl.errors import ConfigError

    if session.config.clickhouse.cluster is not None:
        raise ConfigError(
            f"`{what}` works only with a single ClickHouse server, but clickhouse.cluster is set",
            hint="docs/clusters.md describes what to do instead",
        )


def use_stack(session: Session, kind: StackKind | None) -> None:
    if kind is not None:
        session.options["set"] = [*session.options["set"], f"stack.kind={kind.value}"]


_FOR_EACH: set[Callable[..., Result | None]] = set()
_FOR_ANY: set[Callable[..., Result | None]] = set()
_WHOLE: set[Callable[..., Result | None]] = set()


def for_each_pipeline(function: Function) -> Function:
    """Mark a command that is run for each pipeline that is meant, one after the other."""
    _FOR_EACH.add(function)
    return function


def for_any_pipeline(function: Function) -> Function:
    """Mark a command that takes all pipelines at once, or is about what they share: it does not ask
    which is meant."""
    _FOR_ANY.add(function)
    return function


def whole_pipelines(function: Function) -> Function:
    """Mark a command that takes a pipeline of several topics as it is, and asks no Kafka for it."""
    _WHOLE.add(function)
    return function


def command(function: Callable[..., Result | None]) -> Callable[..., None]:
    """Make `function(session, …)` a command that takes the shared options as well, and writes what
    it returns.

    A parameter that is a dataclass stands for options that several commands take: its fields.
    """
    own, groups = _own_options(function)

    def call(**given: Any) -> None:
        from nrtctl.cli.diagnostics import run

        after = {name: given.pop(f"shared_{name}") for name in SHARED}
        options: dict[str, Any] = {name: after[name] or before_command.get(name) for name in SHARED}
        for name in ("set", "pipeline"):
            options[name] = [*(before_command.get(name) or ()), *(after[name] or ())]
        for name in FLAGS:
            options[name] = bool(options[name])
        for name, group in groups.items():
            given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
        session = Session(options, any_pipeline=function in _FOR_ANY, whole=function in _WHOLE)

        def work() -> None:
            if "NRTCTL_SET" in os.environ:
                from nrtctl.config.flags import inherited

                options["set"][:0] = inherited(os.environ)
            if "NRTCTL_FAULT" in os.environ:
                from nrtctl.store.faultpoints import arm

                arm()
            if function in _FOR_EACH:
                from nrtctl.cli.each_pipeline import of_all

                result: Result | None = of_all(session, lambda one: function(one, **given))
            else:
                result = function(session, **given)
            if result is not None:
                session.show(result)

        code = run(work, session.say, debug=bool(options["debug"]))
        if code:
            raise typer.Exit(code)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return taking([*own, *shared_parameters()], call)


def taking(parameters: list[inspect.Parameter], call: Callable[..., None]) -> Callable[..., None]:
    """Give `call(**given)` the signature that Typer reads its options from."""
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def shared_parameters() -> list[inspect.Parameter]:
    """SHARED, as parameters whose names do not meet those of a command's own."""
    return [
        inspect.Parameter(
            f"shared_{name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in FLAGS else None,
            annotation=annotation,
        )
        for name, annotation in SHARED.items()
    ]


def _own_options(
    function: Callable[..., Result | None],
) -> tuple[list[inspect.Parameter], dict[str, type[Any]]]:
    """The options of `function`, and the dataclasses among its parameters by name."""
    hints = get_type_hints(function, include_extras=True)
    own: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}
    for name, each in list(inspect.signature(function).parameters.items())[1:]:
        if not is_dataclass(hints[name]):
            own.append(each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = hints[name]
        field_hints = get_type_hints(hints[name], include_extras=True)
        own += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field_hints[field.name],
            )
            for field in fields(hints[name])
        ]
    return own, groups


def root_options(**given: Any) -> None:
    """Kafka to ClickHouse in near real time, with proof that nothing was lost."""
    before_command.clear()
    before_command.update({name: given[f"shared_{name}"] for name in SHARED})
