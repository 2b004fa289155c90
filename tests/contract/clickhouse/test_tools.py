"""What tools look at: the log of statements, who may do what, and headers of their own choice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable

import pytest

from nrtctl.local.front.errors import SYSTEM_LOGS
from tests.plugins.clickhouse_front import ClickHouseFront


@pytest.fixture
def front(clickhouse_front: ClickHouseFront) -> ClickHouseFront:
    return clickhouse_front


def test_statements_are_logged_where_that_is_asked_for(
    make_clickhouse_front: Callable[..., ClickHouseFront],
) -> None:
    front = make_clickhouse_front("--system-logs")
    name = str(uuid.uuid4())
    front.sql("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
    front.request(b"INSERT INTO t FORMAT TSV\n1\n2\n", query_id=name)
    assert front.request("SELECT nothing", query_id=f"{name}-wrong").code == 47
    front.sql("SYSTEM FLUSH LOGS")
    kinds = "SELECT type, query_kind, written_rows FROM system.query_log WHERE log_comment ="
    assert front.sql(f"{kinds} '{name}' ORDER BY type") == (
        "QueryStart\tInsert\t0\nQueryFinish\tInsert\t2"
    )
    wrong = f"{kinds} '{name}-wrong'"
    assert front.sql(wrong) == "ExceptionBeforeStart\tSelect\t0"
    assert front.sql("SELECT count() > 0 FROM system.part_log WHERE table = 't'") == "1"
    for log in SYSTEM_LOGS:
        front.sql(f"SELECT * FROM system.{log} LIMIT 1")
    statements = front.sql("SELECT DISTINCT query FROM system.query_log").splitlines()
    assert not [each for each in statements if each.startswith("SET ")], "none of the front's own"
    front.restart()
    assert front.sql(f"{kinds} '{name}'") == "", "they begin with the process"


def test_asynchronous_metrics_tell_what_is_there(front: ClickHouseFront) -> None:
    def value(metric: str) -> float:
        sql = "SELECT value FROM system.asynchronous_metrics WHERE metric ="
        return float(front.sql(f"{sql} '{metric}'"))

    rows, databases, tables = (value(f"{each}") for each in (
        "TotalRowsOfMergeTreeTables", "NumberOfDatabases", "NumberOfTables"))  # fmt: skip
    front.sql("CREATE DATABASE counted")
    front.sql("CREATE TABLE counted.t (a UInt64) ENGINE = MergeTree ORDER BY a")
    front.sql("INSERT INTO counted.t SELECT number FROM numbers(1000)")
    assert value("TotalRowsOfMergeTreeTables") == rows + 1000
    assert value("NumberOfDatabases") == databases + 1
    assert value("NumberOfTables") == tables + 1
    assert value("MaxPartCountForPartition") >= 1
    assert value("TotalBytesOfMergeTreeTables") > 0
    assert value("Uptime") >= 0
    assert 0 < value("FilesystemMainPathAvailableBytes") < value("FilesystemMainPathTotalBytes")
    columns = front.sql("DESCRIBE TABLE system.asynchronous_metrics").splitlines()
    assert [each.split("\t")[:2] for each in columns] == [
        ["metric", "String"], ["value", "Float64"], ["description", "String"],
    ]  # fmt: skip
    front.sql("DROP DATABASE counted")


@pytest.mark.parametrize("log", SYSTEM_LOGS)
def test_a_log_that_is_not_kept_is_said_to_be_a_setting(front: ClickHouseFront, log: str) -> None:
    answer = front.request(f"SELECT * FROM system.{log}")
    assert answer.code == 60
    assert "where local.system_logs is set" in answer.text


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT name FROM system.users", "default"),
        ("SHOW USERS", "default"),
        ("SELECT count() > 5 FROM system.grants", "1"),
        ("SELECT count() FROM system.roles", "0"),
        ("SHOW ROW POLICIES", ""),
        ("SELECT name FROM system.quotas", "default"),
        ("SELECT name FROM system.settings_profiles", "default"),
    ],
)
def test_who_may_do_what_is_shown(front: ClickHouseFront, sql: str, found: str) -> None:
    assert front.sql(sql) == found


@pytest.mark.parametrize("sql", ["CREATE USER x", "CREATE ROLE x", "GRANT ALL ON *.* TO default"])
def test_and_not_changed(front: ClickHouseFront, sql: str) -> None:
    assert front.request(sql).code == 497


def test_headers_that_a_client_chooses(front: ClickHouseFront) -> None:
    chosen = "{'Content-Type':'image/png', 'X-Own':'it\\'s'}"
    answer = front.request("SELECT 1", http_response_headers=chosen)
    assert (answer.headers["content-type"], answer.headers["x-own"]) == ("image/png", "it's")
    assert answer.text == "1\n"
    framing = front.request("SELECT 1", http_response_headers="{'Content-Length':'99'}")
    assert framing.text == "1\n"
    assert "x-own" not in front.request("SELECT 1").headers


@pytest.mark.parametrize(
    "wrong", ["x", "{'a':1}", "{'a':'b' 'c':'d'}", "{'a b':'c'}", "{'a':'\n'}"]
)
def test_headers_that_are_none(front: ClickHouseFront, wrong: str) -> None:
    assert front.request("SELECT 1", http_response_headers=wrong).code == 36


@pytest.mark.parametrize("output", ["TSV", "JSON"])
def test_progress_is_a_header_where_that_is_asked_for(front: ClickHouseFront, output: str) -> None:
    sql = f"SELECT count() FROM numbers(1000) FORMAT {output}"
    answer = front.request(sql, send_progress_in_http_headers=1)
    assert json.loads(answer.headers["x-clickhouse-progress"])["read_rows"] == "1000"
    assert "x-clickhouse-progress" not in front.request(sql).headers


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT count() FROM cluster('default', system.one)", "1"),
        ("SELECT name FROM clusterAllReplicas(default, system, databases) "
         "WHERE name = 'system'", "system"),
        ("SELECT count() FROM cluster('default', merge('system', '^one$'))", "1"),
        ("EXPLAIN SYNTAX SELECT dummy FROM cluster('default', system.one)",
         "SELECT dummy\\nFROM system.one"),
    ],
)  # fmt: skip
def test_the_cluster_default_is_this_server(front: ClickHouseFront, sql: str, found: str) -> None:
    assert front.sql(sql) == found
    assert front.request(b"", query=sql).text.strip() == found


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("cluster('other', system.one)", 497),
        ("cluster('default', url('http://127.0.0.1:1/', TSV, 'a String'))", 497),
        ("clusterAllReplicas('default', remote('127.0.0.1', system.one))", 497),
        ("cluster('default', cluster('other', system.one))", 497),
        ("cluster('default', nrt.nothing)", 81),
    ],
)
def test_no_cluster_call_reaches_out(front: ClickHouseFront, source: str, code: int) -> None:
    assert front.request(f"SELECT * FROM {source}").code == code
