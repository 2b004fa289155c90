"""CSV as people have it: separators, numbers, headers, and rows that do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.producer.sources.files import Reading, open_records
from nrtctl.producer.sources.files.cells import converter, empty_cell
from nrtctl.producer.sources.files.delimiters import delimiter_named

Write = Callable[..., str]
PEOPLE = [{"id": "1", "name": "ann", "qty": "2"}, {"id": "2", "name": "bob", "qty": "3"}]


def rows(path: str, reading: Reading | None = None, **types: str) -> list[Any]:
    with open_records([path], reading, types=types) as records:
        return [json.loads(each.value or b"") for each in records]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_header_shows_the_separator(write: Write, separator: str, end: str) -> None:
    text = f"id,name,qty{end}1,ann,2{end}{end}2,bob,3{end}".replace(",", separator)
    for name in ("a.csv", "a.txt", "a"):
        with open_records([write(text.encode(), name)]) as records:
            assert [json.loads(each.value or b"") for each in records] == PEOPLE
        assert records.found[0].delimiter == separator
        assert records.found[0].header == ("id", "name", "qty")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ('"a;b";c\n1;2\n', {"a;b": "1", "c": "2"}),
        ('"a,b",c\n"x;y;z",2\n', {"a,b": "x;y;z", "c": "2"}),
        ("name;sums\nann;1,5\nbob;2,5\n", {"name": "ann", "sums": "1,5"}),
        ("sep=|\na|b\n1|2\n", {"a": "1", "b": "2"}),
        ('a, b, c\n1, "x, y", 3\n', {"a": "1", "b": "x, y", "c": "3"}),
        ("a,b\n1, x\n", {"a": "1", "b": " x"}),
        (",id,name\n0,7,a\n", {"id": "7", "name": "a"}),
        ("id;name;\n7;a;\n", {"id": "7", "name": "a"}),
        ("id;name\n7;a;\n8;b;\n", {"id": "7", "name": "a"}),
        ("full name\nAnn Lee\n", {"full name": "Ann Lee"}),
        ("id\n1\n", {"id": "1"}),
        ('a,b\n"x\ny","say ""hi"""\n', {"a": "x\ny", "b": 'say "hi"'}),
    ],
)
def test_forms(write: Write, text: str, first: dict[str, str]) -> None:
    assert rows(write(text.encode(), "a.csv"))[0] == first


def test_the_names_that_the_pipeline_knows_decide(write: Write) -> None:
    path = write(b"full name;x y\nAnn Lee;b c\n", "a")
    types: dict[str, Any] = {"full name": "String"}
    assert rows(path, **types) == [{"full name": "Ann Lee", "x y": "b c"}]
    with pytest.raises(ConfigError, match="neither JSON, nor CSV"):
        rows(path, unknown="String")


