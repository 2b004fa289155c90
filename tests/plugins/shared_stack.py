"""One local stack for many tests: each finds it as `nrtctl up` leaves a new one, under every name.

Starting and stopping the two processes costs ten times what emptying them does. Nothing of a test
is left for the next: no topic, group, member, row, database, nor process. What `up` made on the
new stack is then made again by its own statements, without the checks that cost most of `up`; a
table that no test has changed or written to is still as `up` made it, and stays. A stack that a
test has stopped, killed or started anew is not lent again.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from nrtctl.local.front.__main__ import WORKING_DIRECTORY
from nrtctl.local.process import Endpoint
from tests.plugins.kafka_wire import Closed, Wire, create_topic
from tests.plugins.stack import Project

DATABASE = "nrt"
_HALVES = ("kafka", "clickhouse")
_KEPT = {*_HALVES, "logs", "stack.json", "up.lock"}
_TOPIC, _OWN = 2, 1
"""A topic among the kinds of resources, and a setting that it has itself among the sources."""

Sql = Callable[[str], list[str]]
"""Carries a statement out; the lines of the answer."""

_EMPTY_DIRECTORIES = {"deduplication_logs", "detached"}
_OF_AN_EMPTY_TABLE = {"format_version.txt", *_EMPTY_DIRECTORIES}

_SYSTEM = ("system", "information_schema", "INFORMATION_SCHEMA", "default")


class SharedStack:
    """Lends its state directory to one project at a time. Close it."""

    def __init__(self, directory: Path) -> None:
        """
        Args:
            directory: where the stacks are kept.
        """
        self._directory = directory
        self._project: Project | None = None
        self._running: tuple[Endpoint, ...] = ()
        self._made = Made((), ())

    def lend(self, to: Project) -> None:
        """Make `to`, which has its nrtctl.toml, a project whose stack is up and empty."""
        if self._project is None:
            self._project = Project(Path(tempfile.mkdtemp(dir=self._directory)))
            self._project.init()
            self._project.run("up")
            self._running = self._halves()
            self._made = self.made()
        shutil.copy(self._project.directory / "nrtctl.toml", to.directory)
        (to.directory / ".nrtctl").symlink_to(self._state)

    def take_back(self, of: Project) -> None:
        """End what the test has left running, and empty the stack, or give it up."""
        _end_processes_in(of.directory)
        if self._halves() != self._running or not self._empty():
            self.close()
        place = of.directory / ".nrtctl"
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            of.down()

    def close(self) -> None:
        if self._project is not None:
            self._project.down()
            self._project = None

    @property
    def _state(self) -> Path:
        assert self._project is not None
        return self._project.directory / ".nrtctl"

    def _halves(self) -> tuple[Endpoint, ...]:
        """What is there and runs."""
        found = [Endpoint.read(self._state / half) for half in _HALVES]
        return tuple(each for each in found if each is not None and _alive(each.pid))

    def made(self) -> Made:
        """What is in it."""
        with self._connections() as (wire, sql):
            return Made(tuple(_topics(wire)), tuple(_tables(sql)))

    def _empty(self) -> bool:
        """Whether it is as `up` left it."""
        try:
            with self._connections() as (wire, sql):
                _empty_kafka(wire)
                self._made.topics_again(wire)
                _drop_all_but(DATABASE, sql)
                self._made.tables_again(sql, self._state / "clickhouse")
        except (OSError, http.client.HTTPException, Closed, AssertionError):
            return False
        for path in self._state.iterdir():
            if path.name not in _KEPT:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return True

    @contextlib.contextmanager
    def _connections(self) -> Iterator[tuple[Wire, Sql]]:
        kafka, clickhouse = self._running
        password = (self._state / "clickhouse" / "password").read_text()
        connection = http.client.HTTPConnection(clickhouse.host, clickhouse.port, timeout=60)
        with (
            contextlib.closing(Wire(f"{kafka.host}:{kafka.port}")) as wire,
            contextlib.closing(connection),
        ):

            def sql(text: str) -> list[str]:
                target = f"/?{urlencode({'default_format': 'TSVRaw'})}"
                headers = {"X-ClickHouse-Key": password}
                connection.request("POST", target, text.encode(), headers)
                answer = connection.getresponse()
                body = answer.read().decode()
                assert answer.status == 200, body
                return body.splitlines()

            yield wire, sql


@dataclass(frozen=True, slots=True)
class Made:
    """What there is: topics with partitions and settings of their own; tables and views, in an
    order in which they can be made. Each of its methods raises AssertionError, OSError,
    HTTPException or Closed if it is not made."""

    topics: tuple[tuple[str, int, tuple[tuple[str, str], ...]], ...]
    tables: tuple[Table, ...]

    def topics_again(self, wire: Wire) -> None:
        for name, partitions, settings in self.topics:
            assert create_topic(wire, name, partitions, dict(settings)).error_code == 0

    def tables_again(self, sql: Sql, directory: Path) -> None:
        """Args: directory: ClickHouse's own."""
        there = _tables(sql)
        if {*there} != {*self.tables}:
            sql(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
            sql(f"CREATE DATABASE {DATABASE}")
            there = []
        kept = {each.name for each in there if not each.was_used(directory)}
        for each in there:
            if each.name not in kept:
                sql(f"DROP TABLE {DATABASE}.`{each.name}` SYNC")
        for each in self.tables:
            if each.name not in kept:
                sql(each.statement)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view. `path`: of its data, as ClickHouse says it; "" where it has none."""

    name: str
    path: str = field(compare=False)
    statement: str

    def was_used(self, directory: Path) -> bool:
        """Whether it holds anything, or remembers an insert or a mutation."""
        if not self.path:
            return False
        path = directory / Path(self.path).relative_to(WORKING_DIRECTORY)
        found = {each.name for each in path.iterdir()}
        return bool(found - _OF_AN_EMPTY_TABLE) or any(
            each.is_dir() or each.stat().st_size
            for name in found & _EMPTY_DIRECTORIES
            for each in (path / name).iterdir()
        )


def _topics(wire: Wire) -> Iterator[tuple[str, int, tuple[tuple[str, str], ...]]]:
    for topic in wire.call("metadata", 12, topics=None).topics:
        resource = {
            "resource_type": _TOPIC,
            "resource_name": topic.name,
            "configuration_keys": None,
        }
        answer = wire.call("describe_configs", 4, resources=[resource]).results[0]
        own = [(each.name, each.value) for each in answer.configs if each.config_source == _OWN]
        yield topic.name, len(topic.partitions), tuple(own)


def _tables(sql: Sql) -> list[Table]:
    """Views after what they are made of."""
    lines = sql(
        "SELECT name, data_paths[1], replaceAll(create_table_query, '\\n', ' ') "
        f"FROM system.tables WHERE database = '{DATABASE}' ORDER BY engine LIKE '%View', name"
    )
    return [Table(*line.split("\t", 2)) for line in lines]


def _empty_kafka(wire: Wire) -> None:
    groups = [each.group_id for each in wire.call("list_groups", 4).groups]
    for group in groups:
        described = wire.call("describe_groups", 5, groups=[group]).groups[0]
        members = [
            {"member_id": each.member_id, "group_instance_id": each.group_instance_id}
            for each in described.members
        ]
        if members:
            wire.call("leave_group", 5, group_id=group, members=members)
    if groups:
        wire.call("delete_groups", 2, groups_names=groups)
    topics = [each.name for each in wire.call("metadata", 12, topics=None).topics]
    if topics:
        named = [{"name": name} for name in topics]
        wire.call("delete_topics", 6, topics=named, timeout=10_000)
    assert not wire.call("list_groups", 4).groups
    assert not wire.call("metadata", 12, topics=None).topics


def _drop_all_but(kept: str, sql: Sql) -> None:
    for name in sql("SHOW DATABASES"):
        if name not in {*_SYSTEM, kept}:
            sql(f"DROP DATABASE `{name}` SYNC")
    for name in sql("SHOW TABLES FROM default"):
        sql(f"DROP TABLE default.`{name}` SYNC")


def _alive(pid: int) -> bool:
    """Whether it runs; one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _end_processes_in(directory: Path) -> None:
    """Those that were started there, and all that they started there."""
    deadline = time.monotonic() + 30
    while (found := [pid for pid in _processes_in(directory) if _alive(pid)]) and (
        time.monotonic() < deadline
    ):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _processes_in(directory: Path) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            with contextlib.suppress(OSError):
                if (path / "cwd").readlink() == directory:
                    found.append(int(path.name))
    return found
