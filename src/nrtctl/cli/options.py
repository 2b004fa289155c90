"""The options that every command takes, before its name or after it, and what they resolve to."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from nrtctl.cli.formats import FORMATS, Format, FormatName, listed

if TYPE_CHECKING:
    from nrtctl.cli.results import Result
    from nrtctl.clickhouse.client import ClickHouseClient
    from nrtctl.clock import Clock
    from nrtctl.config.load import Loaded
    from nrtctl.config.model import Config
    from nrtctl.stack.addresses import Addresses
    from nrtctl.stats.metrics_file import Metrics
    from nrtctl.stats.watcher import Watcher
    from nrtctl.stats.watchers import Watchers

LOOK_PATIENCE = 2.0
"""Seconds that a service has to answer in a view that goes on."""


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
            help="Work on this pipeline of [pipelines.NAME]; may be repeated, and may be a pattern "
            "such as 'eu-*', where a command takes several.",
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
            help="Use colours auto (on a terminal), always or never.",
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


class Session:
    """One run of one command: its configuration, its clients, its output."""

    def __init__(
        self, options: dict[str, Any], *, any_pipeline: bool = False, whole: bool = False
    ) -> None:
        from nrtctl.cli.diagnostics import Diagnostics
        from nrtctl.cli.output import Output
        from nrtctl.clock import notices

        self.options = options
        self._any_pipeline = any_pipeline
        self._whole = whole
        self.environ: Mapping[str, str] | None = None
        """Where settings in variables are read; None: the process's environment."""
        color = options["color"] or "auto"
        self.say = Diagnostics(
            color=color, quiet=options["quiet"], verbosity=int(options["verbose"])
        )
        self.out = Output(color=color)
        notices.listen(self.say.warn)

    def format(self, unless_asked: FormatName = FormatName.TABLE) -> Format:
        """The one that was asked for by -o."""
        return FORMATS[FormatName(self.options["output"] or unless_asked)](self.out, self.say)

    def show(self, result: Result) -> None:
        """Write it as it was asked for. Raises its failure."""
        from nrtctl.cli.results import Warn

        self.format().write(result)
        for each in result.said:
            (self.say.warn if isinstance(each, Warn) else self.say.note)(each.text)
        if result.failure is not None:
            raise result.failure

    @cached_property
    def loaded(self) -> Loaded:
        """The configuration of the one pipeline that is meant. Raises ConfigError: there are
        several."""
        from nrtctl.cli.meant import only_one

        return self.whole[0] if self._any_pipeline else only_one(self, whole=self._whole)

    @cached_property
    def whole(self) -> list[Loaded]:
        """The configuration of each pipeline that is meant, whatever topics it has; without
        --pipeline, of all."""
        from nrtctl.cli.meant import load

        return load(self, self.options.get("pipeline") or ())

    @cached_property
    def pipelines(self) -> list[Loaded]:
        """As `whole`, with a pipeline of several topics as one for each. At least one.

        Raises:
            ConnectError: Kafka does not say which topics a pattern matches.
            NrtctlError: none.
        """
        from nrtctl.cli.meant import with_topics

        return self.whole if self._whole else with_topics(self)

    def of(self, loaded: Loaded) -> Session:
        """A session of one of `pipelines`, with the same output."""
        options = {**self.options, "pipeline": [loaded.pipeline] if loaded.pipeline else None}
        made = Session(options, whole=self._whole)
        made.environ, made.say, made.out = self.environ, self.say, self.out
        made.__dict__["loaded"] = loaded
        return made

    @property
    def pipeline(self) -> str:
        """The name of the one that is meant; empty where the configuration names none."""
        return self.loaded.pipeline or ""

    @cached_property
    def clock(self) -> Clock:
        from nrtctl.clock import SystemClock

        return SystemClock()

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def addresses(self) -> Addresses:
        from nrtctl.stack.addresses import Addresses

        return Addresses(self.config, self.loaded.state_dir)

    @cached_property
    def metrics(self) -> Metrics:
        """Of the metrics.json beside the project file."""
        from nrtctl.stats.metrics_file import FILE_NAME, read_metrics

        project = self.loaded.project_file
        where = (project.parent if project else Path()) / FILE_NAME
        return read_metrics(where, self.loaded.trust)

    def watcher(
        self, *, window: float, by: str | None = None, timeout: float | None = LOOK_PATIENCE
    ) -> Watcher:
        """A watcher of the configured pipeline and of its metrics.json.

        Args:
            window: seconds.
            timeout: seconds that one question may take; None: what the configuration says.
        """
        from nrtctl.stats.watcher import Watcher

        return Watcher(
            self.config,
            self.loaded.state_dir,
            window=window,
            by=by,
            metrics=self.metrics,
            timeout=timeout,
        )

    def watchers(
        self, *, window: float, by: str | None = None, timeout: float | None = LOOK_PATIENCE
    ) -> Watchers:
        """As `watcher`, of every pipeline that is meant.

        Raises:
            ConfigError: `by`, and there are several.
        """
        from nrtctl.config.pipelines import the_one
        from nrtctl.stats.watchers import Watchers

        if by is not None:
            the_one([str(each.pipeline) for each in self.pipelines])
        return Watchers(self.pipelines, window=window, by=by, metrics=self.metrics, timeout=timeout)

    def clickhouse(self, database: str | None = None) -> ClickHouseClient:
        """A new client, whose unqualified names are those of `database`."""
        from nrtctl.clickhouse.client import ClickHouseClient

        addresses = self.addresses
        return ClickHouseClient(
            self.config.clickhouse,
            url=addresses.clickhouse_url,
            password=addresses.clickhouse_password,
            database=database,
        )


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


SERVED = "Serve /metrics, /healthz and /readyz at this port; 0 takes any free port."
MetricsPort = Annotated[int | None, typer.Option(metavar="PORT", min=0, max=65535, help=SERVED)]
MetricsHost = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Serve the metrics at this address of the machine.")
]
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
    typer.Option("--partition", metavar="NUMBER", help="Only this partition; may be repeated."),
]
Execute = Annotated[
    bool, typer.Option("--execute", help="Make the changes; without it they are only shown.")
]
Window = Annotated[
    str,
    typer.Option(
        metavar="DURATION",
        help="Compute latencies and batches from the rows of this most recent period.",
    ),
]
Interval = Annotated[str, typer.Option(metavar="DURATION", help="Update the numbers this often.")]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Break the rows of the window down by this column, or by partition.",
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
            hint="docs/clusters.md describes what can be done instead",
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
