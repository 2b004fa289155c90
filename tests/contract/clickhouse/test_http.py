"""ClickHouse's HTTP interface, request by request."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import socket
import struct
import subprocess
import threading
import time
import uuid
import zlib
from collections.abc import Callable
from typing import Any

import cramjam
import lz4.frame
import pytest
import zstandard

from tests.plugins.clickhouse_front import ClickHouseFront
from tests.plugins.waiting import eventually

ENDLESS = "SELECT sleepEachRow(0.1) FROM numbers(6000) SETTINGS max_block_size = 1 FORMAT Null"
"""It takes no CPU, and ends when it is killed."""


def snappy(data: bytes) -> bytes:
    """As Hadoop frames it, two chunks a block."""
    half = len(data) // 2 or len(data)
    out = struct.pack(">I", len(data))
    for part in (data[:half], data[half:]):
        chunk = bytes(cramjam.snappy.compress_raw(part)) if part else b""
        out += struct.pack(">I", len(chunk)) + chunk if part else b""
    return out


def unsnapped(data: bytes) -> bytes:
    out = b""
    while data:
        size, length = struct.unpack_from(">II", data)
        block = bytes(cramjam.snappy.decompress_raw(data[8 : 8 + length]))
        assert len(block) == size
        out += block
        data = data[8 + length :]
    return out


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "snappy": snappy,
}
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "xz": lzma.decompress,
    "bz2": bz2.decompress,
    "snappy": unsnapped,
}


@pytest.fixture
def front(clickhouse_front: ClickHouseFront) -> ClickHouseFront:
    return clickhouse_front


@pytest.fixture
def table(front: ClickHouseFront) -> str:
    """An empty table of a UInt64 and a String."""
    name = f"t{uuid.uuid4().hex}"
    front.sql(f"CREATE TABLE {name} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    return name


def test_ping_needs_no_password(front: ClickHouseFront) -> None:
    for path in ("/ping", "/replicas_status", "/"):
        answer = front.request(method="GET", path=path)
        assert (answer.status, answer.text) == (200, "Ok.\n")
    assert (
        front.request(method="GET", path="/ping", headers={"X-ClickHouse-Key": "x"}).status == 200
    )


def test_what_is_not_served(front: ClickHouseFront) -> None:
    assert front.request(method="GET", path="/nowhere").status == 404
    refused = front.request(method="PUT")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")


def test_the_statement_in_the_url_or_in_the_body_or_in_both(front: ClickHouseFront) -> None:
    assert front.request(method="GET", query="SELECT 1").text == "1\n"
    assert front.request("SELECT 1").text == "1\n"
    assert front.request("+ 1", query="SELECT 1").text == "2\n"


@pytest.mark.parametrize("query", ["", "SELECT 1 AND"])
def test_a_long_statement(front: ClickHouseFront, query: str) -> None:
    """As long as ClickHouse takes one that asks for it."""
    asked = "notEmpty(base64Decode('{}'))".format

    def given(size: int) -> str:
        return asked("QUJD" * (size // 4)) if query else f"SELECT {asked('QUJD' * (size // 4))}"

    options: dict[str, Any] = {"max_query_size": 2**25, **({"query": query} if query else {})}
    assert front.request(given(2**20 + 2**18), **options).text == "1\n"
    refused = front.request(given(2**24), **options)
    assert (refused.status, refused.headers["x-clickhouse-exception-code"]) == (400, "62")
    assert "the statement is too long" in refused.text


@pytest.mark.parametrize("size", [65_000, 66_000, 200_000])
def test_a_statement_in_a_long_url(front: ClickHouseFront, size: int) -> None:
    """Clients send with GET whatever fits into the mebibyte that ClickHouse takes."""
    answer = front.request(method="GET", query=f"SELECT length('{'a' * size}') FORMAT TSV")
    assert (answer.status, answer.text) == (200, f"{size}\n")
    path = "/" + "a" * 70_000
    assert front.request(method="GET", path=path, query="SELECT 1").status == 400


@pytest.mark.parametrize("brackets", ["[", "SELECT (", "SELECT [{("])
def test_brackets_that_are_never_closed_cost_little(front: ClickHouseFront, brackets: str) -> None:
    """The engine lists each of them: 10 s and 9 MB for 400,000."""
    sign = brackets[-1]
    answer = front.request(brackets + sign * 100_000)
    assert answer.headers["x-clickhouse-exception-code"] == "306"
    assert len(answer.body) < 1000
    deep = 9_000
    asked = front.request(f"SELECT {'(' * deep}1{')' * deep}", max_parser_depth=0)
    assert "Maximum parse depth (10000)" not in asked.text


@pytest.mark.parametrize("size", [0, 3, 70_000, 300_000])
def test_an_insert_with_its_data_in_the_body(front: ClickHouseFront, table: str, size: int) -> None:
    data = "".join(f"{n}\trow {n}\n" for n in range(size))
    answer = front.request(data, query=f"INSERT INTO {table} FORMAT TSV")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.summary["written_rows"] == size
    counted = front.sql(f"SELECT count(), sum(a), uniqExact(b) FROM {table}")
    assert counted == f"{size}\t{sum(range(size))}\t{size}"


@pytest.mark.parametrize("size", [3, 300_000])
def test_an_insert_with_its_statement_before_its_data(
    front: ClickHouseFront, table: str, size: int
) -> None:
    data = "".join(f"{n},row\n" for n in range(size))
    front.sql(f"INSERT INTO {table} (a, b) FORMAT CSV\n{data}")
    assert front.sql(f"SELECT count(), sum(a) FROM {table}") == f"{size}\t{sum(range(size))}"


def test_inserts_of_values_and_of_a_select(front: ClickHouseFront, table: str) -> None:
    front.sql(f"INSERT INTO {table} VALUES (1, 'one'), (1 + 1, upper('two'))")
    front.sql("(3, 'file(1)')", query=f"INSERT INTO {table} VALUES")
    front.sql(f"INSERT INTO {table} SELECT number + 4, 'x' FROM numbers(2)")
    rows = front.sql(f"SELECT groupArray((a, b)) FROM (SELECT * FROM {table} ORDER BY a)")
    assert rows == "[(1,'one'),(2,'TWO'),(3,'file(1)'),(4,'x'),(5,'x')]"


def test_an_insert_that_fails_stores_nothing_and_says_why(
    front: ClickHouseFront, table: str
) -> None:
    answer = front.request("1\tx\nno number\tx\n", query=f"INSERT INTO {table} FORMAT TSV")
    assert answer.status == 400
    assert answer.code == 27
    assert "Cannot parse input" in answer.text
    assert front.sql(f"SELECT count() FROM {table}") == "0"


def test_deduplication_tokens(front: ClickHouseFront, table: str) -> None:
    front.sql(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 100")
    for token, expected in (("one", "1"), ("one", "1"), ("two", "2")):
        front.sql(
            "1\tx\n",
            query=f"INSERT INTO {table} FORMAT TSV",
            insert_deduplication_token=token,
        )
        assert front.sql(f"SELECT count() FROM {table}") == expected


def test_parameters_of_a_statement(front: ClickHouseFront) -> None:
    text = "it's a \\ tab"
    answer = front.sql(
        "SELECT {n:UInt8} + 1, {s:String}, {a:Array(String)}, {t:Identifier}.dummy"
        " FROM {t:Identifier} SETTINGS max_threads = 1",
        param_n=4,
        param_s=text.replace("\\", "\\\\"),
        param_a="['x','y']",
        param_t="one",
        database="system",
    )
    assert answer == f"5\t{text}\t['x','y']\t0".replace("\\", "\\\\").replace("'s", "\\'s")
    assert front.request("SELECT {n:UInt8}").code == 456


def test_the_database(front: ClickHouseFront) -> None:
    assert front.sql("SELECT currentDatabase()") == "default"
    assert front.sql("SELECT currentDatabase()", database="system") == "system"
    answer = front.request("SELECT currentDatabase()", headers={"X-ClickHouse-Database": "system"})
    assert answer.text == "system\n"
    missing = front.request("SELECT 1", database="nowhere")
    assert (missing.status, missing.code) == (404, 81)


def test_the_output_format(front: ClickHouseFront) -> None:
    assert front.sql("SELECT 1 AS a", default_format="JSONEachRow") == '{"a":1}'
    answer = front.request("SELECT 1 AS a", headers={"X-ClickHouse-Format": "CSVWithNames"})
    assert answer.text == '"a"\n1\n'
    assert answer.headers["x-clickhouse-format"] == "CSVWithNames"
    assert front.sql("SELECT 1 AS a FORMAT JSONCompactEachRow", default_format="CSV") == "[1]"
    parsed = json.loads(front.sql("SELECT 1 AS a FORMAT JSON"))
    assert (parsed["data"], parsed["rows"]) == ([{"a": 1}], 1)
    assert front.request("SELECT 1 AS a WHERE 0 FORMAT CSVWithNames").text == '"a"\n'
    assert front.request("SELECT 1 FORMAT Nonsense").code == 73


@pytest.mark.parametrize("name", ["CSVWithNames", "TSVWithNamesAndTypes"])
def test_a_long_answer_is_one_document(front: ClickHouseFront, name: str) -> None:
    lines = front.sql(f"SELECT number AS n FROM numbers(300000) FORMAT {name}").split("\n")
    head = 1 if name == "CSVWithNames" else 2
    assert [int(line) for line in lines[head:]] == list(range(300_000))


def test_users_and_passwords(front: ClickHouseFront) -> None:
    wrong = {"X-ClickHouse-Key": "wrong"}
    basic = base64.b64encode(f"default:{front.password}".encode()).decode()
    foreign = base64.b64encode("default:pässwörd".encode("latin-1")).decode()
    connection = front.connection()
    for headers, target, status in (
        ({}, "/?query=SELECT+1", 403),
        (wrong, "/?query=SELECT+1", 403),
        (
            {"X-ClickHouse-User": "someone", "X-ClickHouse-Key": front.password},
            "/?query=SELECT+1",
            403,
        ),
        ({"Authorization": f"Basic {basic}"}, "/?query=SELECT+1", 200),
        ({"Authorization": "Basic not-base64!"}, "/?query=SELECT+1", 401),
        ({"Authorization": "Basic \xff"}, "/?query=SELECT+1", 401),
        ({"Authorization": f"Basic {foreign}"}, "/?query=SELECT+1", 401),
        ({"X-ClickHouse-User": "\xff\xfe"}, "/?query=SELECT+1", 401),
        ({"X-ClickHouse-Key": "caf\xe9"}, "/?query=SELECT+1", 401),
        ({}, "/?query=SELECT+1&user=caf%C3%A9", 401),
        ({}, "/?query=SELECT+1&password=%FF%00", 401),
        ({}, f"/?query=SELECT+1&user=default&password={front.password}", 200),
    ):
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == status, (headers, body)
        if status != 200:
            assert answer.headers["X-ClickHouse-Exception-Code"] == "516"
            assert b"AUTHENTICATION_FAILED" in body
            assert front.password.encode() not in body
    connection.close()


def test_settings_are_those_of_one_request(front: ClickHouseFront) -> None:
    sql = "SELECT getSetting('max_block_size')"
    no_name: dict[str, Any] = {"a b": 1}
    assert front.sql(sql, max_block_size=123) == "123"
    assert front.sql(sql) != "123"
    assert front.request("SELECT 1", no_such_setting=1).code == 115
    assert front.request("SELECT 1", **no_name).code == 36


@pytest.mark.parametrize("level", [1, 2])
def test_readonly(front: ClickHouseFront, table: str, level: int) -> None:
    insert = f"INSERT INTO {table} VALUES (1, 'x')"
    assert front.request(insert, readonly=level).code == 164
    assert front.request(f"DROP TABLE {table}", readonly=level).code == 164
    assert front.request("SET readonly = 0", readonly=level).code == 164
    assert front.request(f"SELECT count() FROM {table}", readonly=level).text == "0\n"
    changed = front.request("SELECT 1 SETTINGS max_threads = 1", readonly=level)
    assert changed.code == (164 if level == 1 else 0)
    session = uuid.uuid4().hex
    assert front.request(insert, readonly=level, session_id=session).code == 164
    assert front.request(insert, session_id=session).status == 200


def test_get_only_reads(front: ClickHouseFront, table: str) -> None:
    for sql in (f"INSERT INTO {table} VALUES (1, 'x')", f"DROP TABLE {table}"):
        assert front.request(method="GET", query=sql).code == 164
    assert front.sql(f"SELECT count() FROM {table}") == "0"


def test_one_statement_a_request(front: ClickHouseFront, table: str) -> None:
    assert front.request("SELECT 1; SELECT 2").code == 62
    assert front.request(f"SELECT 1; DROP TABLE {table}").code == 62
    assert front.request("SELECT 1;\n").text == "1\n"
    assert front.sql(f"SELECT count() FROM {table}") == "0"


@pytest.mark.parametrize("text", ["", " ;", "-- nothing", "/* nothing */ ; "])
def test_a_statement_of_nothing_is_refused(front: ClickHouseFront, text: str) -> None:
    answer = front.request(text)
    assert (answer.status, answer.code) == (400, 62)
    assert "Empty query" in answer.text


def test_data_may_begin_with_a_semicolon(front: ClickHouseFront, table: str) -> None:
    """As the block of a table with 59 columns does, where clickhouse-connect's insert failed."""
    rows = (59).to_bytes(8, "little") + bytes([1]) + b"x"
    assert front.request(f"INSERT INTO {table} FORMAT RowBinary\n".encode() + rows).status == 200
    assert front.sql(f"SELECT * FROM {table}") == "59\tx"


