"""What a statement tells without the engine, and which ones are refused by their words."""

from __future__ import annotations

import pytest

from nrtctl.local.front.outward import Refused
from nrtctl.local.front.statement import BadRequest, Shape, is_on
from nrtctl.local.front.statement import read_shape as read
from nrtctl.local.front.statement import refuse_calls as refuse

REFUSED = Refused.among(
    ["file", "url", "numbers", "view", "bigquery"], ["MergeTree", "FileLog", "Filesystem"]
)


def read_shape(sql: str | bytes) -> Shape:
    return read(sql.encode() if isinstance(sql, str) else sql, REFUSED)


def refuse_calls(data: bytes) -> None:
    refuse(data, REFUSED)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('/etc/hostname')",
        "SELECT 1, file /* a /* nested */ comment */ ('/etc/hostname')",
        "SELECT file\u00a0('/etc/hostname')",
        "\ufeffSELECT file\u200b('/etc/hostname')",
        "SELECT file // (\n ('/etc/hostname')",
        "SELECT 1 // '\n, file('/etc/hostname') // '",
        "SELECT $ab$ ' $ab$, file('/etc/hostname'), $ab$ ' $ab$",
        "SELECT x'27', file('/etc/hostname')",
        "SELECT ‘'’, file('/etc/hostname'), ‘'’",
        "SELECT `file`('/etc/hostname')",
        "SELECT “file”('/etc/hostname')",
        "SELECT \"fil\\x65\"('/etc/hostname')",
        "CREATE VIEW v AS SELECT file('/etc/hostname')",
        "INSERT INTO t SELECT file('/etc/hostname')",
        "SELECT * FROM Python(password)",
        "SELECT * FROM bigquery('a', 'b', 'c')",
        "DESCRIBE TABLE bigquery('a', 'b', 'c')",
        "DESC TABLE\u00a0/* */ `file` ('/etc/hostname')",
        "INSERT INTO FUNCTION url('http://example.com', 'TSV') VALUES (1)",
        "INSERT INTO t FROM INFILE '/etc/hostname' FORMAT TSV",
        "INSERT INTO t FROM\u2003INFILE $$/etc/hostname$$ FORMAT TSV",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO\u00a0OUTFILE\u3000'/tmp/x'",
        "EXPLAIN SELECT 1 INTO OUTFILE '/tmp/x'",
        "SHOW TABLES INTO OUTFILE ‘/tmp/x’",
        "INSERT INTO format (a) SELECT 1 INTO OUTFILE '/tmp/x'",
        "(SELECT 1) INTO OUTFILE '/tmp/x'",
        "CREATE TABLE t (a Int8) ENGINE = FileLog('/etc/hostname', 'LineAsString')",
        "CREATE TABLE t (a Int8) ENGINE FileLog('/etc/hostname', 'LineAsString')",
        "DROP TABLE s PARALLEL WITH CREATE TABLE t (a Int8) ENGINE = `FileLog`('/etc/x', 'TSV')",
        "CREATE DATABASE d ENGINE = Filesystem('/tmp')",
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web)",
        "CREATE DATABASE d ENGINE = Atomic SETTINGS disk = `disk` (type = local, path = '/tmp/')",
        "ATTACH TABLE t FROM '/tmp/t' (a Int8) ENGINE = MergeTree ORDER BY a",
        "SELECT 'not closed",
        "SELECT /* not closed",
        "SELECT 1 \x00",
        "SELECT 1 & 2",
        "SELECT 1 FORMAT `JSO\\x4e`",
    ],
)
def test_a_way_out_of_the_tables_is_refused(sql: str) -> None:
    with pytest.raises(BadRequest):
        read_shape(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file FROM t",
        "SELECT 'file(1)', (file, 2), $$ file(1) $$ FROM t",
        "SELECT 1 -- file(1)",
        "SELECT 1 // file(1)",
        "CREATE TABLE file (file String) ENGINE = Memory",
        "CREATE TABLE IF NOT EXISTS db.file (a Int8) ENGINE = Memory",
        "CREATE TABLE disk (a Int8, INDEX url (a) TYPE minmax) ENGINE = MergeTree ORDER BY a",
        "INSERT INTO file (file) VALUES ('a')",
        "INSERT INTO outfile SELECT 1",
        "SELECT infile, outfile FROM infile",
        "SELECT python FROM t WHERE file IN ('a')",
        "SELECT engine FROM system.tables WHERE engine = 'FileLog'",
        "CREATE VIEW v AS SELECT engine FROM system.tables WHERE engine = name",
        "SELECT number FROM numbers(3), view(SELECT 1)",
        "DESCRIBE TABLE file",
        "DESC TABLE numbers(3)",
        "ALTER TABLE t ATTACH PARTITION 'x' FROM u",
    ],
)
def test_what_only_looks_so_is_not(sql: str) -> None:
    read_shape(sql)


