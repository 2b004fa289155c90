"""Several pipelines: with the connections of one, and none hides the others."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nrtctl.config.load import Loaded, load_pipelines
from nrtctl.config.model import Config
from nrtctl.errors import ConnectError, NrtctlError, QueryError
from nrtctl.kafka.oldest import Place
from nrtctl.kafka.partitions import LogPartition
from nrtctl.stats.kafka_side import KafkaLook
from nrtctl.stats.snapshot import Group, Member
from nrtctl.stats.watchers import MOST_THREADS, Watchers

NAMES = [f"p{number}" for number in range(20)]


@dataclass
class Answer:
    rows: list[tuple[Any, ...]]
    columns: tuple[str, ...] = ()
    read_rows: int = 0
    seconds: float = 0.0


@dataclass
class World:
    """A Kafka and a ClickHouse of `NAMES`, and what they were asked."""

    kafka: NrtctlError | None = None
    clickhouse: NrtctlError | None = None
    without_topic: str = ""
    without_table: str = ""
    admins: int = 0
    metadata: int = 0
    kafka_asked: list[str] = field(default_factory=list)
    read: list[set[Place]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def make_admin(self, *_: object, **__: object) -> object:
        self.admins += 1
        return object()

    def cluster_metadata(self, *_: object, **__: object) -> None:
        self.metadata += 1
        if self.kafka is not None:
            raise self.kafka

    def look(self, config: Config, *_: object, **__: object) -> KafkaLook:
        topic = config.pipeline.topic
        with self.lock:
            self.kafka_asked.append(topic)
        if topic == self.without_topic:
            raise NrtctlError(f"topic {topic!r} does not exist")
        member = Member("m", "c", "h", [0])
        log = LogPartition(0, 0, 10, 4, "")
        return KafkaLook(topic, [log], Group(config.consumer.group, "stable", [member]), {})

    def connect(self, **_: object) -> World:
        if self.clickhouse is not None:
            raise self.clickhouse
        with self.lock:
            self.opened += 1
        return self

    def query(self, *_: object) -> list[tuple[Any, ...]]:
        if self.clickhouse is not None:
            raise self.clickhouse
        return [(1,)]

    def ask(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Answer:
        if self.without_table and f".{self.without_table} " in sql:
            raise QueryError(f"Table {self.without_table} does not exist", 60)
        if "'rows'" in sql:
            return Answer([("rows", "0", 5, 10)])
        if "merge_tree_settings" in sql:
            return Answer([("parts_to_delay_insert", 1000), ("parts_to_throw_insert", 3000)])
        return Answer([(5, [1.0, 2.0, 3.0], 1, 5)])

    def close(self) -> None:
        with self.lock:
            self.closed += 1


class Reader:
    """In place of `OldestRecords`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def times(self, wanted: Collection[Place]) -> dict[Place, float]:
        self._world.read.append(set(wanted))
        return dict.fromkeys(wanted, 1.0)

    def close(self) -> None:
        pass


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    at = "nrtctl.stats.connections"
    monkeypatch.setattr(f"{at}.clients.make_admin", made.make_admin)
    monkeypatch.setattr(f"{at}.topics.cluster_metadata", made.cluster_metadata)
    monkeypatch.setattr(f"{at}.kafka_side.look", made.look)
    monkeypatch.setattr(f"{at}.Addresses.clickhouse_client", made.connect)
    monkeypatch.setattr(f"{at}.OldestRecords", lambda *_, **__: Reader(made))
    monkeypatch.setattr("nrtctl.stats.watcher.lost", lambda *_: [])
    return made


@pytest.fixture
def pipelines(tmp_path: Path) -> list[Loaded]:
    text = "[kafka]\nbootstrap_servers='kafka.example:9092'\n"
    text += "[clickhouse]\nurl='http://clickhouse.example:8123'\n"
    text += "".join(f"[pipelines.{name}.fields]\nid = 'UInt64'\n" for name in NAMES)
    (tmp_path / "nrtctl.toml").write_text(text)
    return load_pipelines(cwd=tmp_path, environ={"HOME": str(tmp_path)})


@pytest.fixture
def watchers(world: World, pipelines: list[Loaded]) -> Iterator[Watchers]:
    made = Watchers(pipelines, window=60)
    yield made
    made.close()
    assert world.closed == world.opened


def test_all_share_one_client_of_kafka_and_few_connections(
    world: World, watchers: Watchers
) -> None:
    for _ in range(3):
        shots = watchers.look()
    assert list(shots) == NAMES
    assert {shot.stored for shot in shots.values()} == {5}
    assert {shot.lag_records for shot in shots.values()} == {6}
    assert all((shot.lag_seconds or 0) > 0 for shot in shots.values())
    assert world.admins == 1
    assert sorted(world.kafka_asked) == sorted(NAMES * 3)
    assert world.opened <= MOST_THREADS
    assert world.read == [{(name, 0, 4) for name in NAMES}] * 3, "once a look, for all together"
    assert watchers.failed == {}


def test_one_without_a_topic_and_one_without_a_table_hide_no_other(
    world: World, watchers: Watchers
) -> None:
    world.without_topic, world.without_table = "p3", "p5"
    shots = watchers.look_for_rates(0)
    assert list(watchers.failed) == ["p3", "p5"]
    for name, shot in shots.items():
        assert (shot.stored is None) == (name == "p5"), name
        assert (shot.lag_records is None) == (name == "p3"), name
    assert shots["p3"].verdict.cause == "topic 'p3' does not exist"
    assert shots["p5"].verdict.cause == "Table p5 does not exist"
    assert {shots[name].verdict.state for name in ("p3", "p5")} == {"unknown"}
    assert world.admins == 1, "what one lacks is no reason for new connections to Kafka"


def test_a_server_that_is_gone_is_waited_for_once(world: World, watchers: Watchers) -> None:
    world.kafka = ConnectError("Kafka does not answer")
    shots = watchers.look()
    assert {shot.verdict.state for shot in shots.values()} == {"Kafka gone"}
    assert {shot.stored for shot in shots.values()} == {5}
    assert (world.metadata, world.kafka_asked) == (1, [])
    world.kafka, world.clickhouse = None, ConnectError("ClickHouse does not answer")
    shots = watchers.look()
    assert {shot.verdict.state for shot in shots.values()} == {"ClickHouse gone"}
    assert {shot.lag_records for shot in shots.values()} == {6}
    world.clickhouse = None
    assert all(shot.stored == 5 and not shot.errors for shot in watchers.look().values())


def test_a_single_pipeline_has_clients_of_its_own(world: World, pipelines: list[Loaded]) -> None:
    assert Watchers(pipelines[:1], window=60)._servers is None
