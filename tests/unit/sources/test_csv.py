"""CSV: types by the pipeline's fields, what csv can hold, and rows that do not fit."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.producer.sources import Record
from nrtctl.producer.sources.files.cells import converter
from nrtctl.producer.sources.files.csv import CsvRows
from nrtctl.producer.sources.files.delimiters import Form

Write = Callable[..., str]
Drain = Callable[..., list[Record]]


def objects(records: list[Record]) -> list[dict[str, Any]]:
    return [json.loads(value or b"") for _, value, _, _ in records]


def test_numbers_where_the_field_is_a_number_else_text(write: Write, drain: Drain) -> None:
    fields = {"CustomerID": "String", "Quantity": "Int32", "Price": "Nullable(Float64)"}
    source = CsvRows(write(b"CustomerID,Quantity,Price,Other\n17850.0,6,2.550,7\n"), fields=fields)
    (record,) = drain(source)
    assert record[1] == b'{"CustomerID":"17850.0","Quantity":6,"Price":2.550,"Other":"7"}'


@pytest.mark.parametrize(
    ("type_", "cell", "text"),
    [
        ("UInt64", "18446744073709551615", b"18446744073709551615"),
        ("Int256", "-123456789012345678901234567890", b"-123456789012345678901234567890"),
        ("Int32", "1.5", b"1.5"),
        ("Int32", "007", b'"007"'),
        ("Int32", "+1", b'"+1"'),
        ("Int32", " 1", b'" 1"'),
        ("Int32", "٣", '"٣"'.encode()),
        ("Int32", "1\n", b'"1\\n"'),
        ("Float64", "1e400", b"1e400"),
        ("Float64", "nan", b'"nan"'),
        ("Decimal(18, 2)", "10.10", b"10.10"),
        ("LowCardinality(Nullable(Int8))", "-5", b"-5"),
        ("Nullable(String)", "1", b'"1"'),
        ("UUID", "1", b'"1"'),
        ("Bool", "TRUE", b"true"),
        ("Bool", "yes", b'"yes"'),
    ],
)
def test_conversion(write: Write, drain: Drain, type_: str, cell: str, text: bytes) -> None:
    path = write(f'a,b\n"{cell}",\n'.encode())
    (record,) = drain(CsvRows(path, fields={"a": type_}))
    assert record[1] == b'{"a":' + text + b',"b":null}'


def test_quotes_commas_newlines_and_a_byte_order_mark(write: Write, drain: Drain) -> None:
    data = b'\xef\xbb\xbfid,"na,me"\r\n1,"a ""b""\r\nc, d"\r\n\r\n2,\xe2\x82\xac\r\n'
    source = CsvRows(write(data), fields={"id": "UInt8"}, key="id")
    records = drain(source)
    assert objects(records) == [
        {"id": 1, "na,me": 'a "b"\r\nc, d'},
        {"id": 2, "na,me": "€"},
    ]
    assert [key for key, _, _, _ in records] == [b"1", b"2"]
    assert source.skipped == 1
    assert source.unsendable.count == 0


def test_rows_that_do_not_fit_are_counted_with_their_lines(write: Write, drain: Drain) -> None:
    data = b'a,b\n1,2\n3\n4,5,6\n"two\nlines",\xff\n"x"y,1\n7,8\n9,"open\n10,11\n'
    source = CsvRows(write(data), fields={})
    assert objects(drain(source)) == [
        {"a": "1", "b": "2"}, {"a": "7", "b": "8"}, {"a": "10", "b": "11"},
    ]  # fmt: skip
    assert source.unsendable.count == 5
    where = [example.partition(", ")[2] for example in source.unsendable.examples]
    assert where[0] == "line 3: 1 cell, but the header has 2"
    assert where[1] == "line 4: 3 cells, but the header has 2"
    assert where[2] == "lines 5 to 6: text that is not utf-8"
    assert where[3].startswith("line 7: ")
    assert where[4] == "line 9: a quote is opened that is not closed"


@pytest.mark.parametrize("header", [b"a,b", b'"a",b', b"a,b,", b",a,b"])
def test_a_header_that_comes_again_is_no_row(write: Write, drain: Drain, header: bytes) -> None:
    row = header.replace(b'"', b"").replace(b"a", b"1").replace(b"b", b"2") + b"\n"
    data = header + b"\n" + row + header + b"\r\n" + row + b"\xef\xbb\xbf" + header + b"\n" + row
    source = CsvRows(write(data), fields={})
    assert objects(drain(source)) == [{"a": "1", "b": "2"}] * 3
    assert [each.partition(", ")[2] for each in source.unsendable.examples] == [
        "line 3: the line that names the columns is there again",
        "line 5: the line that names the columns is there again",
    ]
    named = CsvRows(write(b"a,b\n1,2\n"), fields={}, columns=("a", "b"))
    assert objects(drain(named)) == [{"a": "1", "b": "2"}]
    assert named.unsendable.count == 1
    words = CsvRows(write(b"word\na\nword\n"), fields={})
    assert objects(drain(words)) == [{"word": "a"}, {"word": "word"}]


def test_rows_after_a_quote_that_is_never_closed_are_rows(write: Write, drain: Drain) -> None:
    rows = b"".join(b"%d,%s\n" % (number, b"x" * 100) for number in range(30_000))
    data = b'a,b\n"one\nline",1\n"two\nlines","open\n' + rows + b'7,"8"\n'
    source = CsvRows(write(data), fields={})
    found = objects(drain(source))
    assert len(found) == 30_002
    assert found[0] == {"a": "one\nline", "b": "1"}
    assert (found[1]["a"], found[-2]["a"], found[-1]) == ("0", "29999", {"a": "7", "b": "8"})
    (example,) = source.unsendable.examples
    assert example.endswith(
        "lines 4 to 5: a quote is opened that is not closed within the next 1 MiB"
    )


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        (['a,"b\n', "c\n"], 0),
        (['"a\n', '",b,"c\n', "d\n"], 1),
        (['"a ""b""\n', '",b\n'], None),
        (['"a"""\n', "b"], None),
        (['"a""\n', "b"], 0),
        (['a"b,c\n'], None),
    ],
)
def test_the_line_in_which_a_quote_is_opened(record: list[str], wanted: int | None) -> None:
    assert Form().quote_opened_in(record) == wanted
    assert Form(quotes=False).quote_opened_in(record) is None


