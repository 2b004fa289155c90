"""Start what is configured, make what is missing. Called by `nrtctl up` and `Client.up`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.clickhouse.patience import Patient
from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.config.layer import DEFAULT
from nrtctl.config.load import Loaded
from nrtctl.config.model import Config
from nrtctl.config.parts import part_name, whole_name
from nrtctl.errors import ConfigError, ConnectError
from nrtctl.kafka.make_topic import Agree, always
from nrtctl.kafka.matching import all_topics, matching
from nrtctl.schema.building import Building, build_the_rest, wait_until_built
from nrtctl.schema.steps import Step
from nrtctl.stack import damage, docker, local, login, not_loaded, started_with
from nrtctl.stack.addresses import Addresses
from nrtctl.stack.bootstrap import Bootstrap
from nrtctl.stack.spawn import ALL_PARTS, Part
from nrtctl.stack.state_dir import live, set_aside

PATIENCE = 30.0
"""Seconds that a statement may wait for what passes by itself, such as a server that is busy."""


@dataclass(frozen=True, slots=True)
class Half:
    """Kafka, ClickHouse or the schema registry: where it answers, and what became of it.

    `state`: `started`, `running already` or `healthy`.
    """

    title: str
    address: str
    state: str


@dataclass(frozen=True, slots=True)
class Up:
    """A stack that is ready.

    Attributes:
        name: of the pipeline, or of its part for one topic; empty: there is only one.
        kafka: host:port of the brokers, comma-separated.
        clickhouse: the URL.
        started: what was started, or ran before; empty: servers of one's own.
        steps: what was done to the topic, to each table, view and projection.
        building: projections that ClickHouse still builds for the rows from before.
    """

    name: str
    kafka: str
    clickhouse: str
    started: tuple[Half, ...]
    steps: tuple[Step, ...]
    building: tuple[Building, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pipeline that is to be there.

    Attributes:
        name: of `[pipelines.NAME]`; empty: there is only one.
        add_partitions: somebody has set pipeline.partitions, so a topic that has fewer gets them.
    """

    name: str
    config: Config
    add_partitions: bool

    @classmethod
    def of(cls, loaded: Loaded) -> Wanted:
        return cls(loaded.pipeline or "", loaded.config, partitions_are_set(loaded))

    def parts(self, topics: Callable[[], Sequence[str]]) -> list[Wanted]:
        """One for each topic; of a pattern that matches none, that of the tables.

        Args:
            topics: asks Kafka which there are.
        """
        pipeline = self.config.pipeline
        if not pipeline.unsplit:
            return [self]
        names = matching(pipeline, topics() if pipeline.has_pattern else ())
        return [
            Wanted(
                part_name(self.name or None, name),
                self.config.of_topic(name),
                self.add_partitions and not pipeline.has_pattern,
            )
            for name in names
        ] or [self]


