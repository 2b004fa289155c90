"""Inserts that the real engine does not take at once: they are stored nevertheless, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient, ClickHouseGone
from nrtctl.clickhouse.error_codes import GROUPS
from nrtctl.clock import SystemClock
from nrtctl.config.servers import ClickHouse
from nrtctl.errors import NrtctlError
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.store.batch import Batch
from nrtctl.store.envelope import row_encoder
from nrtctl.store.intents import OffsetRange
from nrtctl.store.intents.delivery import Mode
from nrtctl.store.pressure import Pressure
from nrtctl.store.target import Target
from nrtctl.store.writer import Writer
from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.pipeline_engine import Engine


class Cut:
    """The client; the answers to the inserts of these numbers get lost."""

    def __init__(self, client: ClickHouseClient, *lost: int) -> None:
        self._client = client
        self._lost = lost
        self.inserts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert(self, *given: Any) -> None:
        self.inserts += 1
        self._client.insert(*given)
        if self.inserts in self._lost:
            raise ClickHouseGone("cut off")


def write(
    engine: Engine,
    storage: Cut,
    values: list[bytes],
    settings: Mapping[str, Any],
    mode: Mode = Mode.NEW,
    span: OffsetRange | None = None,
) -> None:
    line = engine.pipeline
    encode = row_encoder(line.topic, 1, 0)
    rows = [encode(offset, 1, b"k", value) for offset, value in enumerate(values)]
    batch = Batch.of_rows(0, "e", span or OffsetRange(0, len(rows)), range(len(rows)), rows)
    Writer(
        Target(
            line.topic,
            engine.database,
            line.landing,
            line.table,
            line.dead_letters,
            {**INSERT_SETTINGS, **settings},
            1,
        ),
        storage,
        declare=lambda partition, span, look: SystemClock().monotonic(),
        lease=60.0,
        clock=SystemClock(),
        pressure=Pressure(engine.database, (line.table,), SystemClock()),
        waiting=lambda reason, seconds: None,
    ).write(batch, mode, None, Event())


def held(engine: Engine) -> tuple[int, int, int]:
    """Rows, their distinct offsets, dead letters."""
    rows = engine.query("SELECT count(), uniqExact(_offset) FROM {db}.events")[0]
    return (*rows, engine.value("SELECT count() FROM {db}.dead_letters"))


VALUES = [json.dumps({"x": n}).encode() if n % 7 else b"no JSON" for n in range(150)]
FEW = VALUES[:20]


def test_a_backlog_over_many_table_partitions_is_one_insert(engine: Engine) -> None:
    engine.up(fields={"x": "UInt8"}, partition_by="x")
    storage = Cut(engine.client, 1)
    write(engine, storage, VALUES, {})
    assert held(engine) == (128, 128, 22)
    assert storage.inserts == 2


@pytest.mark.parametrize("lost", [(), pytest.param((2,), marks=pytest.mark.long), (4, 5)])
def test_what_is_beyond_the_limit_is_halved(engine: Engine, lost: tuple[int, ...]) -> None:
    engine.up(fields={"x": "UInt8"}, partition_by="x")
    limit = {"max_partitions_per_insert_block": 5}
    write(engine, Cut(engine.client, *lost), FEW, limit)
    assert held(engine) == (17, 17, 3)
    write(engine, Cut(engine.client), FEW, limit, Mode.RESUME)
    assert held(engine) == (17, 17, 3)


def test_one_whose_insert_landed_in_some_table_partitions_is_completed(engine: Engine) -> None:
    """A server that was killed in the middle of the insert: a token is kept by each partition."""
    engine.up(fields={"x": "UInt8"}, partition_by="x")
    write(engine, Cut(engine.client), FEW[:9], {}, span=OffsetRange(0, len(FEW)))
    write(engine, Cut(engine.client), FEW, {}, Mode.RESUME)
    assert held(engine) == (17, 17, 3)


def test_the_users_own_limit_goes_before_ours(
    engine: Engine, clickhouse_front: ClickHouseFront
) -> None:
    engine.up(fields={"x": "UInt8"}, partition_by="x")
    client = ClickHouseClient(
        ClickHouse(settings={"max_partitions_per_insert_block": 5}),
        url=clickhouse_front.url,
        password=clickhouse_front.password,
    )
    storage = Cut(client)
    write(engine, storage, FEW, {})
    client.close()
    assert storage.inserts > 4
    assert held(engine) == (17, 17, 3)


def test_a_batch_that_needs_too_much_memory_is_halved(engine: Engine) -> None:
    engine.up(fields={"x": "String"})
    values = [json.dumps({"x": "y" * 1_000_000}).encode() for _ in range(24)]
    storage = Cut(engine.client)
    write(engine, storage, values, {"max_memory_usage": 60_000_000})
    assert storage.inserts > 1
    assert held(engine) == (24, 24, 0)


def test_one_message_that_needs_too_much_memory_stops_and_names_the_setting(
    engine: Engine,
) -> None:
    engine.up(fields={"x": "String"})
    values = [json.dumps({"x": "y" * size}).encode() for size in (10, 4_000_000, 10)]
    with pytest.raises(NrtctlError, match=r"offset 1: .*max_memory_usage") as caught:
        write(engine, Cut(engine.client), values, {"max_memory_usage": 8_000_000})
    assert "cannot be stored" in caught.value.message


def test_the_engine_has_these_codes_under_these_names(engine: Engine) -> None:
    names = dict(
        engine.query("SELECT code, name FROM system.errors", system_events_show_zero_values=1)
    )
    ours = {code: name for _, codes in GROUPS for code, name in codes.items()}
    assert {code: names.get(code) for code in ours} == ours