@pytest.mark.parametrize("header", [b"a,b", b"a,b,"])
def test_a_separator_at_the_end_is_no_cell_but_what_stands_behind_it_is(
    write: Write, drain: Drain, header: bytes
) -> None:
    source = CsvRows(write(header + b"\n1,2,\n3,4,x\n5,6,\n"), fields={})
    assert objects(drain(source)) == [{"a": "1", "b": "2"}, {"a": "5", "b": "6"}]
    (example,) = source.unsendable.examples
    assert example.endswith("line 3: the last cell, 'x', is in a column without a name")


def test_examples_are_bounded(write: Write, drain: Drain) -> None:
    source = CsvRows(write(b"a,b\n" + b"1\n" * 5000), fields={})
    assert drain(source) == []
    assert source.unsendable.count == 5000
    assert len(source.unsendable.examples) == 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "cp1252", "latin-1"])
def test_encodings(write: Write, drain: Drain, encoding: str) -> None:
    text = "name,n\n" + "".join(f"é{n},\n" for n in range(2000))
    source = CsvRows(write(text.encode(encoding)), fields={}, encoding=encoding)
    assert objects(drain(source)) == [{"name": f"é{n}", "n": None} for n in range(2000)]


def test_a_wrong_encoding(write: Write, drain: Drain) -> None:
    with pytest.raises(ConfigError, match="not an encoding"):
        CsvRows(write(b"a\n1\n"), fields={}, encoding="klingon")
    with pytest.raises(NrtctlError, match="not in this encoding"):
        drain(CsvRows(write(b"a\n1\n2"), fields={}, encoding="utf-16-le"))


def test_gzip(write: Write, drain: Drain) -> None:
    source = CsvRows(write(gzip.compress(b"a\n1\n2\n"), "x.csv.gz"), fields={})
    assert objects(drain(source)) == [{"a": "1"}, {"a": "2"}]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b,a\n1,2,3\n", "two columns are named 'a'"),
        (b"a,,b\n", "column 2 has no name"),
        (b"a,b\n1,2\n", "no column 'k' for the key"),
        (b"k,b\r1,2\r", "lines end with CR alone"),
    ],
)
def test_headers_that_will_not_do(write: Write, drain: Drain, data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        drain(CsvRows(write(data), fields={}, key="k"))


def test_an_empty_cell_is_no_key(write: Write, drain: Drain) -> None:
    records = drain(CsvRows(write(b"k,v\n,1\nx,2\n"), fields={}, key="k"))
    assert [key for key, _, _, _ in records] == [None, b"x"]


def test_a_pipe_gives_rows_as_they_come_even_half_ones(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    source = CsvRows(str(path), fields={})
    os.write(writer, b"a,b\n1,2\n3,")
    assert objects(source.take(10)) == [{"a": "1", "b": "2"}]
    os.write(writer, b'"half\n')
    assert source.take(10) == []
    os.write(writer, b'done"\n5')
    assert objects(source.take(10)) == [{"a": "3", "b": "half\ndone"}]
    os.write(writer, b",6")
    os.close(writer)
    os.close(reader)
    rest = []
    while not source.exhausted:
        rest += source.take(10)
    source.close()
    assert objects(rest) == [{"a": "5", "b": "6"}]
    assert source.unsendable.count == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=8)] * 3), min_size=1, max_size=20
    ),
    st.integers(1, 5),
)
def test_what_csv_writes_comes_back(
    write: Write, drain: Drain, rows: list[tuple[str, str, str]], limit: int
) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("a", "b", "c"), *rows])
    source = CsvRows(write(file.getvalue().encode()), fields={})
    expected = [{n: cell or None for n, cell in zip("abc", row, strict=True)} for row in rows]
    assert objects(drain(source, limit)) == expected
    assert source.unsendable.count == 0


def test_text_converter_keeps_text() -> None:
    assert converter("String") is None
    assert converter("LowCardinality(Nullable(String))") is None
