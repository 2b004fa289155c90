"""No statement reaches beyond the data directory: no file, no other host, no path by a setting."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nrtctl.local.front.outward import FIXED, FIXED_OF_TABLES, SHADOWED
from tests.plugins.clickhouse_front import ClickHouseFront

SECRET = "nobody-may-read-this"


@dataclass
class Outside:
    """What lies beyond: a file, a directory, and an address that notes who asks."""

    directory: Path
    listening: socket.socket
    asked: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def listen(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            with client:
                client.settimeout(60)
                try:
                    self.asked.append(client.recv(200))
                    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    pass


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    directory = tmp_path_factory.mktemp("outside")
    (directory / "secret").write_text(f"{SECRET}\n")
    made = Outside(directory, socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=made.listen)
    thread.start()
    yield made
    made.listening.shutdown(socket.SHUT_RDWR)
    made.listening.close()
    thread.join()


OBJECTS = "type = object_storage, object_storage_type = local, metadata_type = plain_rewritable"
STATEMENTS = [
    # The function file, however it is written, called or kept.
    "SELECT file('{file}')",
    "SELECT file\u00a0('{file}')",
    "\ufeffSELECT\u3000file\u200b('{file}')",
    "SELECT file // (\n('{file}')",
    "SELECT `fil\\x65`('{file}')",
    "SELECT “file”('{file}')",
    "SELECT arrayMap(file, ['{file}'])",
    "SELECT arrayMap(x -> file(x), ['{file}'])",
    "SELECT * APPLY(file) FROM (SELECT '{file}' AS x)",
    "SELECT * APPLY file FROM (SELECT '{file}' AS x)",
    "EXPLAIN SELECT arrayMap(file, ['{file}'])",
    "SELECT 1 SETTINGS additional_result_filter = 'file(\\'{file}\\') != 1'",
    "CREATE TABLE {new} (a Int8, b Array(String) DEFAULT arrayMap(file, ['{file}'])) "
    "ENGINE = MergeTree ORDER BY a",
    "CREATE VIEW {new} AS SELECT arrayMap(file, ['{file}'])",
    "INSERT INTO {table} SELECT 1, arrayMap(file, ['{file}'])[1]",
    "INSERT INTO {table} VALUES (1, arrayMap(file, ['{file}'])[1])",
    "INSERT INTO {table} VALUES (1, (SELECT file('{file}')))",
    "ALTER TABLE {table} UPDATE b = arrayMap(file, ['{file}'])[1] WHERE 1",
    "SELECT * FROM numbers(length(arrayMap(file, ['{file}'])[1]))",
    # Table functions and engines.
    "SELECT * FROM file\u00a0('{file}', 'LineAsString')",
    "SELECT * FROM url\u00a0('{url}/a', 'LineAsString')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM bigquery('{url}', 'b', 'c')",
    "SELECT * FROM Python\u00a0(sys)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM eval('SELECT 1') SETTINGS allow_experimental_eval_table_function = 1",
    "SELECT * FROM executable('x.sh', 'TSV', 'a String')",
    "CREATE TABLE {new} (a String) ENGINE = FileLog('{file}', 'LineAsString')",
    "CREATE TABLE {new} (a String) ENGINE\u00a0= \u00a0File(TSV, '{file}')",
    "CREATE TEMPORARY TABLE x (a String) ENGINE = FileLog('{file}', 'LineAsString')",
    "CREATE TABLE {new} (k Int8, v Int8) ENGINE = EmbeddedRocksDB(0, '{out}/rocks') PRIMARY KEY k",
    "CREATE TABLE {new} (a String) ENGINE = Executable('x.sh', 'TSV')",
    "CREATE TABLE {new} (a String) ENGINE = URL('{url}/e', 'TSV')",
    "CREATE DATABASE {new} ENGINE = Filesystem('/')",
    "CREATE DATABASE {new} ENGINE = DataLakeCatalog('{url}/') "
    "SETTINGS catalog_type = 'rest', warehouse = 'x'",
    "CREATE DICTIONARY {new} (a UInt64) PRIMARY KEY a SOURCE(HTTP(url '{url}/d' format 'TSV')) "
    "LAYOUT(FLAT()) LIFETIME(1)",
    # Disks.
    "CREATE TABLE {new} (a Int8) ENGINE = MergeTree ORDER BY a "
    "SETTINGS disk = disk(type = web, endpoint = '{url}/w/')",
    f"CREATE TABLE {{new}} (a Int8) ENGINE = MergeTree ORDER BY a "
    f"SETTINGS disk = `disk`\u00a0({OBJECTS}, path = '{{out}}/table/')",
    "CREATE DATABASE {new} ENGINE = Atomic "
    f"SETTINGS disk = disk({OBJECTS}, path = '{{out}}/db/')",
    f"ALTER TABLE {{table}} MODIFY SETTING disk = disk({OBJECTS}, path = '{{out}}/alter/')",
    "BACKUP TABLE {table} TO File('{out}/backup')",
    "BACKUP TABLE {table} TO Disk('default', '{out}/backup')",
    "ATTACH TABLE {new} FROM '{out}/' (a Int8) ENGINE = MergeTree ORDER BY a",
    # Files that the client of an engine reads and writes.
    "SELECT 'x' INTO OUTFILE '{out}/o'",
    "\u00a0SELECT 'x' INTO\u2003OUTFILE\u00a0'{out}/o'",
    "SELECT 'x' INTO // (\n OUTFILE $x$'{out}/o$x$",
    "SELECT $ab$ ' $ab$ INTO OUTFILE '{out}/o' -- ' $ab$",
    "SELECT x'41' INTO OUTFILE '{out}/o'",
    "EXPLAIN SELECT 1 INTO OUTFILE '{out}/o'",
    "SHOW DATABASES INTO OUTFILE '{out}/o'",
    "INSERT INTO {table} FROM\u00a0INFILE '{file}' FORMAT LineAsString",
    # Paths, addresses and dialects by settings.
    "SELECT 1 FORMAT Template SETTINGS format_template_row = '{file}'",
    "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '{file}:M'",
    "SET format_schema = '{file}:M'",
    "SET dialect = 'prql'",
    "SET allow_python_table_function = 1, url_base = '{url}'",
    "SELECT * FROM format(AvroConfluent, 'a Int8', '\\0\\0\\0\\0\\1x') "
    "SETTINGS format_avro_schema_registry_url = '{url}/registry'",
    "SYSTEM SHUTDOWN",
    "CREATE USER u",
    "CREATE NAMED COLLECTION n AS a = 1",
    "CREATE VIEW {new} SQL SECURITY NONE AS SELECT 1",
]  # fmt: skip


@pytest.fixture(scope="module")
def table(clickhouse_front: ClickHouseFront) -> str:
    name = f"t{uuid.uuid4().hex}"
    clickhouse_front.sql(f"CREATE TABLE {name} (a Int8, b String) ENGINE = MergeTree ORDER BY a")
    clickhouse_front.sql(f"INSERT INTO {name} VALUES (7, 'seven')")
    return name


@pytest.mark.parametrize("readonly", [0, 2])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_way_out(
    clickhouse_front: ClickHouseFront, outside: Outside, table: str, statement: str, readonly: int
) -> None:
    out = outside.directory
    names = {
        "file": out / "secret", "out": out, "url": outside.url, "table": table,
        "new": f"n{uuid.uuid4().hex}",
    }  # fmt: skip
    answer = clickhouse_front.request(statement.format(**names), readonly=readonly)
    assert answer.status in {400, 401, 403, 404}, answer.text
    assert SECRET not in answer.text
    assert outside.asked == []
    assert [path.name for path in out.iterdir()] == ["secret"]
    assert clickhouse_front.sql(f"SELECT * FROM {table}") == "7\tseven"
    assert clickhouse_front.sql(f"EXISTS {names['new']}") == "0"


@pytest.mark.parametrize(
    ("in_url", "body"),
    [
        ("SELECT 'x'", "INTO OUTFILE '{out}/o'"),
        ("SELECT fil", ""),
        ("SELECT 'x' /*", "*/ INTO OUTFILE '{out}/o'"),
        ("SELECT 1, '", "' INTO OUTFILE '{out}/o'"),
        ("INSERT INTO {table}", "FROM INFILE '{file}' FORMAT LineAsString"),
        ("INSERT INTO {table}", "SELECT 1, arrayMap(file, ['{file}'])[1]"),
        ("INSERT INTO {table} VALUES", "(1, arrayMap(file, ['{file}'])[1])"),
        ("INSERT INTO {table}", "VALUES (1, (SELECT * FROM eval('SELECT 1')))"),
    ],
)
def test_no_way_out_in_two_halves(
    clickhouse_front: ClickHouseFront, outside: Outside, table: str, in_url: str, body: str
) -> None:
    names = {"file": outside.directory / "secret", "out": outside.directory, "table": table}
    answer = clickhouse_front.request(body.format(**names), query=in_url.format(**names))
    assert answer.status in {400, 403, 404}, answer.text
    assert [path.name for path in outside.directory.iterdir()] == ["secret"]
    assert clickhouse_front.sql(f"SELECT * FROM {table}") == "7\tseven"


@pytest.mark.parametrize(
    "name",
    [name for name in FIXED if not name.startswith(("allow_", "enable_", "s3_allow", "into_"))],
)
def test_no_path_in_the_address(
    clickhouse_front: ClickHouseFront, outside: Outside, name: str
) -> None:
    setting: dict[str, Any] = {name: f"{outside.url}/{name}"}
    for session in ({}, {"session_id": uuid.uuid4().hex}):
        answer = clickhouse_front.request("SELECT 1", **(setting | session))
        assert answer.status in {400, 403}, answer.text
    assert outside.asked == []


def test_a_parameter_names_no_function(clickhouse_front: ClickHouseFront) -> None:
    answer = clickhouse_front.request("SELECT {f:Identifier}('/etc/hostname')", param_f="file")
    assert answer.status == 400
    answer = clickhouse_front.request(
        "SELECT * FROM {f:Identifier}('/etc/hostname', 'LineAsString')", param_f="file"
    )
    assert answer.status == 400


def test_what_is_named_here_is_what_the_engine_has(clickhouse_front: ClickHouseFront) -> None:
    """A name that the engine does not know would guard nothing."""
    named = clickhouse_front.sql("SELECT name FROM system.settings").splitlines()
    assert set(FIXED) <= set(named)
    named = clickhouse_front.sql("SELECT name FROM system.merge_tree_settings").splitlines()
    assert set(FIXED_OF_TABLES) <= set(named)
    named = clickhouse_front.sql("SELECT name FROM system.functions").splitlines()
    assert set(SHADOWED) <= set(named)


def test_a_setting_that_names_a_file_or_an_address_is_fixed(
    clickhouse_front: ClickHouseFront,
) -> None:
    """Those of a new engine are to be looked at, and put on the list or here."""
    known = {
        "promql_table", "storage_file_read_method", "s3queue_default_zookeeper_path",
        "temporary_files_codec", "distributed_cache_file_cache_name",
        "local_filesystem_read_method", "remote_filesystem_read_method",
        "send_logs_source_regexp", "database", "format_template_row_format",
        "trace_profile_events_list", "format_template_resultset_format",
    }  # fmt: skip
    names = clickhouse_front.sql(
        "SELECT name FROM system.settings WHERE type IN ('String', 'URI') AND match(name, "
        "'file|path|url|uri|schema_reg|credential|source|base|dialect|registry|template_r.*[tw]$')"
    ).splitlines()
    assert {n for n in names if not n.startswith("promql")} - set(FIXED) - known == set()


def test_the_tables_of_a_pipeline_are_not_in_the_way(clickhouse_front: ClickHouseFront) -> None:
    name = f"n{uuid.uuid4().hex}"
    for sql in (
        f"CREATE TABLE {name} (file String, disk Int8, url String, INDEX url (url) TYPE minmax) "
        "ENGINE = ReplacingMergeTree ORDER BY disk",
        f"INSERT INTO {name} (file, disk, url) VALUES ('file(1)', 1, 'a\\tb')",
        f"CREATE VIEW {name}_v AS SELECT file, disk FROM {name} WHERE url LIKE 'a%'",
        f"CREATE TABLE {name}_n (a Int8) ENGINE = Null",
        f"CREATE MATERIALIZED VIEW {name}_m TO {name} AS SELECT '' AS file, a AS disk "
        f"FROM {name}_n",
        f"INSERT INTO {name}_n SELECT number FROM numbers(3)",
    ):
        clickhouse_front.sql(sql)
    assert clickhouse_front.sql(f"SELECT * FROM {name}_v") == "file(1)\t1"
    assert clickhouse_front.sql(f"SELECT count() FROM {name}") == "4"
