"""`nrtctl query` as a person types it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.plugins.stack import COMMAND, Project
from tests.plugins.waiting import eventually

VALUES = """SELECT NULL AS a, nan AS b, toUInt64(18446744073709551615) AS c,
toDecimal128('12345678901234567890.10', 2) AS d, toDate('2020-01-02') AS e,
toDateTime64('2020-01-02 03:04:05.678', 3, 'UTC') AS f, [1, 2] AS g, map('k', 1) AS h,
toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS i, true AS j,
'a\\n"\\'ü' AS k, unhex('ff') AS l"""


def test_values_in_json_are_exact(stack: Project) -> None:
    text = stack.run("query", VALUES, "-o", "jsonl").stdout.decode()
    assert '"d":12345678901234567890.10,' in text
    row = json.loads(text)
    assert row.pop("d") > 1
    assert row == {
        "a": None, "b": None, "c": 18446744073709551615, "e": "2020-01-02",
        "f": "2020-01-02 03:04:05.678", "g": [1, 2], "h": {"k": 1},
        "i": "61f0c404-5cb3-11e7-907b-a6006ad3dba0", "j": True, "k": "a\n\"'ü", "l": "\ufffd",
    }  # fmt: skip
    rows = stack.json("query", VALUES)
    assert len(rows) == 1
    assert rows[0]["c"] == 18446744073709551615


def test_a_table_shows_what_clickhouse_writes(stack: Project) -> None:
    sql = "SELECT toUInt64(number) * 7 AS n, if(number = 1, NULL, 'x') AS t FROM numbers(2)"
    lines = stack.run("query", sql).stdout.decode().splitlines()
    assert lines == ["n  t", "────", "0  x", "7  -"]
    assert stack.run("query", "SELECT 1e300 AS n, 0.00001 AS m").stdout.split()[-2:] == [
        b"1e300", b"0.00001",
    ]  # fmt: skip


def test_a_table_of_many_rows_comes_in_parts(stack: Project) -> None:
    out = stack.run("query", "SELECT number AS n, 'x' AS t FROM numbers(2500)").stdout.decode()
    lines = out.splitlines()
    assert len(lines) == 2502
    assert [{line.index("x") for line in part} for part in (lines[2:1002], lines[1002:])] == [
        {5}, {6},
    ]  # fmt: skip


def test_empty_answers(stack: Project) -> None:
    nothing = "SELECT 1 AS x WHERE 0"
    assert stack.run("query", nothing, "-o", "json").stdout == b"[]\n"
    assert stack.run("query", nothing, "-o", "jsonl").stdout == b""
    assert stack.run("query", nothing).stdout.decode().splitlines() == ["x", "─"]


def test_a_format_of_its_own_is_passed_on(stack: Project) -> None:
    for format in ("table", "json", "jsonl"):
        done = stack.run("query", "SELECT 1, 'a,b' FORMAT CSV", "-o", format)
        assert done.stdout == b'1,"a,b"\n'
    done = stack.run("query", "SELECT 1 FORMAT JSONCompactEachRow", "-o", "table")
    assert done.stdout == b"[1]\n"


@pytest.mark.parametrize("format", ["table", "json", "jsonl"])
@pytest.mark.parametrize(
    ("sql", "code", "said"),
    [
        ("SELEC", 1, "Maybe you meant: SELECT"),
        ("SELECT 1; SELECT 2", 1, "Multi-statements"),
        ("SELECT * FROM nowhere", 1, "nowhere"),
        ("SELECT throwIf(1, 'as asked')", 1, "as asked"),
        ("CREATE TABLE x (a Int8) ENGINE = Memory", 1, "nrtctl query --write"),
        ("DROP TABLE events", 1, "nrtctl query --write"),
        ("SELECT 1 SETTINGS readonly = 0", 1, "readonly"),
        (" ; ", 2, "empty"),
    ],
)
def test_errors_leave_stdout_empty(
    stack: Project, format: str, sql: str, code: int, said: str
) -> None:
    done = stack.run("query", sql, "-o", format, code=code)
    assert done.stdout == b""
    text = done.stderr.decode()
    assert said in text
    assert "Expected one of" not in text
    assert "Traceback" not in text
    assert [line[:6] for line in text.splitlines()].count("error:") == 1


def test_an_error_in_the_middle_ends_with_1_and_no_whole_array(stack: Project) -> None:
    sql = "SELECT throwIf(number = 900000) AS x FROM numbers(1000000)"
    done = stack.run("query", sql, "-o", "jsonl", code=1)
    assert set(done.stdout.splitlines()) <= {b'{"x":0}'}
    assert b"throwIf" in done.stderr
    done = stack.run("query", sql, "-o", "json", code=1)
    with pytest.raises(ValueError):
        json.loads(done.stdout)


def test_write_needs_leave_and_prints_what_there_is(stack: Project) -> None:
    for sql in ("CREATE TABLE w (a Int8) ENGINE = Memory", "INSERT INTO w VALUES (5)"):
        assert stack.run("query", "--write", sql).stdout == b""
    assert stack.json("query", "--write", "SELECT a FROM w") == [{"a": 5}]
    assert stack.run("query", "-", stdin=b"SELECT a\nFROM w -- here\n;\n").stdout.split() == [
        b"a", "─".encode(), b"5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "most", "count"),
    [
        ("json", 260, 200_000),
        pytest.param("json", 450, 400_000, marks=pytest.mark.long),
        pytest.param("jsonl", 450, 400_000, marks=pytest.mark.long),
    ],
)
def test_large_answers_take_bounded_memory(
    stack: Project, format: str, most: int, count: int
) -> None:
    """Rows of a thousand bytes through a process with so many megabytes of address space."""
    sql = f"SELECT repeat('x', 1000) AS x FROM numbers({count})"
    script = f'ulimit -v {most}000; exec "$@"'
    process = subprocess.Popen(
        ["bash", "-c", script, "-", *COMMAND, "query", sql, "-o", format],
        cwd=stack.directory,
        env=stack.environ,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    total = 0
    while piece := process.stdout.read(1 << 20):
        total += len(piece)
    process.stdout.close()
    assert process.wait(60) == 0
    assert total > 1000 * count


def test_a_closed_pipe_is_no_error(stack: Project, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    for format in ("jsonl", "json", "table"):
        with errors.open("wb") as file:
            sql = "SELECT number FROM numbers(100000)"
            process = stack.start("query", sql, "-o", format, errors=file, anew=format == "json")
            assert process.stdout is not None
            process.stdout.read(10)
            process.stdout.close()
            assert process.wait(60) == 0
        assert errors.read_bytes() == b""


def test_an_interrupt_stops_the_query_on_the_server(stack: Project) -> None:
    marked = "SELECT count() FROM numbers(100000000000) WHERE NOT ignore('marked')"
    running = "SELECT count() FROM system.processes WHERE query LIKE '%ignore(''marked'')%' "
    running += "AND query NOT LIKE '%system.processes%'"
    process = stack.start("query", marked)
    eventually(lambda: stack.value(running) or process.poll() is not None, "the query runs")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"interrupted" in errors
    eventually(lambda: not stack.value(running), "the query is gone")


def test_a_terminal_is_told_how_many_rows_there_were(stack: Project) -> None:
    with stack.terminal("query", "SELECT 1 AS n WHERE 0") as terminal:
        assert terminal.wait_for_end() == 0
        assert "\n0 rows in " in terminal.text
    assert stack.run("query", "SELECT 1 AS n WHERE 0").stderr == b""