def test_an_error_may_quote_bytes_that_are_no_text(front: ClickHouseFront) -> None:
    """Its answer was "Internal Server Error", or a result that was cut off."""
    refused = front.request("SELECT toUInt8(unhex('ff'))")
    assert (refused.status, refused.code) == (400, 6)
    assert "Cannot parse string '\ufffd' as UInt8" in refused.text
    value = "toUInt8(if(number = 20000, unhex('ff'), '1'))"
    cut = front.request(f"SELECT {value} FROM numbers(30000) SETTINGS max_block_size = 1000")
    assert "Cannot parse string" in cut.text


def test_a_view_is_refreshed(front: ClickHouseFront) -> None:
    name = f"refreshed_{uuid.uuid4().hex}"
    front.sql(f"CREATE VIEW {name}_of AS SELECT 7 AS a")
    front.sql(
        f"CREATE MATERIALIZED VIEW {name} REFRESH EVERY 1 YEAR ENGINE = Memory EMPTY "
        f"AS SELECT a FROM {name}_of"
    )
    front.sql(f"SYSTEM REFRESH VIEW {name}")
    front.sql(f"SYSTEM WAIT VIEW {name}")
    assert front.sql(f"SELECT a FROM {name}") == "7"
    front.sql(f"DROP TABLE {name}")
    front.sql(f"DROP VIEW {name}_of")


