"""What the consumer tells: counted by batch, the same as counting each record by hand."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from nrtctl.clickhouse.client import ClickHouseGone
from nrtctl.clock import ManualClock
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.observer import Summary
from nrtctl.consumer.partition import Partition
from nrtctl.metrics.consumer import STALLED_SECONDS, ConsumerMetrics
from nrtctl.metrics.latency import BatchHistogram
from nrtctl.metrics.stored import MAX_RANGES, StoredCounts
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import Rows, RowsEncoder, row_encoder, timestamps
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.target import Target

TOPIC = "t" * 200


@given(st.lists(st.integers(-5, 2**45), max_size=30))
def test_time_stamps_are_read_back(stamps: list[int]) -> None:
    encode = row_encoder(TOPIC, 1, 3)
    rows = [encode(at, stamp, b"k" * 300, None) for at, stamp in enumerate(stamps)]
    sizes = [len(row) for row in rows]
    found = [max(0, stamp) for stamp in stamps]
    assert list(timestamps(TOPIC, b"".join(rows), sizes)) == found
    assert list(timestamps(TOPIC, b"".join(rows), sizes[:1])) == found[:1]


NOW = 1_700_000_000_000
EDGES = (0.01, 0.5, 1.0, 60.0)


@given(st.lists(st.lists(st.integers(-2000, 100_000), max_size=20), max_size=4))
def test_a_batch_at_once_is_as_one_by_one(batches: list[list[int]]) -> None:
    histogram = BatchHistogram("nrtctl_x_seconds", "X.", EDGES)
    for ages in batches:
        histogram.add(array("q", [NOW - age for age in ages] + [0]), NOW)
    seconds = [max(0, age) / 1000 for ages in batches for age in ages]
    registry = CollectorRegistry()
    registry.register(histogram)
    for edge in EDGES:
        found = registry.get_sample_value("nrtctl_x_seconds_bucket", {"le": str(edge)})
        assert found == sum(each <= edge for each in seconds)
    assert registry.get_sample_value("nrtctl_x_seconds_count") == len(seconds)
    assert registry.get_sample_value("nrtctl_x_seconds_sum") == pytest.approx(sum(seconds))


class Inner:
    def __init__(self) -> None:
        self.told: list[str] = []

    def stored(self, batches: Sequence[Batch], stored: Stored) -> None:
        self.told.append("stored")

    def note(self, text: str) -> None:
        self.told.append(text)

    def turned(self, partitions: object, group: object) -> None:
        self.told.append("turned")

    def waiting(self, reason: str, seconds: float) -> None:
        self.told.append(reason)


class Counting:
    def __init__(self) -> None:
        self.gone: str | None = None
        self.added: list[tuple[int, OffsetRange]] = []

    def add(self, partition: int, span: OffsetRange) -> None:
        self.added.append((partition, span))


class Membership:
    def __init__(self, ends: Mapping[int, int | None], joined: bool = True) -> None:
        self.ends = ends
        self.joined = joined
        self.rests = False

    def log_end(self, partition: int) -> int | None:
        return self.ends[partition]


UP = '{"brokers": {"a": {"state": "UP"}, "b": {"state": "DOWN"}}}'
DOWN = '{"brokers": {"a": {"state": "TRY_CONNECT"}}}'


class World:
    def __init__(self, batch_wait: float = 0.5) -> None:
        self.clock = ManualClock(NOW / 1000)
        self.registry = CollectorRegistry()
        self.inner, self.counting = Inner(), Counting()
        self.metrics = ConsumerMetrics(
            TOPIC,
            self.inner,
            self.counting,
            self.registry,
            clock=self.clock,
            stale=30.0,
            batch_wait=batch_wait,
        )

    def value(self, name: str, partition: int | None = None) -> float | None:
        labels = {} if partition is None else {"topic": TOPIC, "partition": str(partition)}
        return self.registry.get_sample_value(name, labels)

    def turn(self, state: Mapping[int, Partition], ends: Mapping[int, int | None]) -> None:
        self.clock.advance(1)
        self.metrics.turned(state, Membership(ends))

    def lag(self, partition: int) -> tuple[float | None, float | None]:
        return (
            self.value("nrtctl_consumer_unstored_records", partition),
            self.value("nrtctl_consumer_unstored_seconds", partition),
        )


def partition(number: int, stored: int = 10, ended: bool = False) -> Partition:
    encode = RowsEncoder(TOPIC, 1, number)
    return Partition(
        PartitionBuffer(number, stored, "e"), encode, stored, stored, Mode.RESUME, None, ended
    )


def batch(stamps: Sequence[int], start: int = 0) -> Batch:
    encode = row_encoder(TOPIC, 1, 0)
    rows = [encode(start + at, stamp, None, b"v") for at, stamp in enumerate(stamps)]
    offsets = list(range(start, start + len(rows)))
    return Batch.of_rows(0, "e", OffsetRange(start, start + len(rows)), offsets, rows)


def test_a_batch() -> None:
    world = World()
    world.metrics.stored([batch([NOW - 300, NOW - 40])], Stored(0.07))
    world.metrics.stored([batch([NOW - 3], start=2)], Stored(3.0))
    assert world.value("nrtctl_records_consumed_total", 0) == 3
    assert world.value("nrtctl_batch_rows_count") == 2
    assert world.value("nrtctl_batch_rows_sum") == 3
    assert world.value("nrtctl_insert_duration_seconds_sum") == pytest.approx(3.07)
    assert world.value("nrtctl_end_to_end_latency_seconds_sum") == pytest.approx(0.343)
    assert world.counting.added == [(0, OffsetRange(0, 2)), (0, OffsetRange(2, 3))]
    assert world.inner.told == ["stored", "stored"]


def test_what_others_had_stored_is_counted_as_the_summary_counts_it() -> None:
    world, summary = World(), Summary()
    for told, stored in (
        (batch([NOW - 900] * 4), Stored(0.1, before=4)),
        (batch([NOW - 800] * 4, start=4), Stored(0.1, before=1)),
        (batch([NOW - 40] * 3, start=8), Stored(0.1)),
    ):
        world.metrics.stored([told], stored)
        summary.add([told], stored)
    assert world.value("nrtctl_records_consumed_total", 0) == summary.records == 6
    assert world.value("nrtctl_records_resolved_total", 0) == summary.resolved == 5
    assert world.counting.added == [(0, OffsetRange(8, 11))]
    assert summary.spans == {0: [OffsetRange(8, 11)]}
    assert world.value("nrtctl_end_to_end_latency_seconds_count") == 3
    assert world.value("nrtctl_batch_rows_count") == summary.inserts == 3


def test_lag_of_what_is_buffered_under_way_unseen_and_nothing() -> None:
    world = World()
    states = {number: partition(number) for number in range(5)}
    rows = states[0].encode([10], [NOW - 4000], [None], [None], [b"v"])
    states[0].buffer.extend([10], Rows.of(rows), 0.0)
    states[1].batch = batch([NOW - 7000, NOW], start=10)
    states[3].ended = True
    ends = {0: 15, 1: 12, 2: 20, 3: 11, 4: None}
    world.turn(states, ends)
    assert world.lag(0) == (5, 5.0)
    assert world.lag(1) == (2, 8.0)
    assert world.lag(2) == (10, 0.0)
    assert world.lag(3) == (0, 0.0)
    assert world.lag(4) == (0, 0.0)
    world.turn(states, ends)
    assert world.lag(2) == (10, 1.0)
    assert world.value("nrtctl_consumer_assigned_partitions") == 5
    del states[0]
    world.turn(states, ends)
    assert world.lag(0) == (None, None)


def test_the_lag_is_measured_once_a_second_however_often_it_turns() -> None:
    world = World()
    states = {0: partition(0)}
    world.turn(states, {0: 20})
    for _ in range(100):
        world.clock.advance(0.001)
        world.metrics.turned(states, Membership({0: 30}))
    assert world.lag(0)[0] == 10
    world.turn(states, {0: 30})
    assert world.lag(0)[0] == 20


def test_ready_is_joined_connected_to_both_and_not_stalled() -> None:
    world = World()
    world.counting.gone = "ClickHouse does not answer"
    assert len(world.metrics.health.ready()) == 3
    world.metrics.statistics(DOWN)
    world.turn({}, {})
    assert world.metrics.health.ready() == ["Kafka does not answer", "ClickHouse does not answer"]
    world.metrics.statistics(UP)
    world.counting.gone = None
    assert world.metrics.health.ready() == []
    states = {0: partition(0)}
    world.turn(states, {0: 20})
    world.clock.advance(STALLED_SECONDS + 1)
    assert "stalled" in world.metrics.health.ready()[0]
    world.metrics.stored([batch([NOW])], Stored(0.1))
    assert world.metrics.health.ready() == []
    world.clock.advance(STALLED_SECONDS + 1)
    world.turn(states, {0: 10})
    assert world.metrics.health.ready() == []
    paused = Membership({0: 20})
    paused.rests = True
    world.clock.advance(STALLED_SECONDS + 1)
    world.metrics.turned(states, paused)
    assert world.metrics.health.ready() == []


def test_a_batch_that_may_wait_long_is_no_stall() -> None:
    world = World(batch_wait=180.0)
    world.counting.gone = None
    world.metrics.statistics(UP)
    world.turn({0: partition(0)}, {0: 20})
    world.clock.advance(3 * 180 - 1)
    assert world.metrics.health.ready() == []
    world.clock.advance(1)
    assert "stalled" in world.metrics.health.ready()[0]


def test_waiting_for_kafka_is_a_sign_of_life_an_inserting_thread_is_not() -> None:
    world = World()
    world.turn({}, {})
    world.clock.advance(40)
    thread = threading.Thread(target=world.metrics.waiting, args=("ClickHouse", 1.0))
    thread.start()
    thread.join()
    assert world.metrics.health.alive()
    world.metrics.waiting("Kafka", 1.0)
    assert not world.metrics.health.alive()
    assert world.value("nrtctl_consumer_waits_total") == 2


class Server:
    """Answers as ClickHouse would: every seventh offset is a dead letter."""

    def __init__(self) -> None:
        self.fail = 0
        self.asked: list[str] = []

    def query(self, sql: str, parameters: Any = None, settings: Any = None) -> list[Any]:
        assert settings["readonly"] == 2
        if self.fail:
            self.fail -= 1
            raise ClickHouseGone("gone")
        self.asked.append(sql)
        if "system.parts" in sql:
            return [(4,)]
        spans = [part.partition(" AND _offset < ") for part in sql.split("_offset >= ")[1:]]
        offsets = [n for a, _, b in spans for n in range(int(a), int(b.partition(")")[0]))]
        bad = sum(n % 7 == 0 for n in offsets)
        if "letters" in sql:
            return [("not JSON", bad)] if bad else []
        return [(len(offsets) - bad,)]

    def close(self) -> None: ...


def counts(server: Server) -> tuple[StoredCounts, CollectorRegistry]:
    registry = CollectorRegistry()
    target = Target("t", "db", "landing", "events", "letters", {}, 1)
    return StoredCounts(target, lambda: server, registry), registry


def test_each_range_is_counted_once_whatever_fails() -> None:
    server = Server()
    made, registry = counts(server)
    for start in range(0, 700, 100):
        made.add(0, OffsetRange(start, start + 100))
        made.add(1, OffsetRange(2 * start, 2 * start + 50))
        for fail in (1, 2, 3, 0):
            server.fail = fail if start % 200 else 0
            try:
                made.look()
            except ClickHouseGone:
                server.fail = 0
    offsets = [*range(700), *(n for s in range(0, 1400, 200) for n in range(s, s + 50))]
    bad = sum(n % 7 == 0 for n in offsets)
    rows = registry.get_sample_value("nrtctl_rows_inserted_total", {"table": "events"})
    letters = registry.get_sample_value(
        "nrtctl_records_dead_lettered_total", {"reason": "not JSON"}
    )
    assert (rows, letters) == (len(offsets) - bad, bad)
    parts = registry.get_sample_value("nrtctl_clickhouse_active_parts", {"table": "events"})
    assert parts == 4


def test_ranges_that_follow_each_other_are_one_and_a_query_is_bounded() -> None:
    server = Server()
    made, _ = counts(server)
    for start in range(0, 10_000, 10):
        made.add(0, OffsetRange(start, start + 10))
    made.look()
    assert [sql.count("_offset >=") for sql in server.asked[1:]] == [1, 1]
    server.asked.clear()
    for start in range(0, 10 * (MAX_RANGES + 5), 10):
        made.add(0, OffsetRange(start, start + 5))
    made.look()
    assert [sql.count("_offset >=") for sql in server.asked[1:]] == [
        MAX_RANGES, MAX_RANGES, 5, 5,
    ]  # fmt: skip
