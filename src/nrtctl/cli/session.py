"""One run of one command: its configuration, its clients, its output."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nrtctl.cli.formats import FORMATS, Format, FormatName

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
        self.once: dict[tuple[str, ...], Any] = {}
        """What a command that runs for each pipeline finds once for those that share it."""
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
        made.environ, made.say, made.out, made.once = self.environ, self.say, self.out, self.once
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

    def clickhouse(
        self, database: str | None = None, *, timeout: float | None = None
    ) -> ClickHouseClient:
        """As `Addresses.clickhouse_client`, where ClickHouse answers now."""
        return self.addresses.clickhouse_client(database, timeout=timeout)