def test_sessions(front: ClickHouseFront) -> None:
    session = uuid.uuid4().hex
    assert front.request("SELECT 1", session_id=session, session_check=1).code == 372
    front.sql("CREATE TEMPORARY TABLE mine (a Int8)", session_id=session)
    front.sql("INSERT INTO mine VALUES (7)", session_id=session)
    front.sql("SET max_block_size = 77", session_id=session)
    assert front.sql("SELECT a FROM mine", session_id=session, session_check=1) == "7"
    assert front.sql("SELECT getSetting('max_block_size')", session_id=session) == "77"
    sql = "SELECT getSetting('max_block_size')"
    assert front.sql(sql, session_id=session, max_block_size=78) == "78"
    assert front.sql(sql, session_id=session) == "77"
    assert front.request("SELECT a FROM mine").code == 60
    assert front.request("SELECT a FROM mine", session_id=session + "x").code == 60
    assert front.request("SELECT 1", session_id=session, session_timeout="nan").code == 36
    assert front.request("SELECT 1", session_id=session, session_timeout="3601").code == 374
    assert front.request("SELECT 1", session_id=session, session_timeout="1e400").code == 374
    front.sql("CREATE DATABASE IF NOT EXISTS `it's`")
    front.sql("USE `it's`", session_id=session)
    assert front.sql("SELECT 1", session_id=session, database="system") == "1"
    assert front.sql("SELECT currentDatabase() = 'it\\'s'", session_id=session) == "1"


