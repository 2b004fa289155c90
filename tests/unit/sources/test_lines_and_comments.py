"""Logs and reports: columns that a comment names, lines of any text, titles before tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nrtctl.errors import ConfigError
from nrtctl.producer.sources.files import Reading, Records, open_records

Write = Callable[..., str]

ZEEK = (
    "#separator \\x09\n#unset_field\t-\n#fields\tts\tuid\tid.orig_h\n#types\ttime\tstring\taddr\n"
    '1714979289.123456\t"Cx1\t192.0.2.1\n#close\t2024-05-06\n'
)
IIS = (
    "#Software: Web\n#Fields: date cs-method sc-status\n2024-05-06 GET 200\n"
    "#Date: 2024-05-07\n#Fields: date cs-method cs-uri\n2024-05-07 GET /a\n"
)


def read(path: str, reading: Reading | None = None) -> tuple[list[Any], Records]:
    with open_records([path], reading or Reading()) as records:
        return [json.loads(each.value or b"") for each in records], records


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (ZEEK, [{"ts": "1714979289.123456", "uid": '"Cx1', "id.orig_h": "192.0.2.1"}]),
        (
            IIS,
            [
                {"date": "2024-05-06", "cs-method": "GET", "sc-status": "200"},
                {"date": "2024-05-07", "cs-method": "GET", "cs-uri": "/a"},
            ],
        ),
        (
            "#Version: 1.0\r\n#Fields: date c-ip\r\n2024-05-06\t192.0.2.1\r\n",
            [{"date": "2024-05-06", "c-ip": "192.0.2.1"}],
        ),
    ],
    ids=["zeek", "iis", "cloudfront"],
)
def test_a_comment_names_the_columns(write: Write, text: str, wanted: list[Any]) -> None:
    for name in ("a.log", "a.csv"):
        found, records = read(write(text.encode(), name))
        assert found == wanted
        assert records.unsendable.count == 0


def test_columns_that_are_given_stay_those_of_a_file_with_comments(write: Write) -> None:
    found, _ = read(write(IIS.encode(), "a.log"), Reading(columns=("day", "verb", "rest")))
    assert [each["rest"] for each in found] == ["200", "/a"]


def test_a_row_that_does_not_fit_names_its_line(write: Write) -> None:
    with pytest.raises(ConfigError, match="line 3: 2 cells, but the header has 3"):
        read(write(IIS.replace(" 200", "").encode(), "a.log"))


def test_other_comments_name_nothing(write: Write) -> None:
    found, _ = read(write(b"# id,name\n1,a\n", "a.csv"))
    assert found == [{"# id": "1", "name": "a"}]


def test_each_line_of_text_is_a_message(write: Write) -> None:
    data = b'\xef\xbb\xbf10.0.0.1 - [x] "GET /"\r\n\n{"a": 1}\n\tcaf\xc3\xa9'
    found, records = read(write(data, "a.log"), Reading(kind="text"))
    assert found == [{"line": '10.0.0.1 - [x] "GET /"'}, {"line": '{"a": 1}'}, {"line": "\tcafé"}]
    assert (records.skipped, records.unsendable.count) == (1, 0)
    assert (records.found[0].kind, records.found[0].encoding) == ("text", "utf-8-sig")


def test_text_in_another_encoding(write: Write) -> None:
    path = write("café\n".encode("cp1252"), "a.log")
    with pytest.raises(ConfigError, match="text that is not UTF-8"):
        read(path, Reading(kind="text"))
    assert read(path, Reading(kind="text", encoding="cp1252"))[0] == [{"line": "café"}]
    found, records = read(path, Reading(kind="text", skip_bad_rows=True))
    assert (found, records.unsendable.examples) == ([], [f"{path}, line 1: text that is not UTF-8"])
    assert records.skipped == 0


def test_lines_of_text_are_keyed_and_say_where_they_are(write: Write) -> None:
    path = write(b"a\n\nb\n", "a.log")
    with open_records([path], Reading(kind="text"), key="line") as records:
        assert [(each.key, each.origin) for each in records] == [
            (b"a", f"{path}, line 1"),
            (b"b", f"{path}, line 3"),
        ]


@pytest.mark.parametrize(
    "text",
    [
        "Report;Sales\nof;May\n\nid;name;qty\n1;a;2\n2;b;3\n3;c;4\n",
        'Report;"of\ntwo lines"\n\nid;name;qty\n1;a;2\n2;b;3\n',
    ],
)
def test_lines_before_the_header_are_counted_in_the_hint(write: Write, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(write(text.encode(), "a.csv"))
    assert raised.value.hint is not None
    assert "give --skip-lines 3" in raised.value.hint
    found, _ = read(write(text.encode(), "a.csv"), Reading(skip_lines=3))
    assert found[0] == {"id": "1", "name": "a", "qty": "2"}


def test_one_row_that_does_not_fit_is_no_header(write: Write) -> None:
    with pytest.raises(ConfigError) as raised:
        read(write(b"a,b\n1,2\n3,4\n5\n", "a.csv"))
    assert raised.value.hint is not None
    assert "--skip-lines" not in raised.value.hint


def test_the_hint_for_a_header_without_names_keeps_the_first_row(write: Write) -> None:
    with pytest.raises(ConfigError) as raised:
        read(write(b"web\t\tx\nweb\t\ty\n", "a.tsv"))
    assert raised.value.hint is not None
    assert raised.value.hint.startswith("--columns NAMES names the columns if the first line is a")