class Starting:
    """Args:
    note, warn: told what happens, and what is not as the configuration says.
    passed_on: told each line of docker's, and whether it tells something.
    waiting: told (reason, seconds) before each wait for ClickHouse.
    """

    def __init__(
        self,
        config: Config,
        state_dir: Path,
        project_file: Path | None,
        *,
        clock: Clock,
        note: Callable[[str], None],
        warn: Callable[[str], None],
        passed_on: Callable[[str, bool], None],
        waiting: Callable[[str, float], None],
    ) -> None:
        self._config = config
        self._state_dir = state_dir
        self._project_file = project_file
        self._clock = clock
        self._note = note
        self._warn = warn
        self._passed_on = passed_on
        self._waiting = waiting

    def up(
        self,
        *,
        add_partitions: bool,
        show: Callable[[Sequence[Building]], None] | None = None,
    ) -> Up:
        """Start the stack; create or update topic, tables, views and projections.

        Args:
            add_partitions: see `Wanted`.
            show: wait until every projection is built, and tell it what is left; None: do not.

        Raises:
            ConfigError: what is there does not fit the configuration.
            ConnectError: Kafka or ClickHouse does not answer, or an address is taken.
            WaitTimeout: a process did not get ready.
            NrtctlError: a file cannot be written, or a projection cannot be built.
        """
        wanted = Wanted("", self._config, add_partitions)
        return self.up_all([wanted], show=show)[0]

    def up_all(
        self,
        wanted: Sequence[Wanted],
        *,
        show: Callable[[Sequence[Building]], None] | None = None,
        agree: Agree = always,
    ) -> list[Up]:
        """The same for several pipelines, none of which is begun before all have been checked; of
        one with several topics, one for each of these.

        Args:
            agree: see `make_topic`.
        """
        parts = local.parts_for(each.config for each in wanted)
        before = self._running()
        try:
            return self._start_and_make(wanted, parts, show=show, agree=agree)
        except KeyboardInterrupt:
            if new := [each.title for each in self._running() if each not in before]:
                self._note(
                    f"{' and '.join(new)} run now: `nrtctl up` goes on with what was "
                    "interrupted, and `nrtctl down` stops them"
                )
            raise

    def _running(self) -> list[Part]:
        """Of the local stack."""
        return [each for each in ALL_PARTS if live(self._state_dir, each.name)]

    def _start_and_make(
        self,
        wanted: Sequence[Wanted],
        parts: Sequence[Part],
        *,
        show: Callable[[Sequence[Building]], None] | None,
        agree: Agree,
    ) -> list[Up]:
        started = self._start(parts)
        if self._config.stack_kind == "local":
            for each in wanted:
                not_loaded.refuse_to_replace(self._state_dir, each.config)
        try:
            addresses, client, wanted, checked = self._checked(wanted)
        except ConnectError:
            if self._config.stack_kind != "local":
                raise
            # A process that is killed goes on listening for some milliseconds: it looked alive.
            started = self._start(parts)
            addresses, client, wanted, checked = self._checked(wanted)
        made = []
        for number, (each, one) in enumerate(zip(wanted, checked, strict=True)):
            if number:
                one.check()  # what was created for those before is there now
            made.append(one.carry_out(add_partitions=each.add_partitions, agree=agree))

        def look(config: Config) -> list[Building]:
            return build_the_rest(client, config.clickhouse.database, config.pipeline.table)

        if show is not None:
            for each in wanted:
                wait_until_built(partial(look, each.config), show, self._clock)
        return [
            Up(
                each.name,
                addresses.bootstrap_servers,
                addresses.clickhouse_url,
                started,
                tuple(steps),
                tuple(look(each.config)),
            )
            for each, steps in zip(wanted, made, strict=True)
        ]

    def _checked(
        self, wanted: Sequence[Wanted]
    ) -> tuple[Addresses, ClickHouseClient, Sequence[Wanted], list[Bootstrap]]:
        addresses = Addresses(self._config, self._state_dir)

        @cache
        def topics() -> list[str]:
            return all_topics(self._config.kafka, address=addresses.bootstrap_servers)

        wanted = [part for each in wanted for part in each.parts(topics)]
        client = addresses.clickhouse_client()
        patient = Patient(client, waiting=self._waiting, sleep=self._clock.sleep, limit=PATIENCE)
        checked = [Bootstrap(each.config, addresses, patient) for each in wanted]
        self._check_all(wanted, checked)
        return addresses, client, wanted, checked

    def _check_all(self, wanted: Sequence[Wanted], checked: Sequence[Bootstrap]) -> None:
        """Raises ConfigError, with everything that is wrong with any of them."""
        refused: list[tuple[str, ConfigError]] = []
        for each, one in zip(wanted, checked, strict=True):
            try:
                one.check()
            except ConfigError as error:
                if not each.name:
                    raise
                refused.append((whole_name(each.name), error))
        if refused:
            message = "\n".join(
                dict.fromkeys(f"pipelines.{name}: {error.message}" for name, error in refused)
            )
            name, first = refused[0]
            load = f"nrtctl replay load --pipeline {shlex.quote(name)}"
            hint = None if first.hint is None else first.hint.replace("nrtctl replay load", load)
            raise ConfigError(message, hint=hint)

    def _start(self, parts: Sequence[Part]) -> tuple[Half, ...]:
        """Start what `stack.kind` says."""
        if self._config.stack_kind == "external":
            return ()
        return self._local(parts) if self._config.stack_kind == "local" else self._docker()

    def _local(self, parts: Sequence[Part]) -> tuple[Half, ...]:
        config, state_dir = self._config, self._state_dir
        if docker.is_up(state_dir):
            raise ConfigError(
                "this project's docker stack is running", hint="run `nrtctl down` first"
            )
        had_password = login.has_password(state_dir)
        running = local.start(config, state_dir, parts=parts, say=self._note)
        for each in running:
            if each.instead:
                self._note(
                    f"{each.instead}, so the {each.part.role} answers at {each.endpoint.address}"
                )
        self._say_who_may_connect(had_password)
        unknown = set_aside(state_dir)
        if unknown:
            self._warn(
                f"{counted(len(unknown), 'directory', 'directories')} without a known topic in "
                f"{unknown[0].parent}: `nrtctl doctor` shows details"
            )
        for text in (
            *started_with.differences(config, state_dir),
            *damage.warnings(state_dir),
            *not_loaded.warnings(state_dir),
        ):
            self._warn(text)
        return tuple(
            Half(
                each.part.title,
                each.endpoint.address,
                "started" if each.process else "running already",
            )
            for each in running
        )

    def _say_who_may_connect(self, had_password: bool) -> None:
        is_so, wanted = login.auth_of_running(self._state_dir), self._config.local.auth
        if is_so != wanted:
            self._warn(
                f"the broker was started with local.auth = {is_so!r}, but the configuration says "
                f"{wanted!r}: run `nrtctl down`, then `nrtctl up`"
            )
        elif wanted != "none" and not had_password:
            self._note(
                "a password for the broker was created. nrtctl finds it on its own; `nrtctl "
                "status --connect` prints what other users and clients need"
            )

    def _docker(self) -> tuple[Half, ...]:
        config, state_dir = self._config, self._state_dir
        if any(live(state_dir, part.name) for part in ALL_PARTS):
            raise ConfigError(
                "this project's local stack is running", hint="run `nrtctl down` first"
            )
        docker.start(config, state_dir, self._project_file, self._passed_on)
        self._passed_on(f"to start the same containers by hand: {docker.by_hand(state_dir)}", False)
        return (
            Half("Kafka", config.kafka.bootstrap_servers, "healthy"),
            Half("ClickHouse", config.clickhouse.url, "healthy"),
        )


def partitions_are_set(loaded: Loaded) -> bool:
    """Whether somebody has said how many partitions the topic should have."""
    return loaded.origin("pipeline.partitions") is not DEFAULT
