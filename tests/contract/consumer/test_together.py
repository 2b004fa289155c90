"""What an insert of several partitions rests on, in the real engine: one block, one token."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient, ClickHouseGone
from nrtctl.clock import SystemClock
from nrtctl.config.model import Batch as Limits
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import COLUMNS, row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.writer import Writer
from tests.plugins.pipeline_engine import Engine

FIELDS = {"x": "UInt8"}
MOST = Limits().max_rows


def good(offset: int) -> bytes:
    return b'{"x":1}'


def bad(offset: int) -> bytes:
    return b"no JSON"


def mixed(offset: int) -> bytes:
    return bad(offset) if offset % 3 == 0 else good(offset)


def rows(engine: Engine, partition: int, count: int, value: Callable[[int], bytes] = good) -> bytes:
    encode = row_encoder(engine.pipeline.topic, 1, partition)
    return b"".join(encode(offset, 1, b"k", value(offset)) for offset in range(count))


def put(engine: Engine, token: str, *bodies: bytes) -> None:
    settings = {**INSERT_SETTINGS, "insert_deduplication_token": token}
    table = f"{engine.database}.{engine.pipeline.landing}"
    engine.client.insert(table, COLUMNS, b"".join(bodies), settings)


def held(engine: Engine) -> list[dict[int, int]]:
    """Rows and dead letters by partition; each offset once."""
    found = []
    for table in (engine.pipeline.table, engine.pipeline.dead_letters):
        counts = engine.query(
            f"SELECT _partition, count(), uniqExact(_offset) FROM {{db}}.{table} GROUP BY 1"
        )
        assert all(count == distinct for _, count, distinct in counts), counts
        found.append({partition: count for partition, count, _ in counts})
    return found


@pytest.mark.parametrize("count", [MOST, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_an_insert_is_one_block_whatever_its_size(engine: Engine, count: int) -> None:
    """Else its second block could bring the rows of a partition that were sent alone meanwhile."""
    engine.up(fields=FIELDS)
    engine.client.command(f"SYSTEM STOP MERGES {engine.database}.events")
    put(engine, "T", rows(engine, 0, count // 2), rows(engine, 1, count // 2, mixed))
    parts = engine.query(
        "SELECT table, count(), sum(rows) FROM system.parts "
        "WHERE database = '{db}' AND active GROUP BY table ORDER BY table"
    )
    letters = len(range(0, count // 2, 3))
    assert parts == [("dead_letters", 1, letters), ("events", 1, count - letters)]


@pytest.mark.parametrize(("first", "second"), [(good, good), (bad, good), (mixed, mixed)])
def test_a_whole_that_lands_late_brings_no_row_of_who_was_sent_alone(
    engine: Engine, first: Callable[[int], bytes], second: Callable[[int], bytes]
) -> None:
    engine.up(fields=FIELDS)
    zero, one = rows(engine, 0, MOST - 20, first), rows(engine, 1, 20, second)
    put(engine, "T", one)
    alone = [found.get(1, 0) for found in held(engine)]
    assert sum(alone) == 20
    put(engine, "T", zero, one)
    assert [found.get(1, 0) for found in held(engine)] == alone


def test_one_that_finds_the_token_spent_by_another_goes_under_its_own(engine: Engine) -> None:
    engine.up(fields=FIELDS)
    zero, one = rows(engine, 0, 10), rows(engine, 1, 20)
    put(engine, "T", zero)
    put(engine, "T", one)
    assert held(engine) == [{0: 10}, {}]
    put(engine, "T/r1", one)
    put(engine, "T", zero, one)
    assert held(engine) == [{0: 10, 1: 20}, {}]


def test_alone_after_the_whole_is_dropped(engine: Engine) -> None:
    engine.up(fields=FIELDS)
    zero, one = rows(engine, 0, 9, mixed), rows(engine, 1, 20)
    put(engine, "T", zero, one)
    put(engine, "T", one)
    put(engine, "T", zero)
    assert held(engine) == [{0: 6, 1: 20}, {0: 3}]


def test_table_partitions_keep_the_token_each(engine: Engine) -> None:
    """Rows in a table partition that the first insert did not touch land; counting tells."""
    engine.up(fields=FIELDS, partition_by="x")

    def other(offset: int) -> bytes:
        return json.dumps({"x": offset % 2}).encode()

    put(engine, "T", rows(engine, 0, 10))
    put(engine, "T", rows(engine, 1, 20, other))
    assert held(engine) == [{0: 10, 1: 10}, {}]
    put(engine, "T", rows(engine, 0, 10), rows(engine, 1, 20, other))
    assert held(engine) == [{0: 10, 1: 10}, {}]


class Cut:
    """The client, whose first insert is cut off before it is carried out, or after."""

    def __init__(self, client: ClickHouseClient, *, after: bool) -> None:
        self._client = client
        self._after = after
        self.inserts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert(self, *given: Any) -> None:
        self.inserts += 1
        if self.inserts > 1 or self._after:
            self._client.insert(*given)
        if self.inserts == 1:
            raise ClickHouseGone("cut off")


def batch(engine: Engine, partition: int, count: int) -> Batch:
    encode = row_encoder(engine.pipeline.topic, 1, partition)
    each = [encode(offset, 1, b"k", mixed(offset)) for offset in range(count)]
    return Batch.of_rows(partition, "e", OffsetRange(0, count), range(count), each, "ab")


def writer(engine: Engine, storage: Cut) -> Writer:
    line = engine.pipeline
    names = (line.landing, line.table, line.dead_letters)
    return Writer(
        Target(line.topic, engine.database, *names, INSERT_SETTINGS, 1),
        storage,
        declare=lambda partition, span, look: SystemClock().monotonic(),
        lease=60.0,
        clock=SystemClock(),
        pressure=Pressure(engine.database, (line.table,), SystemClock()),
        waiting=lambda reason, seconds: None,
    )


@pytest.mark.parametrize("after", [True, False])
def test_a_doubt_about_all_is_settled_by_one_more_insert_and_one_count(
    engine: Engine, after: bool
) -> None:
    engine.up(fields=FIELDS)
    cut = Cut(engine.client, after=after)
    both = [batch(engine, 0, 9), batch(engine, 1, 20)]
    assert writer(engine, cut).write_together(both, None, Event())
    assert cut.inserts == 2
    assert held(engine) == [{0: 6, 1: 13}, {0: 3, 1: 7}]


def test_where_the_token_was_spent_by_another_each_is_stored_alone(engine: Engine) -> None:
    engine.up(fields=FIELDS)
    zero, one = batch(engine, 0, 9), batch(engine, 1, 20)
    put(engine, f"{engine.pipeline.topic}/~ab", *one.pieces)
    cut = Cut(engine.client, after=False)
    sender = writer(engine, cut)
    assert not sender.write_together([zero, one], None, Event())
    for each in (zero, one):
        sender.write(each, Mode.NEW, None, Event())
    assert held(engine) == [{0: 6, 1: 13}, {0: 3, 1: 7}]


def test_the_count_reads_the_ranges_and_not_the_table(engine: Engine) -> None:
    engine.up(fields=FIELDS)
    table = f"{engine.database}.events"
    engine.client.command(
        f"INSERT INTO {table} (x, _topic, _partition, _offset, _timestamp) "
        f"SELECT 1, '{engine.pipeline.topic}', number % 4, intDiv(number, 4), now64(3) "
        "FROM numbers(1000000)"
    )
    read: list[int] = []

    class Asked(Cut):
        def query(self, sql: str) -> list[tuple[Any, ...]]:
            answer = self._client.ask(sql)
            read.append(answer.read_rows)
            return answer.rows

    spans = [OffsetRange(1000, 1200), OffsetRange(200_000, 200_200)]
    both = [
        Batch(partition, "e", span, range(span.start, span.end), (), (), "ab")
        for partition, span in enumerate(spans)
    ]
    assert writer(engine, Asked(engine.client, after=False))._all_counted(both, Event())
    assert 400 <= read[-1] < 100_000