def test_a_session_ends_with_the_request_that_says_so(front: ClickHouseFront) -> None:
    session = uuid.uuid4().hex
    front.sql("SET max_block_size = 77", session_id=session)
    sql = "SELECT getSetting('max_block_size')"
    assert front.sql(sql, session_id=session, close_session=1, stacktrace=1) == "77"
    assert front.request("SELECT 1", session_id=session, session_check=1).code == 372


def test_a_session_has_one_request_at_a_time_and_ends(front: ClickHouseFront) -> None:
    session = uuid.uuid4().hex
    mark = uuid.uuid4().hex
    slow = threading.Thread(
        target=front.request, args=(ENDLESS,), kwargs={"session_id": session, "query_id": mark}
    )
    slow.start()
    running(front, mark)
    assert front.request("SELECT 1", session_id=session).code == 373
    front.sql(f"KILL QUERY WHERE query_id = '{mark}' SYNC")
    slow.join()
    assert (
        front.request("SELECT 1", session_id=session, session_check=1, session_timeout=0).status
        == 200
    )
    time.sleep(0.01)
    assert front.request("SELECT 1", session_id=session, session_check=1).code == 372


def test_query_ids(front: ClickHouseFront) -> None:
    assert front.request("SELECT 1", query_id="mine").headers["x-clickhouse-query-id"] == "mine"
    uuid.UUID(front.request("SELECT 1").headers["x-clickhouse-query-id"])
    mark = uuid.uuid4().hex
    slow = threading.Thread(target=front.request, args=(ENDLESS,), kwargs={"query_id": mark})
    slow.start()
    running(front, mark)
    assert front.request("SELECT 1", query_id=mark).code == 216
    front.sql(f"KILL QUERY WHERE query_id = '{mark}' SYNC")
    slow.join()
    assert front.request("SELECT 1", query_id=mark).status == 200


