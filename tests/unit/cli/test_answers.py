"""What ClickHouse's answers say, wherever they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nrtctl.clickhouse.answers import plain, unbroken
from nrtctl.errors import QueryError

ROWS = [b'{"a":1}\n', b'{"a":"Code: 1"}\n', b'{"a":"__exception__"}\n']
TAGGED = (
    b"\r\n__exception__\r\ntag\r\nCode: 395. DB::Exception: thrown: while executing. (NAME) "
    b"(version 26.9)\n84 tag\r\n__exception__\r\n"
)
OLD = b"Code: 395. DB::Exception: thrown: while executing. (NAME) (version 24.8.1)\n"


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    at = sorted({min(each, len(whole)) for each in places} | {0, len(whole)})
    return [whole[a:b] for a, b in itertools.pairwise(at) if a < b]


cuts = st.lists(st.integers(0, 250), max_size=6)


@given(rows=st.lists(st.sampled_from(ROWS), max_size=6), places=cuts)
def test_whole_lines_come_through(rows: list[bytes], places: list[int]) -> None:
    blocks = list(unbroken(cut(b"".join(rows), places), b"tag"))
    assert b"".join(blocks) == b"".join(rows)
    assert all(block.endswith(b"\n") for block in blocks)


@given(
    rows=st.lists(st.sampled_from(ROWS), max_size=6),
    places=cuts,
    error=st.sampled_from([TAGGED, OLD]),
)
def test_an_error_in_the_middle_ends_them(
    rows: list[bytes], places: list[int], error: bytes
) -> None:
    got: list[bytes] = []
    with pytest.raises(QueryError) as caught:
        got.extend(unbroken(cut(b"".join(rows) + error, places), b"tag"))
    assert caught.value.message == "thrown: while executing. (NAME)"
    assert caught.value.code == 395


def test_the_rows_before_an_error_were_given() -> None:
    blocks = unbroken([ROWS[0] + ROWS[1] + TAGGED], b"tag")
    assert next(blocks) == ROWS[0] + ROWS[1]
    with pytest.raises(QueryError):
        next(blocks)


def test_an_answer_cut_in_a_row_is_an_error() -> None:
    with pytest.raises(QueryError):
        list(unbroken([b'{"a":1}\n', b"garbage"], b""))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Received ClickHouse exception, code: 62, server response: Code: 62. DB::Exception: "
            "Syntax error: failed at position 1 (SELEC). Expected one of: Query, SELECT, "
            "SHOW [FULL] x. (SYNTAX_ERROR) (version 26.9.2.1) (for url http://127.0.0.1:1)",
            "Syntax error: failed at position 1 (SELEC). (SYNTAX_ERROR)",
        ),
        ("Connection refused", "Connection refused"),
        (
            "Error HTTPConnectionPool(host='h', port=8123): Max retries exceeded with url: /?q=1 "
            "(Caused by NewConnectionError(\"HTTPConnection(host='h', port=8123): Failed to "
            'establish a new connection: [Errno 111] Connection refused")) executing HTTP '
            "request attempt 1 (http://h:8123)",
            "Connection refused",
        ),
        (
            "HTTPConnectionPool(host='h', port=1): Max retries exceeded (Caused by NameResolution"
            "Error(\"Failed to resolve 'h' ([Errno -2] Name or service not known)\"))",
            "Name or service not known",
        ),
        ("HTTPConnectionPool(host='h', port=1): Read timed out. (read timeout=1)",
         "Read timed out"),
        ("Code: 60. DB::Exception: Unknown table a.\nb. (UNKNOWN_TABLE)", "Unknown table a. b. "
         "(UNKNOWN_TABLE)"),
        (
            "Code: 60. DB::Exception: Unknown table expression identifier 'nrt.x'. In scope SELECT "
            "'rows', count() FROM nrt.x. (UNKNOWN_TABLE) (version 26.9.1)",
            "Unknown table expression identifier 'nrt.x'. (UNKNOWN_TABLE)",
        ),
        (
            "Code: 60. DB::Exception: Unknown table expression identifier 'nrt.x'. Maybe you meant "
            "nrt.xs? In scope SELECT a FROM nrt.x WHERE b IN (A). (UNKNOWN_TABLE) (version 26.9.1)",
            "Unknown table expression identifier 'nrt.x'. Maybe you meant nrt.xs? (UNKNOWN_TABLE)",
        ),
        (
            "Code: 47. DB::Exception: Unknown identifier 'y'. In scope SELECT y. (UNKNOWN)",
            "Unknown identifier 'y'. In scope SELECT y. (UNKNOWN)",
        ),
    ],
)  # fmt: skip
def test_errors_are_one_plain_line(text: str, said: str) -> None:
    assert plain(text) == said


def test_a_long_error_is_cut() -> None:
    assert len(plain("x" * 5000)) == 1001
