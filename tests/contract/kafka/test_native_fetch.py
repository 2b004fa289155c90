"""What a member fetches by compiled code, on real brokers: the same rows as without it, and none
lost or doubled by what becomes of its partitions meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from nrtctl.clock import SystemClock
from nrtctl.clock.stop import Stop
from nrtctl.config.servers import Kafka
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients, native, native_fetch
from nrtctl.kafka.admin import AdminClient
from nrtctl.kafka.commits import Commit, Verdict
from nrtctl.kafka.membership import Group
from nrtctl.kafka.native_fetch import NativeRun, fetching
from nrtctl.kafka.topic_identity import TopicGone
from nrtctl.store.envelope import RowsEncoder
from nrtctl.store.intents import Position
from tests.contract.kafka.conftest import Broker
from tests.plugins.compiled import needs_native
from tests.plugins.waiting import eventually

pytestmark = needs_native

WITHOUT_WAKING = 60.0
"""Seconds: longer than a test may take."""


class Reader:
    """A member that keeps the rows of what it fetches, by partition and offset."""

    def __init__(self, broker: Broker, topic: str, group: str, *, native: bool = True) -> None:
        self.topic = topic
        self.rows: dict[int, dict[int, bytes]] = {}
        self.ends: dict[int, int] = {}
        self.kinds: set[type] = set()
        self.group = Group(
            lambda on_commit: clients.make_consumer(
                Kafka(),
                group,
                address=broker.bootstrap,
                on_commit=on_commit,
                properties={
                    "enable.partition.eof": True,
                    "max.partition.fetch.bytes": 2000,
                    "topic.metadata.refresh.interval.ms": 500,
                    "topic.metadata.propagation.max.ms": 0,
                },
                native=native,
            ),
            topic,
            "events",
            start="earliest",
            clock=SystemClock(),
            stop=Stop(),
            waiting=lambda reason, seconds: None,
            note=lambda text: None,
            address=broker.bootstrap,
        )
        self.group.subscribe(self._assigned, lambda numbers: None, lambda numbers: None)

    def _assigned(self, positions: Mapping[int, Position]) -> None:
        for number in positions:
            self.rows.setdefault(number, {})

    def fetch(self, most: int = 100, seconds: float = 0.05) -> None:
        for run in self.group.fetch(most, seconds):
            encode = RowsEncoder(self.topic, 1, run.partition)
            if run.end is not None:
                self.ends[run.partition] = run.end
            if not run.offsets:
                continue
            self.kinds.add(type(run))
            rows = run.rows(encode, len(run.offsets))
            assert sum(rows.sizes) == len(rows.piece)
            at = 0
            for offset, size in zip(run.offsets, rows.sizes, strict=True):
                assert offset not in self.rows[run.partition], "an offset came twice"
                self.rows[run.partition][offset] = rows.piece[at : at + size]
                at += size

    def fetch_until(self, condition: Callable[[], bool]) -> None:
        def fetched() -> bool:
            self.fetch()
            return condition()

        eventually(fetched, "what it fetches for")

    def close(self) -> None:
        with suppress(RuntimeError):  # it is closed
            self.group.close()


@pytest.fixture
def read(broker: Broker, group: str) -> Iterator[Callable[..., Reader]]:
    made: list[Reader] = []

    def reader(topic: str, *, named: str = group, native: bool = True) -> Reader:
        made.append(Reader(broker, topic, named, native=native))
        return made[-1]

    yield reader
    for each in made:
        each.close()


def produced(broker: Broker, topic: str, count: int, partitions: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "lz4"})
    for at in range(count):
        producer.produce(topic, b"value %d" % at, partition=at % partitions)
    assert producer.flush(60) == 0


def test_the_rows_are_those_that_are_made_without_it(
    broker: Broker, new_topic: Callable[..., str], read: Callable[..., Reader], group: str
) -> None:
    topic = new_topic(2)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "zstd"})
    several: list[list[tuple[str, str | bytes | None]]] = [
        [], [("a", None)], [("a", b""), ("a", b"\x00\xff"), ("", b"v" * 300)],
    ]  # fmt: skip
    for value in (b"{}", b"", None, b"x" * 127, b"x" * 128, b"x" * 16_384, bytes(range(256)) * 9):
        for key in (None, b"", b"key", b"\xff" * 200):
            for headers in several:
                time = 0 if key is None else 1_767_225_600_123
                number = len(value or b"") % 2
                producer.produce(
                    topic, value, key, partition=number, headers=headers, timestamp=time
                )
    assert producer.flush(60) == 0
    transactional = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": group})
    transactional.init_transactions(30)
    for ended in (transactional.abort_transaction, transactional.commit_transaction):
        transactional.begin_transaction()
        transactional.produce(topic, ended.__name__.encode(), partition=0)
        ended(30)
    found = {}
    for is_native in (True, False):
        reader = read(topic, named=f"{group}-{is_native}", native=is_native)
        reader.fetch_until(lambda reader=reader: len(reader.ends) == 2)  # type: ignore[misc]
        assert (reader.kinds == {NativeRun}) is is_native
        found[is_native] = (reader.rows, reader.ends)
        reader.close()
    assert found[True] == found[False]
    rows, _ = found[True]
    assert sum(map(len, rows.values())) == 85
    assert any(b"commit_transaction" in row for row in rows[0].values())


def test_nothing_is_lost_or_doubled_where_fetching_rests_and_goes_back(
    broker: Broker, new_topic: Callable[..., str], read: Callable[..., Reader]
) -> None:
    topic = new_topic(3)
    produced(broker, topic, 3000, 3)
    reader = read(topic)
    reader.fetch_until(lambda: sum(map(len, reader.rows.values())) > 300)
    reader.group.pause()
    for _ in range(3):
        reader.fetch(1)
    produced(broker, topic, 300, 3)
    reader.group.resume()
    reader.fetch_until(lambda: len(reader.rows[1]) > 400)
    reader.rows[1] = {offset: row for offset, row in reader.rows[1].items() if offset < 7}
    reader.group.seek(1, 7)
    reader.fetch_until(lambda: all(reader.ends.get(number) == 1100 for number in range(3)))
    assert {n: list(rows) for n, rows in reader.rows.items()} == {
        number: list(range(1100)) for number in range(3)
    }


def test_partitions_that_move_between_members_are_fetched_from_where_they_stand(
    broker: Broker, new_topic: Callable[..., str], read: Callable[..., Reader]
) -> None:
    topic = new_topic(4)
    produced(broker, topic, 4000, 4)
    one = read(topic)
    one.fetch_until(lambda: sum(map(len, one.rows.values())) > 100)
    other = read(topic)

    def shared() -> bool:
        one.fetch()
        return len(other.group.assigned) == len(one.group.assigned) == 2

    other.fetch_until(shared)
    moved = set(other.group.assigned)
    other.close()
    for number in moved:  # it comes back, and nothing was committed
        one.rows[number] = {}
    one.fetch_until(lambda: all(len(rows) == 1000 for rows in one.rows.values()))
    assert len(one.rows) == 4


def test_what_is_not_a_message_ends_the_wait_for_one(
    broker: Broker, new_topic: Callable[..., str], read: Callable[..., Reader]
) -> None:
    topic = new_topic()
    reader = read(topic)
    reader.fetch_until(lambda: reader.ends == {0: 0})
    verdicts: list[Verdict] = []
    reader.group.commit([Commit(0, 0)], lambda _: lambda verdict, why: verdicts.append(verdict))
    reader.fetch(100, WITHOUT_WAKING)
    assert verdicts == [Verdict.COMMITTED]
    produced(broker, topic, 1, 1)
    reader.fetch(100, WITHOUT_WAKING)
    assert list(reader.rows[0]) == [0]


def test_a_message_that_comes_another_way_ends_the_run(
    broker: Broker, topic: str, read: Callable[..., Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place among the others of its partition is not known."""
    produced(broker, topic, 1, 1)
    monkeypatch.setattr(native_fetch.FetchQueue, "add", lambda self, partitions: None)
    reader = read(topic)
    with pytest.raises(NrtctlError, match="their order is not certain"):
        reader.fetch_until(lambda: bool(reader.rows.get(0)))