def test_kill_query(front: ClickHouseFront) -> None:
    mark = uuid.uuid4().hex
    answers = []
    sql = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 0"
    slow = threading.Thread(target=lambda: answers.append(front.request(sql, query_id=mark)))
    slow.start()
    running(front, mark)
    assert front.sql(f"KILL QUERY WHERE query_id = '{mark}' SYNC")
    slow.join()
    assert answers[0].code == 394


def test_a_client_that_goes_away_ends_its_query(front: ClickHouseFront) -> None:
    mark = uuid.uuid4().hex
    connection = front.connection()
    sql = "SELECT count() FROM system.numbers WHERE sipHash64(number) = 0"
    headers = {"X-ClickHouse-Key": front.password}
    connection.request("POST", f"/?query_id={mark}", sql, headers)
    running(front, mark)
    connection.close()
    eventually(lambda: not is_running(front, mark), "the end of the query")


def test_several_queries_at_once(front: ClickHouseFront) -> None:
    marks = [uuid.uuid4().hex for _ in range(8)]
    sql = "SELECT count() FROM system.numbers WHERE sleepEachRow(0.01) SETTINGS max_block_size = 10"
    threads = [
        threading.Thread(target=front.request, args=(sql,), kwargs={"query_id": mark})
        for mark in marks
    ]
    for thread in threads:
        thread.start()
    for mark in marks:
        running(front, mark)
    assert all(is_running(front, mark) for mark in marks)
    for mark in marks:
        front.sql(f"KILL QUERY WHERE query_id = '{mark}' ASYNC")
    for thread in threads:
        thread.join()


