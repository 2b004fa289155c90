"""A pytest plugin: a pipeline in a database of its own, in the real engine behind the front."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from nrtctl.clickhouse.client import ClickHouseClient
from nrtctl.config.servers import ClickHouse
from nrtctl.pipeline import Pipeline
from nrtctl.producer.sources.files import Read
from nrtctl.schema import INSERT_SETTINGS
from nrtctl.schema.apply import apply
from nrtctl.schema.drift import lost
from nrtctl.schema.steps import Step
from nrtctl.store.envelope import COLUMNS, DECODED_COLUMNS, Decode, row_encoder
from tests.plugins.clickhouse_front import ClickHouseFront

_NUMBERS = itertools.count(1)


class Engine:
    """One database; `up` applies a pipeline to it, `send` inserts messages as the consumer does."""

    def __init__(self, client: ClickHouseClient, database: str) -> None:
        self.client = client
        self.database = database
        self.pipeline = Pipeline(fields={"x": "String"})
        self.decode: Decode | None = None
        self._offset = 0

    def up(self, **pipeline: Any) -> dict[str, str]:
        """Name to action."""
        self.pipeline = Pipeline(**pipeline)
        actions = {step.name: step.action for step in self.steps(self.pipeline)}
        assert lost(self.client, self.pipeline, self.database) == []
        return actions

    def steps(self, pipeline: Pipeline) -> list[Step]:
        return apply(self.client, pipeline, self.database)

    def send(
        self, *values: bytes | None, token: str | None = None, offset: int | None = None
    ) -> int:
        """Insert one batch; the offset of its first message."""
        start = self._offset if offset is None else offset
        encode = row_encoder(self.pipeline.topic, 1, 0, self.decode)
        body = b"".join(encode(start + at, 1, b"k", value) for at, value in enumerate(values))
        settings = {
            **INSERT_SETTINGS,
            "insert_deduplication_token": token or f"{start}-{start + len(values)}",
        }
        columns = COLUMNS if self.decode is None else DECODED_COLUMNS
        self.client.insert(f"{self.database}.{self.pipeline.landing}", columns, body, settings)
        self._offset = max(self._offset, start + len(values))
        return start

    def send_read(self, records: Iterable[Read]) -> int:
        """Insert what `produce` would send of these; the number of messages."""
        encode = row_encoder(self.pipeline.topic, 1, 0)
        body = [
            encode(offset, each.timestamp or 1, each.key, each.value, each.headers)
            for offset, each in enumerate(records)
        ]
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": "all"}
        landing = f"{self.database}.{self.pipeline.landing}"
        self.client.insert(landing, COLUMNS, b"".join(body), settings)
        return len(body)

    def query(self, sql: str, **settings: Any) -> list[tuple[Any, ...]]:
        return self.client.query(sql.replace("{db}", self.database), settings=settings)

    def value(self, sql: str) -> Any:
        return self.query(sql)[0][0]

    def stored(self, *columns: str, since: int = 0) -> dict[int, tuple[Any, ...]]:
        """Offset to the values of the columns, of every row of the table."""
        names = "".join(f", {column}" for column in columns)
        table = f"{self.database}.{self.pipeline.table}"
        rows = self.query(f"SELECT _offset{names} FROM {table} WHERE _offset >= {since}")
        found = {row[0]: row[1:] for row in rows}
        assert len(found) == len(rows)
        return found

    def rejected(self, *, since: int = 0) -> dict[int, tuple[str, str]]:
        """Offset to (reason, field)."""
        table = f"{self.database}.{self.pipeline.dead_letters}"
        rows = self.query(f"SELECT _offset, reason, field FROM {table} WHERE _offset >= {since}")
        found = {row[0]: (row[1], row[2]) for row in rows}
        assert len(found) == len(rows)
        return found

    def fates(self, *values: bytes | None) -> list[Any]:
        """What becomes of each message: the tuple of its fields, or its `reason:field`."""
        start = self.send(*values)
        stored = self.stored(*self.pipeline.fields, since=start)
        rejected = self.rejected(since=start)
        offsets = range(start, start + len(values))
        assert not [at for at in offsets if (at in stored) == (at in rejected)]
        return [stored[at] if at in stored else ":".join(rejected[at]) for at in offsets]


@pytest.fixture(scope="session")
def client(clickhouse_front: ClickHouseFront) -> Iterator[ClickHouseClient]:
    made = ClickHouseClient(
        ClickHouse(username=clickhouse_front.username),
        url=clickhouse_front.url,
        password=clickhouse_front.password,
    )
    yield made
    made.close()


@contextlib.contextmanager
def _engines(client: ClickHouseClient) -> Iterator[Callable[[], Engine]]:
    made: list[Engine] = []

    def make() -> Engine:
        made.append(Engine(client, f"schema_{next(_NUMBERS)}"))
        return made[-1]

    yield make
    for engine in made:
        client.command(f"DROP DATABASE IF EXISTS {engine.database}")


@pytest.fixture
def make_engine(client: ClickHouseClient) -> Iterator[Callable[[], Engine]]:
    with _engines(client) as make:
        yield make


@pytest.fixture
def engine(make_engine: Callable[[], Engine]) -> Engine:
    return make_engine()


@pytest.fixture(scope="module")
def one_engine(client: ClickHouseClient) -> Iterator[Engine]:
    """The same for all tests of a file that ask for it: `up` costs more than most of them."""
    with _engines(client) as make:
        yield make()


REFERENCE: Mapping[str, Any] = {
    "fields": {"id": "UInt32", "kind": "LowCardinality(String)", "ms": "Int64"},
    "columns": {"at": "fromUnixTimestamp64Milli(ms)"},
    "rejects": {"too large": "id > 1000"},
    "rollups": {
        "by_kind": {"by": {"kind": "kind"}, "values": {"n": "count()", "largest": "max(id)"}}
    },
    "order_by": ("kind", "at"),
}


def events(ids: Sequence[int]) -> list[bytes]:
    return [b'{"id":%d,"kind":"k%d","ms":%d}' % (each, each % 3, each * 1000) for each in ids]
