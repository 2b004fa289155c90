"""JSON lines: bytes untouched, keys, and inputs of every shape."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.errors import ConfigError, NrtctlError
from nrtctl.producer.sources import Record, Values
from nrtctl.producer.sources.files import open_records
from nrtctl.producer.sources.files.jsonl import AUTO, MESSAGES, JsonLines, key_of
from nrtctl.producer.sources.files.reading import CHUNK, MAX_LINE, Lines
from nrtctl.producer.sources.marks import FOREIGN

Write = Callable[..., str]
Drain = Callable[..., list[Record]]


def test_a_line_is_a_message_byte_for_byte(write: Write, drain: Drain) -> None:
    lines = [b'{"a": 1}', b' {"b":\t2} ', b"not json", b"\xff\x00", b'{"c":3}\r']
    source = JsonLines(write(b"\n".join(lines) + b"\n"))
    assert drain(source) == [(None, line, None, FOREIGN) for line in lines]
    assert source.skipped == 0


def test_blank_lines_are_skipped_and_counted(write: Write, drain: Drain) -> None:
    source = JsonLines(write(b'\n{"a":1}\n  \r\n\n{"a":2}\n\n'))
    assert [value for _, value, _, _ in drain(source)] == [b'{"a":1}', b'{"a":2}']
    assert source.skipped == 4


@pytest.mark.parametrize("data", [b"", b"\n", b'{"a":1}', b"\xef\xbb\xbf{}\n{}"])
def test_edges_of_a_file(write: Write, drain: Drain, data: bytes) -> None:
    expected = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line]
    assert [value for _, value, _, _ in drain(JsonLines(write(data)))] == expected


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_lines_across_chunks(write: Write, drain: Drain, limit: int) -> None:
    lines = [b'{"n":%d,"pad":"%s"}' % (n, b"x" * (n * 37 % 3000)) for n in range(700)]
    lines.append(b'{"long":"' + b"y" * (3 * CHUNK) + b'"}')
    assert sum(map(len, lines)) > 5 * CHUNK
    records = drain(JsonLines(write(b"\n".join(lines))), limit)
    assert [value for _, value, _, _ in records] == lines


def test_gzip(write: Write, drain: Drain) -> None:
    lines = [b'{"n":%d}' % n for n in range(50_000)]
    source = JsonLines(write(gzip.compress(b"\n".join(lines)), "input.jsonl.gz"))
    assert [value for _, value, _, _ in drain(source)] == lines


def test_a_damaged_gzip_file_is_an_error(write: Write, drain: Drain) -> None:
    damaged = gzip.compress(os.urandom(5000))[:-800]
    with pytest.raises(NrtctlError, match="cannot be read any further: its gzip data ends in"):
        drain(JsonLines(write(damaged, "input.gz")))
    with (
        pytest.raises(ConfigError, match="neither JSON, nor CSV"),
        open_records([write(b"no gzip at all", "input.gz")]) as records,
    ):
        next(records)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file") as missing:
        JsonLines(str(tmp_path / "nothing"))
    assert missing.value.hint
    with pytest.raises(ConfigError, match="is a directory"):
        JsonLines(str(tmp_path))


def test_a_file_of_no_lines_is_refused_before_it_fills_memory(write: Write) -> None:
    path = Path(write(b""))
    with path.open("r+b") as file:
        file.truncate(MAX_LINE * 2)
    lines = Lines(str(path))
    with pytest.raises(NrtctlError, match="longer than 64 MiB"):
        list(iter(lines.read, None))
    assert lines.chunks.bytes_read <= MAX_LINE + 2 * CHUNK
    lines.chunks.close()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_cut_while_it_is_read_is_an_error(
    write: Write, drain: Drain, pack: Callable[[bytes], bytes]
) -> None:
    lines = b"".join(b'{"a":"%b"}\n' % os.urandom(20).hex().encode() for _ in range(60_000))
    path = write(pack(lines))
    source = JsonLines(path)
    assert source.take(1000)
    os.truncate(path, os.path.getsize(path) - 100)
    with pytest.raises(NrtctlError, match="cut while it was read, after"):
        drain(source)


def test_memory_does_not_grow_with_the_file(write: Write) -> None:
    line = b'{"n":1,"pad":"' + b"x" * 200 + b'"}\n'
    source = JsonLines(write(line * 100_000))
    tracemalloc.start()
    count = 0
    while not source.exhausted:
        count += len(source.take(1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    source.close()
    assert count == 100_000
    assert peak < 8 * CHUNK


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_lines_without_keys_are_values_however_many_are_taken(
    write: Write, drain: Drain, limit: int
) -> None:
    path = write(b'{"a":1}\n\n \t\n{"a":2}\r\n' * 50)
    source = JsonLines(path)
    assert source.bulk
    assert isinstance(source.take(limit), Values)
    taken = drain(source, limit)
    assert [each[1] for each in taken] == ([b'{"a":1}', b'{"a":2}\r'] * 50)[limit:]
    assert {(key, extra, mark) for key, _, extra, mark in taken} <= {(None, None, FOREIGN)}
    assert source.skipped == 100
    keyed = JsonLines(path, key="a")
    assert not keyed.bulk
    keyed.close()
    described = JsonLines(path, form=MESSAGES)
    assert not described.bulk
    described.close()


def test_a_pipe_gives_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    os.set_blocking(reader, True)
    source = JsonLines(str(path))
    os.write(writer, b'{"a":1}\n{"a"')
    assert not source.bulk
    assert source.take(10) == [b'{"a":1}']
    assert (source.take(10), source.exhausted) == ([], False)
    os.write(writer, b":2}\n")
    assert source.take(10) == [b'{"a":2}']
    assert source.size_hint() is None
    os.close(writer)
    os.close(reader)
    while not source.exhausted:
        assert source.take(10) == []
    source.close()


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"k": "v"}', b"v"),
        (b'{"k": "\xc3\xa9\\u00e9"}', "éé".encode()),
        (b'{"\\u006b": "escaped name"}', b"escaped name"),
        (b'{"k": 12}', b"12"),
        (b'{"k": 1.5}', b"1.5"),
        (b'{"k": true}', b"true"),
        (b'{"k": ""}', b""),
        (b'{"k": "first", "k": "last"}', b"last"),
        (b'{"x": {"k": "inner"}, "k": "outer"}', b"outer"),
        (b'{"x": {"k": "inner"}}', None),
        (b'{"x": "\\"k\\": \\"text\\""}', None),
        (b'{"k": null}', None),
        (b'{"k": [1]}', None),
        (b'{"k": {}}', None),
        (b"{}", None),
        (b'["k"]', None),
        (b'"k"', None),
        (b'{"k": "v"', None),
        (b'{"k": "\xff"}', None),
        (b'{"k": 12345678901234567890123}', b"12345678901234567890123"),
        (b'{"k": "a", "x": 1%b}' % (b"0" * 400), b"a"),
        (b'{"k": -1%b, "x": "\\"12345678901234567890123"}' % (b"0" * 400), b"-1" + b"0" * 400),
        (b'{"k": "a", "x": 1e400}', None),
    ],
)
def test_key(line: bytes, key: bytes | None) -> None:
    assert key_of(line, "k") == key


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=5,
        ),
    ),
    st.text(max_size=3),
    st.booleans(),
)
def test_key_is_what_the_object_says(value: dict[str, object], field: str, escape: bool) -> None:
    found = value.get(field)
    expected = (
        found.encode()
        if isinstance(found, str)
        else json.dumps(found).encode()
        if isinstance(found, int)
        else None
    )
    assert key_of(json.dumps(value, ensure_ascii=escape).encode(), field) == expected


def test_keys_are_set(write: Write, drain: Drain) -> None:
    records = drain(JsonLines(write(b'{"k":"a"}\n{"x":1}\noops\n'), key="k"))
    assert [key for key, _, _, _ in records] == [b"a", None, None]


DESCRIBED = (
    b'{"nrtctl_message":1,"topic":"t","partition":0,"offset":0,"timestamp":5,"key":null,'
    b'"headers":[],"value":{"base64":"/w=="}}\n'
)


def test_described_messages_are_what_they_describe(write: Write, drain: Drain) -> None:
    source = JsonLines(write(DESCRIBED + b"\n{}\n" + DESCRIBED), form=MESSAGES)
    assert drain(source) == [(None, b"\xff", {"timestamp": 5}, FOREIGN)] * 2
    assert (source.unsendable.count, source.skipped) == (1, 1)
    assert "line 3: not a line of" in source.unsendable.examples[0]


def test_each_line_says_what_it_is(write: Write, drain: Drain) -> None:
    itself, about = b'{"k":"a"}\n', b'{"note":"\\"nrtctl_message\\"","x":{"nrtctl_message":1}}\n'
    described = (None, b"\xff", {"timestamp": 5}, FOREIGN)
    for lines in (itself + about + b"oops\n" + DESCRIBED, DESCRIBED + itself + about):
        records = drain(JsonLines(write(lines), form=AUTO, key="k"))
        assert (b"a", itself[:-1], None, FOREIGN) in records
        assert (None, about[:-1], None, FOREIGN) in records
        assert described in records
        assert len(records) == lines.count(b"\n")


def test_what_is_left_of_a_described_message_is_not_sent(write: Write, drain: Drain) -> None:
    source = JsonLines(write(DESCRIBED + DESCRIBED[:60] + b"\n" + DESCRIBED[60:]), form=AUTO)
    assert [value for _, value, _, _ in drain(source)] == [b"\xff"]
    assert source.unsendable.count == 2


def test_lines_are_messages_where_it_is_said(write: Write, drain: Drain) -> None:
    (raw,) = drain(JsonLines(write(DESCRIBED)))
    assert raw[1] == DESCRIBED[:-1]


def test_the_size_hint_ends_at_the_size(write: Write, drain: Drain) -> None:
    source = JsonLines(write(b"{}\n" * 1000))
    assert source.size_hint() == (0, 3000)
    drain(source)
    assert source.size_hint() == (3000, 3000)