@pytest.mark.parametrize(
    ("text", "reading", "first"),
    [
        ("a:b\n1:2\n", Reading("csv", delimiter=":"), {"a": "1", "b": "2"}),
        ("a;b\n1;2\n", Reading(delimiter=","), {"a;b": "1;2"}),
        ("# made today\n#\na;b\n1;2\n", Reading("csv", skip_lines=2), {"a": "1", "b": "2"}),
        ("1;2\n3;4\n", Reading(columns=("a", "b")), {"a": "1", "b": "2"}),
        ('a\tb\n"x\ty"z\n', Reading("tsv", quotes=False), {"a": '"x', "b": 'y"z'}),
    ],
)
def test_what_is_said(write: Write, text: str, reading: Reading, first: dict[str, str]) -> None:
    assert rows(write(text.encode()), reading)[0] == first


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("Decimal(10, 2)", "1.234,56", "1234.56"),
        ("Decimal(10, 2)", "0,99", "0.99"),
        ("Float64", "-1234,5", "-1234.5"),
        ("Float64", "1 234,5", "1234.5"),
        ("Float64", "1\u00a0234\u00a0567,5", "1234567.5"),
        ("UInt32", "1.234", "1234"),
        ("Int64", "12,00", "12"),
        ("Float64", "12", "12"),
        ("Float64", "1.2", '"1.2"'),
        ("Float64", "1.2345", '"1.2345"'),
        ("Float64", "1,234.5", '"1,234.5"'),
        ("Float64", "1,2,3", '"1,2,3"'),
        ("Float64", "01,5", '"01,5"'),
        ("String", "1,5", '"1,5"'),
    ],
)
def test_a_decimal_comma(write: Write, kind: str, cell: str, value: str) -> None:
    path = write(f'a;b\n"{cell}";x\n'.encode(), "a.csv")
    with open_records([path], Reading(decimal_comma=True), types={"a": kind}) as records:
        (row,) = records
    assert row.value == f'{{"a":{value},"b":"x"}}'.encode()


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("UInt8", "1.0", b"1"), ("Nullable(Int64)", "-3.000", b"-3"), ("Int32", "1.50", b"1.50"),
        ("Float64", "1.0", b"1.0"), ("Int32", "01.0", b'"01.0"'), ("String", "1.0", b'"1.0"'),
        ("Decimal(18, 4)", "-1.50", b"-1.50"), ("Decimal(18, 4)", "1e3", b"1e3"),
        ("Decimal(18, 4)", "12345678901234.5678", b'"12345678901234.5678"'),
        ("Float64", "12345678901234.5678", b"12345678901234.5678"),
    ],
)  # fmt: skip
def test_a_number_in_a_cell(write: Write, kind: str, cell: str, value: bytes) -> None:
    with open_records([write(f"a,b\n{cell},\n".encode(), "a.csv")], types={"a": kind}) as records:
        (row,) = records
    assert row.value == b'{"a":' + value + b',"b":null}'


@pytest.mark.parametrize(
    ("kind", "empty"),
    [
        ("String", ""), ("LowCardinality(String)", ""), ("FixedString(3)", ""),
        ("Nullable(String)", None), ("LowCardinality(Nullable(String))", None), ("Int8", None),
        ("DateTime('UTC')", None), (None, None),
    ],
)  # fmt: skip
def test_an_empty_cell(kind: str | None, empty: str | None) -> None:
    assert empty_cell(kind) == empty


def test_empty_cells_of_a_row(write: Write) -> None:
    path = write(b'id,text,note,x\n1,"",,\n2,,"",\n', "a.csv")
    assert rows(path, id="UInt8", text="String", note="Nullable(String)") == [
        {"id": 1, "text": "", "note": None, "x": None},
        {"id": 2, "text": "", "note": None, "x": None},
    ]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a,b\n1,2\n3\n", "line 3: 1 cell, but the header has 2"),
        (b"a,b\n1;2;3\n", "line 2: 1 cell, but the header has 2"),
        (b"a,b\n1,2,3\n4\n", r"line 2: 3 cells, .* \(1 more of its first rows do not fit either\)"),
        (b'a,b\n1,"2\n', "line 2: "),
        (b'a,b\n1,"2"x\n', "line 2: "),
        (b"a,b,\n1,2,3\n", "line 2: the last cell, '3', is in a column without a name"),
        (b"a,b\n1,2,\n3,4\n", "line 3: 2 cells"),
        (b"", "is empty"),
        (b"a;a\n1;2\n", "two columns are named 'a'"),
    ],
)
def test_a_beginning_that_does_not_fit_is_refused(write: Write, data: bytes, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        rows(write(data, "a.csv"))


def test_rows_after_the_beginning_are_counted_and_the_others_go_on(write: Write) -> None:
    path = write(b"a,b\n" + b"1,2\n" * 200_000 + b"3\n4,5\n", "a.csv")
    with open_records([path]) as records:
        assert sum(1 for _ in records) == 200_001
    assert records.unsendable.examples == [f"{path}, line 200002: 1 cell, but the header has 2"]


def test_names_of_separators() -> None:
    assert [delimiter_named(each) for each in (";", "tab", "\\t", "Pipe", "space")] == [
        ";", "\t", "\t", "|", " ",
    ]  # fmt: skip
    for wrong in (";;", '"', "\n", "semi"):
        with pytest.raises(ConfigError, match="not one character"):
            delimiter_named(wrong)


def test_text_has_no_conversion() -> None:
    assert converter("Nullable(String)") is None
