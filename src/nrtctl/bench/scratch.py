"""A stack for one benchmark: started in a temporary directory, gone afterwards. Used by `bench`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nrtctl.bench.children import NRTCTL, Child, Usage, cpu_seconds
from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.flags import environment_with
from nrtctl.config.load import load_config, template_on_free_ports
from nrtctl.config.model import Config
from nrtctl.stack import local
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.bootstrap import bootstrap
from nrtctl.stack.login import connecting
from nrtctl.stack.spawn import check_installed


class Scratch:
    """One pipeline on a running stack, with any number of topics and databases."""

    def __init__(self, directory: Path, overrides: Sequence[str]) -> None:
        self.directory = directory
        self.processes: dict[str, int] = {}
        """Of the stack: part to process id."""
        self._file = directory / "nrtctl.toml"
        self._overrides = [
            *overrides, "stack.kind=local", f"local.state_dir={directory / '.nrtctl'}"
        ]  # fmt: skip
        kept = {name: text for name, text in os.environ.items() if not name.startswith("NRTCTL_")}
        homes = {"HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
        self._environ = environment_with(self._overrides, {**kept, **homes})

    def config(self, *overrides: str) -> Config:
        return load_config(
            file=self._file,
            overrides=[*self._overrides, *overrides],
            environ=self._environ,
        ).config

    def cpu_seconds(self) -> dict[str, float]:
        """What each part of the stack has taken; empty where the system does not tell."""
        found = {part: cpu_seconds(pid) for part, pid in self.processes.items()}
        return {part: seconds for part, seconds in found.items() if seconds is not None}

    def addresses(self) -> Addresses:
        return Addresses(self.config(), self.directory / ".nrtctl")

    def login(self, kind: str = "librdkafka") -> dict[str, str]:
        """What a client of that kind (or `java`) needs to connect to the broker."""
        state_dir = self.directory / ".nrtctl"
        return connecting(self.addresses().bootstrap_servers, state_dir)[kind]

    def client(self, database: str | None = None) -> ClickHouseClient:
        return self.addresses().clickhouse_client(database)

    @contextmanager
    def pipeline(self, *, topic: str, database: str) -> Iterator[Pipeline]:
        """Topic, tables and views. The database goes at the end, its merges with it."""
        settings = (f"pipeline.topic={topic}", f"clickhouse.database={database}")
        client = self.client()
        try:
            bootstrap(self.config(*settings), self.addresses(), client)
            yield Pipeline(self, topic, database, settings)
            client.command(f"DROP DATABASE {database} SYNC")
        finally:
            client.close()

    def child(
        self, title: str, command: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> Child:
        """Args: variables: what must not be on a command line, which others can read."""
        return Child(title, command, self.directory, {**self._environ, **(variables or {})})

    def nrtctl(self, name: str, *arguments: str) -> Child:
        shared = ["--config", str(self._file), "-q", "-o", "json"]
        return self.child(f"nrtctl {name}", [*NRTCTL, name, *shared, *arguments])


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One topic and one database of a scratch stack."""

    scratch: Scratch
    topic: str
    database: str
    settings: tuple[str, ...]

    @property
    def table(self) -> str:
        return f"{self.database}.{self.scratch.config().pipeline.table}"

    def start(self, command: str, *arguments: str) -> Child:
        flags = [part for setting in self.settings for part in ("--set", setting)]
        return self.scratch.nrtctl(command, *flags, *arguments)

    def run(
        self, command: str, *arguments: str, meanwhile: Callable[[], None] = lambda: None
    ) -> Usage:
        """Raises NrtctlError: the command failed."""
        with self.start(command, *arguments) as child:
            return child.wait(meanwhile)


@contextmanager
def scratch_stack(overrides: Sequence[str], pipeline: str | None = None) -> Iterator[Scratch]:
    """Start a stack on free ports; stop it and remove its directory, whatever happens.

    Args:
        pipeline: TOML of the pipeline; None: the reference pipeline, which names no key for files
            here: what is to be keyed says so.

    Raises:
        ConfigError: the extra `local` is not installed, or a setting is wrong.
    """
    check_installed()
    directory = Path(tempfile.mkdtemp(prefix="nrtctl-bench-")).resolve()
    text = re.sub("(?m)^key = .*\n", "", template_on_free_ports())
    if pipeline is not None:
        servers, url = re.findall("(?m)^(?:bootstrap_servers|url) = .*$", text)
        text = f"[kafka]\n{servers}\n[clickhouse]\n{url}\n{pipeline}"
    state_dir = directory / ".nrtctl"
    try:
        (directory / "nrtctl.toml").write_text(text, encoding="utf-8")
        made = Scratch(directory, overrides)
        running = local.start(made.config(), state_dir, attached=True)
        made.processes = {each.part.name: each.endpoint.pid for each in running}
        yield made
        del running
    finally:
        try:
            local.stop(state_dir)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
