"""An unmodified clickhouse-connect client."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.plugins.clickhouse_front import ClickHouseFront


@pytest.fixture(params=["lz4", "zstd", "gzip", False])
def client(request: pytest.FixtureRequest, clickhouse_front: ClickHouseFront) -> Iterator[Any]:
    made = clickhouse_front.client(compress=request.param)
    yield made
    made.close()


@pytest.fixture
def table(client: Any) -> Iterator[str]:
    name = f"c{uuid.uuid4().hex}"
    client.command(
        f"CREATE TABLE {name} (a UInt32, b Nullable(String), c DateTime64(3, 'UTC'))"
        " ENGINE = MergeTree ORDER BY a"
    )
    yield name
    client.command(f"DROP TABLE {name}")


def test_rows_there_and_back(client: Any, table: str) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678000)
    rows = [(n, None if n % 3 else f"row {n}", moment) for n in range(50_000)]
    summary = client.insert(table, rows, column_names=["a", "b", "c"])
    assert summary.written_rows == 50_000
    assert client.query(f"SELECT * FROM {table} ORDER BY a").result_rows == rows
    assert client.query(f"SELECT * FROM {table} WHERE a > 99999").result_rows == []
    assert client.command(f"SELECT count() FROM {table}") == 50_000


def test_raw_inserts_and_queries(client: Any, table: str) -> None:
    data = b'{"a":1,"b":"x","c":0}\n{"a":2,"b":null,"c":1}\n'
    client.raw_insert(table, insert_block=data, fmt="JSONEachRow")
    client.raw_insert(table, ["a", "c"], insert_block=io.BytesIO(b"3,2\n"), fmt="CSV")
    assert client.raw_query(f"SELECT a, b FROM {table} ORDER BY a", fmt="CSV") == (
        b'1,"x"\n2,\\N\n3,\\N\n'
    )


def test_parameters_settings_and_errors(client: Any) -> None:
    found = client.query(
        "SELECT {n:UInt32} + 1, {s:String}", parameters={"n": 41, "s": "it's"},
        settings={"max_threads": 1},
    )  # fmt: skip
    assert found.result_rows == [(42, "it's")]
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.query("SELECT * FROM no_such_table")
    with pytest.raises(DatabaseError, match="throwIf"):
        _ = client.query("SELECT throwIf(number = 500000) FROM numbers(1000000)").result_rows


def test_temporary_tables_of_a_session(client: Any) -> None:
    client.command("CREATE TEMPORARY TABLE mine (a UInt8)")
    client.insert("mine", [[1], [2]], column_names=["a"])
    assert client.query("SELECT sum(a) FROM mine").result_rows == [(3,)]


def test_a_long_result_is_streamed(client: Any) -> None:
    total = rows = 0
    with client.query_row_block_stream("SELECT number FROM numbers(400000)") as stream:
        for block in stream:
            rows += len(block)
            total += sum(row[0] for row in block)
    assert (rows, total) == (400_000, sum(range(400_000)))


def test_data_frames(client: Any, table: str) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2], "c": pandas.to_datetime([0, 1], unit="s")})
    client.insert_df(table, frame)
    found = client.query_df(f"SELECT a, c FROM {table} ORDER BY a")
    assert list(found["a"]) == [1, 2]
    assert [str(c) for c in found["c"]] == [str(c) for c in frame["c"]]
    empty = client.query_df(f"SELECT a FROM {table} WHERE a > 5")
    assert list(empty.columns) in ([], ["a"])
    assert len(empty) == 0