def test_a_client_takes_plugins_of_the_user_too(broker: Broker, topic: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.so")
    settings = Kafka(properties={"plugin.library.paths": missing})
    with pytest.raises(NrtctlError, match=r"missing\.so"):
        clients.make_consumer(settings, "g", address=broker.bootstrap, native=True)


def test_without_the_compiled_code_a_client_is_as_ever(
    broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken").write_bytes(b"no library")
    for name in ("broken", "missing"):
        monkeypatch.setattr(native, "LIBRARY", tmp_path / name)
        native.native.cache_clear()
        fetching.cache_clear()
        consumer: Any = clients.make_consumer(Kafka(), "g", address=broker.bootstrap, native=True)
        assert native_fetch.queue_of(consumer, topic) is None
        consumer.assign([TopicPartition(topic, 0, 0)])
        consumer.close()
    monkeypatch.undo()
    native.native.cache_clear()
    fetching.cache_clear()


def test_messages_are_not_read_after_the_next_fetch(
    broker: Broker, topic: str, read: Callable[..., Reader]
) -> None:
    produced(broker, topic, 1, 1)
    group = read(topic).group
    runs = eventually(lambda: group.fetch(100, 0.1), "the message")
    encode = RowsEncoder(topic, 1, 0)
    with pytest.raises(ValueError, match="2 is not a number of these messages"):
        runs[0].rows(encode, 2)
    assert runs[0].rows(encode, 1).sizes[0] > 0
    group.fetch(100, 0)
    with pytest.raises(ValueError, match="not held any more"):
        runs[0].rows(encode, 1)


def test_a_partition_whose_offset_is_gone_is_fetched_on_from_where_it_is_told(
    broker: Broker, new_topic: Callable[..., str], read: Callable[..., Reader]
) -> None:
    """The client has given it up, and is assigned it anew."""
    topic = new_topic()
    produced(broker, topic, 50, 1)
    reader = read(topic)
    reader.fetch_until(lambda: len(reader.rows.get(0, {})) == 50)
    reader.group.seek(0, 7000)
    reader.fetch_until(lambda: reader.group.out_of_range == {0})
    reader.rows[0] = {}
    reader.group.seek(0, 30)
    reader.fetch_until(lambda: list(reader.rows[0]) == list(range(30, 50)))


@pytest.mark.parametrize("native", [True, False])
def test_a_topic_that_goes_ends_the_run_with_an_error(
    broker: Broker, new_topic: Callable[..., str], read: Callable[..., Reader], native: bool
) -> None:
    """The client says so of each partition, too: to those who can hear it."""
    topic = new_topic(2)
    produced(broker, topic, 2, 2)
    reader = read(topic, native=native)
    reader.fetch_until(lambda: len(reader.ends) == 2)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    with pytest.raises(TopicGone):
        reader.fetch_until(lambda: False)
