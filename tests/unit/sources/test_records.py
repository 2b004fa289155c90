"""Messages of files one by one: the bytes that are sent, and where each came from."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nrtctl.errors import ConfigError
from nrtctl.producer.sources.files import Found, Reading, open_records

Write = Callable[..., str]


def test_lines_have_their_numbers_blank_ones_counted(write: Write) -> None:
    path = write(b'\n{"a":1}\n  \nno json\n{"a":2}', "a.jsonl")
    with open_records([path], key="a") as records:
        read = [(each.value, each.key, each.origin) for each in records]
    assert read == [
        (b'{"a":1}', b"1", f"{path}, line 2"),
        (b"no json", None, f"{path}, line 4"),
        (b'{"a":2}', b"2", f"{path}, line 5"),
    ]
    assert records.skipped == 2
    assert records.found == [Found(path, "jsonl", encoding="utf-8")]


def test_rows_have_their_lines_and_files_follow_each_other(write: Write) -> None:
    table = write(b'id,text\n1,"two\nlines"\n2\n\n3,x\n', "a.csv")
    lines = write(b"{}\n", "b.jsonl")
    reading = Reading(skip_bad_rows=True)
    with open_records([table, lines], reading, types={"id": "UInt8"}) as records:
        read = [(each.value, each.origin) for each in records]
    assert read == [
        (b'{"id":1,"text":"two\\nlines"}', f"{table}, lines 2 to 3"),
        (b'{"id":3,"text":"x"}', f"{table}, line 6"),
        (b"{}", f"{lines}, line 1"),
    ]
    assert (records.skipped, records.unsendable.count) == (1, 1)
    assert records.found == [
        Found(table, "csv", None, "utf-8", ",", ("id", "text")),
        Found(lines, "jsonl", None, "utf-8"),
    ]


def test_described_messages_are_whole(write: Write) -> None:
    line = b'{"nrtctl_message":1,"timestamp":5,"key":"k","headers":[["h","x"]],"value":null}\n'
    path = write(b"\n" + line)
    with open_records([path], Reading(kind="jsonl")) as records:
        (raw,) = records
    assert raw.value == line[:-1]
    with open_records([path]) as records:
        (read,) = records
    assert (read.value, read.key, read.timestamp) == (None, b"k", 5)
    assert read.headers == (("h", b"x"),)
    assert read.origin == f"{path}, line 2"


def test_what_cannot_be_opened_is_said_when_it_is_its_turn(write: Write, tmp_path: object) -> None:
    with open_records([write(b"{}\n"), f"{tmp_path}/nothing"]) as records:
        assert next(records).value == b"{}"
        with pytest.raises(ConfigError, match="there is no file"):
            next(records)