def test_the_summary(front: ClickHouseFront, table: str) -> None:
    inserted = front.request("1\tx\n2\ty\n", query=f"INSERT INTO {table} FORMAT TSV").summary
    assert inserted["written_rows"] == 2
    assert inserted["written_bytes"] > 0
    read = front.request(f"SELECT a FROM {table} FORMAT JSON").summary
    assert (read["read_rows"], read["result_rows"]) == (2, 2)


def test_errors_carry_clickhouses_codes(front: ClickHouseFront) -> None:
    for sql, status, code in (
        ("SELECT no_such_column", 404, 47),
        ("SELEC 1", 400, 62),
        ("SELECT * FROM no_such_table", 404, 60),
        ("SELECT throwIf(1)", 500, 395),
    ):
        answer = front.request(sql)
        assert (answer.status, answer.code) == (status, code), answer.text
        assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
        assert answer.text.count("DB::Exception") == 1


def test_an_error_in_the_middle_of_an_answer_is_in_it(front: ClickHouseFront) -> None:
    answer = front.request(
        "SELECT throwIf(number = 500000) FROM numbers(1000000) FORMAT TSV", max_threads=1
    )
    assert answer.status == 200
    assert answer.body.startswith(b"0\n")
    assert b"Code: 395" in answer.body[-600:]
    assert b"__exception__" in answer.body[-1000:]
    assert answer.headers["x-clickhouse-exception-tag"].encode() in answer.body[-1000:]
    waited = front.request(
        "SELECT throwIf(number = 500000) FROM numbers(1000000) FORMAT TSV", wait_end_of_query=1
    )
    assert (waited.status, waited.code) == (500, 395)


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_compression(front: ClickHouseFront, table: str, encoding: str) -> None:
    data = "".join(f"{n}\trow {n}\n" for n in range(70_000)).encode()
    headers = {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    answer = front.request(
        COMPRESS[encoding](data), query=f"INSERT INTO {table} FORMAT TSV", headers=headers
    )
    assert answer.status == 200, answer.text
    answer = front.request(
        COMPRESS[encoding](f"SELECT * FROM {table} ORDER BY a".encode()),
        headers=headers,
        enable_http_compression=1,
    )
    assert answer.headers["content-encoding"] == encoding
    assert DECOMPRESS[encoding](answer.body) == data


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_a_broken_body_is_refused(front: ClickHouseFront, table: str, encoding: str) -> None:
    whole = COMPRESS[encoding](b"1\tx\n" * 1000)
    for body in (whole[:-5], b"nonsense" + whole):
        answer = front.request(
            body,
            query=f"INSERT INTO {table} FORMAT TSV",
            headers={"Content-Encoding": encoding},
        )
        assert (answer.status, answer.code) == (400, 36)
    assert front.sql(f"SELECT count() FROM {table}") == "0"


def test_an_unknown_encoding_is_refused_and_none_is_not_compressed(front: ClickHouseFront) -> None:
    assert front.request("SELECT 1", headers={"Content-Encoding": "br"}).code == 36
    answer = front.request("SELECT 1", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/hostname', LineAsString)",
        "SELECT file('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'TSV')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM Python(password)",
        "CREATE TABLE outward (a Int8) ENGINE = File(TSV)",
        "CREATE TABLE outward (a Int8) ENGINE = URL('http://127.0.0.1:1/', 'TSV')",
        "CREATE DATABASE outward ENGINE = Filesystem('/etc')",
        "CREATE DICTIONARY outward (a UInt64, b String) PRIMARY KEY a "
        "SOURCE(HTTP(URL 'http://127.0.0.1:1/' FORMAT 'TSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "ATTACH TABLE outward FROM '/etc/' (a Int8) ENGINE = MergeTree ORDER BY a",
        "BACKUP DATABASE default TO File('/tmp/outward')",
        "INSERT INTO FUNCTION file('/tmp/outward', 'TSV', 'a Int8') VALUES (1)",
        "SELECT 1 INTO OUTFILE '/tmp/outward'",
        "CREATE USER outward",
        "SYSTEM SHUTDOWN",
        "SYSTEM KILL",
    ],
)
def test_no_statement_reaches_out_of_the_data_directory(front: ClickHouseFront, sql: str) -> None:
    answer = front.request(sql)
    assert answer.status in {400, 403, 404, 500}
    assert answer.code in {60, 62, 358, 481, 497}, answer.text
    assert front.sql("SELECT 1") == "1"


