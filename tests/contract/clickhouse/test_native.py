"""Native as a client of a protocol version gets it; results that are held until they are whole."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from nrtctl.local.front.native_types import Block, NotSkipped
from tests.plugins.clickhouse_front import ClickHouseFront

INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
OF_GO = 54_460
OF_PYTHON = 54_405

TYPES = (
    "Int8", "UInt256", "Float32", "Bool", "String", "FixedString(3)", "Date", "Date32", "DateTime",
    "DateTime64(3, 'UTC')", "UUID", "IPv4", "IPv6", "Decimal(9, 2)", "Decimal(18, 2)",
    "Decimal(38, 2)", "Decimal(76, 2)", "Enum8('a' = 1, 'b)(,' = 2)", "Enum16('a' = 1)",
    "Nullable(String)", "Nullable(UInt8)", "Array(String)", "Array(Array(UInt8))",
    "Array(Nullable(String))", "Map(String, UInt64)", "Map(String, Array(LowCardinality(String)))",
    "Tuple(UInt8, String)", "Tuple(a UInt8, `b c` Array(String))", "LowCardinality(String)",
    "LowCardinality(Nullable(String))", "Array(LowCardinality(Nullable(String)))",
    "Array(Tuple(x UInt8, y LowCardinality(String)))", "Point", "Ring", "Polygon", "MultiPolygon",
    "LineString", "MultiLineString", "Nested(a UInt8, b String)",
    "SimpleAggregateFunction(sum, UInt64)",
)  # fmt: skip
VALUES = (
    "NULL", "[]", "map()", "tuple()", "toIntervalDay(1)", "CAST(1, 'BFloat16')",
    "CAST([], 'Array(LowCardinality(String))')", "CAST('12:34:56', 'Time64(3)')",
    "multiIf(number % 3 = 0, NULL, number % 3 = 1, 'x'::Variant(Array(String), String, UInt8), "
    "['a', 'b']::Variant(Array(String), String, UInt8))",
    "if(number % 3 = 0, NULL, if(number % 3 = 1, number::Dynamic, [number]::Dynamic))",
    "number::Variant(UInt64, LowCardinality(String))::Dynamic(max_types=1)",
    "'{\"a\":1,\"b\":{\"c\":[1,{\"x\":2}]},\"d\":\"t\"}'::JSON(max_dynamic_paths=2)",
    "if(number % 2, '{\"a\":1}', '{\"z\":[{\"y\":1}]}')::JSON(a UInt8, SKIP q)",
    "('{\"a\":1}'::JSON, 1::Dynamic)", "['{\"a\":1}'::JSON]",
)  # fmt: skip


def sources() -> list[str]:
    quoted = [kind.replace("'", "\\'") for kind in TYPES]
    made = [f"SELECT v FROM generateRandom('v {kind}', 1, 10, 3) LIMIT 100" for kind in quoted]
    return made + [f"SELECT {value} AS v FROM numbers(9)" for value in VALUES]


@pytest.mark.parametrize("source", sources())
def test_each_column_begins_with_its_serialization(
    clickhouse_front: ClickHouseFront, source: str
) -> None:
    sql = f"SELECT v, toUInt32(7) AS z FROM ({source}) FORMAT Native"
    plain = clickhouse_front.request(sql)
    assert plain.status == 200, plain.text
    before = b"\x01z\x06UInt32"
    end = plain.body.rindex(before)
    column = b"\x01v" + plain.body[4 : end - len(plain.body)]
    size = column[2] if column[2] < 128 else (column[2] & 127) + 128 * column[3]
    typed = 2 + (1 if column[2] < 128 else 2) + size
    wanted = (
        INFO + plain.body[:2] + column[:typed] + b"\0" + column[typed:] + before + b"\0"
        + plain.body[end + len(before) :]
    )  # fmt: skip
    assert clickhouse_front.request(sql, client_protocol_version=OF_GO).body == wanted
    older = clickhouse_front.request(sql, client_protocol_version=OF_PYTHON).body
    assert older == INFO + plain.body


def test_every_block_of_a_long_result(clickhouse_front: ClickHouseFront) -> None:
    sql = "SELECT number, toString(number) AS t FROM numbers(200000) FORMAT Native"
    data = clickhouse_front.request(sql, client_protocol_version=OF_GO).body
    whole = clickhouse_front.request(sql, client_protocol_version=OF_GO, wait_end_of_query=1)
    assert whole.body.count(INFO) >= 1
    plain = clickhouse_front.request(sql).body
    assert data.count(b"\x06number\x06UInt64\0") == plain.count(b"\x06number\x06UInt64")
    assert data.count(INFO + b"\x02") == plain.count(b"\x06number\x06UInt64")


def test_a_state_of_an_aggregate_may_only_come_last(clickhouse_front: ClickHouseFront) -> None:
    sql = "SELECT {} FORMAT Native"
    last = clickhouse_front.request(
        sql.format("1 AS a, uniqState(1) AS u"), client_protocol_version=OF_GO
    )
    assert last.status == 200
    assert b"AggregateFunction(uniq, UInt8)\0" in last.body
    first = clickhouse_front.request(
        sql.format("uniqState(1) AS u, 1 AS a"), client_protocol_version=OF_GO
    )
    assert (first.status, first.code) == (501, 48)
    assert "AggregateFunction" in first.text
    assert "another format" in first.text


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x01\x01\x01a\x06UInt32\0", b"\x02\x01\x01a\x06String\x05a\x01b\x05UInt8\1"]
)
def test_a_block_that_is_cut_off(data: bytes) -> None:
    with pytest.raises(NotSkipped):
        list(Block(data, 0).columns())


def test_a_time_zone_reaches_the_client(clickhouse_front: ClickHouseFront) -> None:
    client = clickhouse_front.client()
    try:
        result = client.query("SELECT toDateTime(0, 'Asia/Tokyo') AS t, toDateTime(0) AS u, 1 AS n")
        assert result.column_types[0].name == "DateTime('Asia/Tokyo')"
        assert result.first_row[0] == dt.datetime(1970, 1, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo"))
        assert result.column_types[1].name == "DateTime"
        summary = client.command("DROP TABLE IF EXISTS nothing_here")
        assert summary.query_id()
        assert client.query("SELECT 1 WHERE 0").row_count == 0
    finally:
        client.close()
    assert clickhouse_front.request("SELECT 1", client_protocol_version="x").code == 36


@pytest.mark.parametrize("output", ["Native", "Parquet"])
def test_a_result_of_any_size_is_held_until_it_is_whole(
    clickhouse_front: ClickHouseFront, output: str
) -> None:
    rows = 280_000
    answer = clickhouse_front.request(
        f"SELECT number AS n, repeat('x', 1000) AS x FROM numbers({rows}) FORMAT {output}",
        wait_end_of_query=1,
    )
    assert answer.status == 200, answer.text[:500]
    assert f'"result_rows": "{rows}"' in answer.headers["x-clickhouse-summary"]
    if output == "Native":
        assert answer.body.count(b"x" * 1000) == rows
    else:
        assert answer.body[:4] == answer.body[-4:] == b"PAR1"


def test_an_error_comes_before_a_result_that_is_held(clickhouse_front: ClickHouseFront) -> None:
    sql = "SELECT number, throwIf(number = 400000) FROM numbers(500000) FORMAT Native"
    late = clickhouse_front.request(sql, wait_end_of_query=1)
    assert (late.status, late.code) == (500, 395)


def test_a_clients_own_bound_is_kept(clickhouse_front: ClickHouseFront) -> None:
    sql = "SELECT number FROM numbers(200000) FORMAT JSON"
    assert clickhouse_front.request(sql, max_result_bytes=600_000).code == 396


def test_a_binary_head_stands_once(clickhouse_front: ClickHouseFront) -> None:
    sql = "SELECT number AS n FROM numbers(200000) FORMAT RowBinaryWithNamesAndTypes"
    data = clickhouse_front.request(sql).body
    assert data.startswith(b"\x01\x01n\x06UInt64")
    assert len(data) == 10 + 200_000 * 8
