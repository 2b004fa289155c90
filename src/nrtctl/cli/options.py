"""The options that every command takes, before its name or after it, and what they resolve to."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from nrtctl import notices
from nrtctl.cli.diagnostics import Diagnostics, run
from nrtctl.cli.output import Output

if TYPE_CHECKING:
    from nrtctl.clickhouse import ClickHouseClient
    from nrtctl.clock import Clock
    from nrtctl.config.load import Loaded
    from nrtctl.config.model import Config
    from nrtctl.stack.addresses import Addresses
    from nrtctl.stats.metrics_file import Metrics
    from nrtctl.stats.watcher import Watcher

SHORTEST_INTERVAL = 0.1
"""Seconds between two looks."""

LOOK_PATIENCE = 2.0
"""Seconds that a service has to answer in a view that goes on."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


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
            help="Configuration; else nrtctl.toml, upward from here.",
            rich_help_panel=PANEL,
        ),
    ],
    "profile": Annotated[
        str | None,
        typer.Option("--profile", help="Overlay [profile.NAME].", rich_help_panel=PANEL),
    ],
    "set": Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Override a setting.", rich_help_panel=PANEL
        ),
    ],
    "output": Annotated[
        Format | None,
        typer.Option("-o", "--output", help="Format of the data.", rich_help_panel=PANEL),
    ],
    "quiet": Annotated[
        bool, typer.Option("-q", "--quiet", help="No notes.", rich_help_panel=PANEL)
    ],
    "verbose": Annotated[
        bool, typer.Option("-v", "--verbose", help="More notes.", rich_help_panel=PANEL)
    ],
    "color": Annotated[
        Color | None, typer.Option("--color", help="When to colour.", rich_help_panel=PANEL)
    ],
    "debug": Annotated[
        bool, typer.Option("--debug", help="Tracebacks.", rich_help_panel=PANEL)
    ],
}  # fmt: skip

before_command: dict[str, Any] = {}
"""Shared options given before the command's name."""


class Session:
    """One run of one command: its configuration, its clients, its output."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.environ: Mapping[str, str] | None = None
        """Where settings in variables are read; None: the process's environment."""
        color = options["color"] or "auto"
        self.out = Output(options["output"] or "table", color=color)
        self.say = Diagnostics(
            color=color, quiet=options["quiet"], verbosity=int(options["verbose"])
        )
        notices.listen(self.say.warn)

    @cached_property
    def loaded(self) -> Loaded:
        from nrtctl.config.load import load_config

        return load_config(
            file=self.options["config"],
            profile=self.options["profile"],
            overrides=self.options["set"] or (),
            environ=self.environ,
        )

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

    def clickhouse(self, database: str | None = None) -> ClickHouseClient:
        """A new client, whose unqualified names are those of `database`."""
        from nrtctl.clickhouse import ClickHouseClient

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
    typer.Option("--stack", help="Instead of stack.kind: local processes, containers, your own."),
]


def one_server(session: Session, what: str) -> None:
    """Raises ConfigError: clickhouse.cluster is set, and `what` would do wrong there."""
    from nrtctl.errors import ConfigError

    if session.config.clickhouse.cluster is not None:
        raise ConfigError(
            f"`{what}` works on a single ClickHouse server only, and clickhouse.cluster is set",
            hint="docs/clusters.md says what can be done instead",
        )


def use_stack(session: Session, kind: StackKind | None) -> None:
    if kind is not None:
        session.options["set"] = [*session.options["set"], f"stack.kind={kind.value}"]


MetricsPort = Annotated[
    int | None,
    typer.Option(
        metavar="PORT", min=0, max=65535, help="Serve /metrics, /healthz and /readyz; 0: any port."
    ),
]
MetricsHost = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Where the metrics are served; loopback unless set.")
]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make `function(session, …)` a command that takes the shared options as well."""
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    own = [
        each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in list(signature.parameters.items())[1:]
    ]
    shared = [
        inspect.Parameter(
            f"shared_{name}",
            inspect.Parameter.KEYWORD_ONLY,
            default=False if name in {"quiet", "verbose", "debug"} else None,
            annotation=annotation,
        )
        for name, annotation in SHARED.items()
    ]

    def call(**given: Any) -> None:
        after = {name: given.pop(f"shared_{name}") for name in SHARED}
        options: dict[str, Any] = {name: after[name] or before_command.get(name) for name in SHARED}
        options["set"] = [*(before_command.get("set") or ()), *(after["set"] or ())]
        for name in ("quiet", "verbose", "debug"):
            options[name] = bool(options[name])
        session = Session(options)

        def work() -> None:
            if "NRTCTL_SET" in os.environ:
                from nrtctl.config.flags import inherited

                options["set"][:0] = inherited(os.environ)
            function(session, **given)

        code = run(work, session.say, debug=bool(options["debug"]))
        if code:
            raise typer.Exit(code)

    parameters = [*own, *shared]
    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def root_options(**given: Any) -> None:
    """Kafka to ClickHouse in near real time, with proof that nothing was lost."""
    before_command.clear()
    before_command.update({name: given[f"shared_{name}"] for name in SHARED})


def durations(window: str, interval: str) -> tuple[float, float]:
    """`--window` and `--interval` in seconds. Raises ConfigError."""
    from nrtctl.config.units import parse_duration
    from nrtctl.errors import ConfigError

    try:
        seconds, every = parse_duration(window), parse_duration(interval)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if not seconds:
        raise ConfigError("--window must be longer than 0s")
    if every < SHORTEST_INTERVAL:
        raise ConfigError(f"--interval must be {SHORTEST_INTERVAL * 1000:g}ms at least")
    return seconds, every