def test_values_may_hold_the_word_but_not_the_call() -> None:
    refuse_calls(b"('file(1)'), ('a file'), (now())")
    with pytest.raises(BadRequest, match="not allowed"):
        refuse_calls(b"('a'), (file('/etc/hostname'))")


@pytest.mark.parametrize(
    ("sql", "data_format", "data"),
    [
        ("INSERT INTO t FORMAT TSV\n1\n2\n", "TSV", b"1\n2\n"),
        ("INSERT INTO t FORMAT TSV\r\n1\n", "TSV", b"1\n"),
        ("INSERT INTO t (a) VALUES (1)", "Values", b"(1)"),
        ("-- c\nINSERT INTO t SETTINGS a = 1 FORMAT CSV 1", "CSV", b"1"),
        ("INSERT INTO `values` FORMAT JSONEachRow {}", "JSONEachRow", b"{}"),
        ("INSERT INTO t FORMAT RowBinary\n\n\n", "RowBinary", b"\n\n"),
        ("INSERT INTO t FORMAT Native\n;\x01", "Native", b";\x01"),
        ("INSERT INTO t FORMAT Native ;\x01", "Native", b";\x01"),
        ("INSERT INTO t FORMAT TSV\n;", "TSV", b";"),
        ("INSERT INTO t FORMAT TSV ; \n", "TSV", b""),
        ("INSERT INTO t FORMAT CSV\r1", "CSV", b"1"),
        ("INSERT INTO settings FORMAT CSV 1", "CSV", b"1"),
        ("INSERT INTO d.settings (a) SETTINGS b = 1 VALUES (1)", "Values", b"(1)"),
        ("INSERT INTO format FORMAT CSV 1", "CSV", b"1"),
        ("INSERT INTO TABLE values VALUES (1)", "Values", b"(1)"),
        ("INSERT INTO FUNCTION values('a Int8') VALUES (1)", "Values", b"(1)"),
    ],
)
def test_the_data_of_an_insert_begins_after_its_format(
    sql: str, data_format: str, data: bytes
) -> None:
    insert = read_shape(sql).insert
    assert insert is not None
    assert insert.data_format == data_format
    assert sql.encode()[insert.data_from :] == data


@pytest.mark.parametrize(
    "sql", ["INSERT INTO t SELECT 1", "INSERT INTO t WITH 1 AS a SELECT a", "INSERT INTO t"]
)
def test_an_insert_without_data(sql: str) -> None:
    assert read_shape(sql).insert is None


@pytest.mark.parametrize(
    ("sql", "output"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON"),
        ("SELECT format FROM t", ""),
        ("SELECT 'x FORMAT CSV'", ""),
        ("SELECT 1 FORMAT CSV;", "CSV"),
        ("SELECT * FROM (SELECT 1 AS format)", ""),
        ("SELECT format FROM t ORDER BY format DESC", ""),
        ("SELECT a FROM t ORDER BY a, format ASC", ""),
        ("SELECT count() FROM format f", ""),
        ("SELECT format f", ""),
        ("SELECT * FROM format FINAL", ""),
        ("SELECT format FROM t ORDER BY format FORMAT JSON", "JSON"),
        ("SELECT * FROM format FORMAT JSON", "JSON"),
        ("(SELECT 1) FORMAT JSON -- ;", "JSON"),
        ("SELECT 1 FORMAT `JSON`", "JSON"),
        ('SELECT 1 FORMAT "Native" SETTINGS a = 1', "Native"),
        ("SELECT 1 FORMAT “CSV”;", "CSV"),
        ("SELECT format `f` FROM t", ""),
        ("SELECT CASE WHEN format THEN into ELSE format END", ""),
        ("SELECT 1 WHERE CASE WHEN a THEN format ELSE settings END SETTINGS b = 1", ""),
    ],
)
def test_the_output_format(sql: str, output: str) -> None:
    assert read_shape(sql).output_format == output


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        "SELECT 1 ; -- hi",
        "SELECT 1 /* ; */ ;;\n",
        "SELECT 1 FORMAT JSON",
        "SELECT 1 FORMAT JSON; -- hi",
    ],
)
def test_what_is_described_has_neither_semicolon_nor_format(sql: str) -> None:
    described = read_shape(sql).described(sql.encode())
    assert described.replace(b" ", b"").replace(b"\n", b"") == b"DESCRIBETABLE(SELECT1)"


@pytest.mark.parametrize(
    ("value", "on"), [(None, False), ("", False), ("0", False), ("False", False), ("1", True)]
)
def test_what_says_no_is_not_on(value: str | None, on: bool) -> None:
    assert (
        is_on({} if value is None else {"replace_running_query": value}, "replace_running_query")
        is on
    )


def test_the_head_of_an_insert_has_its_table() -> None:
    insert = read_shape("INSERT INTO settings SETTINGS a = 1 FORMAT CSV 1").insert
    assert insert is not None
    assert (insert.head, insert.clause) == (b"INSERT INTO settings ", b"SETTINGS a = 1 ")
