"""What a statement tells without the engine, and which ones are refused by their words."""

from __future__ import annotations

import pytest

from nrtctl.local.front.statement import BadRequest, read_shape, refuse_calls


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('/etc/hostname')",
        "SELECT 1, file /* a comment */ ('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "SELECT \"fil\\x65\"('/etc/hostname')",
        "SELECT arrayMap(file, ['/etc/hostname'])",
        "SELECT * APPLY file FROM t",
        "SELECT * APPLY(file) FROM t",
        "CREATE VIEW v AS SELECT file('/etc/hostname')",
        "INSERT INTO t SELECT file('/etc/hostname')",
        "SELECT * FROM Python(password)",
        "INSERT INTO t FROM INFILE '/etc/hostname' FORMAT TSV",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
    ],
)
def test_a_way_to_this_machines_files_is_refused(sql: str) -> None:
    with pytest.raises(BadRequest):
        read_shape(sql.encode())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file FROM t",
        "SELECT 'file(1)', (file, 2) FROM t",
        "SELECT 1 -- file(1)",
        "CREATE TABLE file (file String) ENGINE = Memory",
        "CREATE TABLE IF NOT EXISTS db.file (a Int8) ENGINE = Memory",
        "INSERT INTO file (file) VALUES ('a')",
        "SELECT python FROM t WHERE file IN ('a')",
    ],
)
def test_a_column_or_table_of_that_name_is_not(sql: str) -> None:
    read_shape(sql.encode())


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
    ],
)
def test_the_data_of_an_insert_begins_after_its_format(
    sql: str, data_format: str, data: bytes
) -> None:
    insert = read_shape(sql.encode()).insert
    assert insert is not None
    assert insert.data_format == data_format
    assert sql.encode()[insert.data_from :] == data


@pytest.mark.parametrize(
    "sql", ["INSERT INTO t SELECT 1", "INSERT INTO t WITH 1 AS a SELECT a", "INSERT INTO t"]
)
def test_an_insert_without_data(sql: str) -> None:
    assert read_shape(sql.encode()).insert is None


@pytest.mark.parametrize(
    ("sql", "output"),
    [
        ("SELECT 1 FORMAT JSON", "JSON"),
        ("SELECT 1 FORMAT JSON SETTINGS a = 1", "JSON"),
        ("SELECT format FROM t", ""),
        ("SELECT 'x FORMAT CSV'", ""),
        ("SELECT 1 FORMAT CSV;", "CSV"),
        ("SELECT * FROM (SELECT 1 AS format)", ""),
    ],
)
def test_the_output_format(sql: str, output: str) -> None:
    assert read_shape(sql.encode()).output_format == output