def test_data_cannot_call_a_function_that_reads_files(front: ClickHouseFront, table: str) -> None:
    for padding in (0, 2_000_000):
        rows = f"(1, '{'x' * padding}'), (2, file('/etc/hostname'))"
        assert front.request(rows, query=f"INSERT INTO {table} VALUES").code == 497
        infile = front.request(f"INSERT INTO {table} FROM INFILE '/etc/hostname' FORMAT TSV")
        assert infile.code == 78
    assert front.sql(f"SELECT count() FROM {table}") == "0"


def test_curl(front: ClickHouseFront, table: str) -> None:
    def curl(*arguments: str, data: bytes = b"") -> bytes:
        done = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "-u", f"default:{front.password}", *arguments],
            input=data, capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout

    assert curl(front.url, "-d", "SELECT 1") == b"1\n"
    data = b"".join(b"%d\tx\n" % n for n in range(400_000))
    target = f"{front.url}/?query=INSERT+INTO+{table}+FORMAT+TSV"
    assert curl(target, "--data-binary", "@-", data=data) == b""
    chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", "@-")
    assert curl(target, *chunked, data=data) == b""
    assert curl(front.url, "-d", f"SELECT count() FROM {table}") == b"800000\n"
    compressed = curl(
        f"{front.url}/?enable_http_compression=1", "--compressed", "-d", "SELECT 1 FORMAT CSV"
    )
    assert compressed == b"1\n"


def is_running(front: ClickHouseFront, mark: str) -> bool:
    sql = f"SELECT count() FROM system.processes WHERE Settings['log_comment'] = '{mark}'"
    return front.sql(sql) != "0"


def running(front: ClickHouseFront, mark: str) -> None:
    """Return when the statement runs."""
    eventually(lambda: is_running(front, mark), "the query")


def test_a_statement_may_take_anothers_place(front: ClickHouseFront) -> None:
    mark = uuid.uuid4().hex
    answers = []
    slow = threading.Thread(target=lambda: answers.append(front.request(ENDLESS, query_id=mark)))
    slow.start()
    running(front, mark)
    assert front.sql("SELECT 7", query_id=mark, replace_running_query=1) == "7"
    slow.join(30)
    assert answers[0].code == 394


def test_a_role_that_nobody_has(front: ClickHouseFront) -> None:
    assert front.request("SELECT 1", role="analyst").code == 511


@pytest.mark.parametrize("rows", [1, 300_000])
def test_http_1_0_gets_its_answer_in_one(front: ClickHouseFront, rows: int) -> None:
    sql = f"SELECT number FROM numbers({rows})".replace(" ", "+")
    login = base64.b64encode(f"default:{front.password}".encode()).decode()
    with socket.create_connection((front.host, front.port), timeout=30) as connection:
        connection.sendall(
            f"GET /?query={sql} HTTP/1.0\r\nAuthorization: Basic {login}\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert f"content-length: {len(body)}".encode() in head
    assert body.decode().split() == [str(n) for n in range(rows)]
