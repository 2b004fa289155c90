"""Lines as spans: the same messages, byte for byte, as lines that are taken one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nrtctl.producer.sources import Record, Spans, Unsendable, Values, records_of
from nrtctl.producer.sources.files import jsonl
from nrtctl.producer.sources.files.in_turn import FilesInTurn
from nrtctl.producer.sources.files.jsonl import AUTO, RAW, JsonLines, key_of
from nrtctl.producer.sources.files.kinds import Reading
from nrtctl.producer.sources.files.line_spans import LineKeys, lines_of
from nrtctl.producer.sources.files.opening import Wanted
from nrtctl.producer.sources.files.reading import lines_in
from nrtctl.producer.sources.files.text_lines import TextLines
from tests.plugins.compiled import given_native, needs_native

pytestmark = needs_native
Write = Callable[..., str]

names = st.sampled_from(["k", "user_id", "\u00e4", "", 'a"b', "a b", "kk"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(['"k":', "k", "x" * 62, "x" * 63, "x" * 64, "\u00e4", "\n", "{", "}", "\\"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=6
)
SEPARATORS = [(",", ":"), (", ", ": "), (" , ", " : "), (",", ":  ")]


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    members = draw(st.lists(st.tuples(names, values), max_size=5))
    comma, colon = draw(st.sampled_from(SEPARATORS))
    ascii_only = draw(st.booleans())
    dump = partial(json.dumps, separators=(comma, colon), ensure_ascii=ascii_only)
    inside = comma.join(f"{dump(name)}{colon}{dump(value)}" for name, value in members)
    before, after = draw(st.sampled_from(["", " ", "\t"])), draw(st.sampled_from(["", " ", "\r"]))
    text = draw(st.sampled_from([f"{{{inside}}}", f"[{inside and dump(members)}]", dump("{}")]))
    return f"{before}{text}{after}".encode()


@given(st.lists(json_lines() | st.just(b"") | st.just(b" \t\r"), max_size=8), names, st.booleans())
@example(
    [b'{"user_id":"a"}', b'{"x":{"user_id":1}}', b'{"user_id":1,"user_id":2}'], "user_id", True
)
@example([b'{"k":-0}', b'{"k":00}', b'{"k":-}', b'{"k":12', b'{"k":', b'{"k":"'], "k", False)
@example([b'{"k":123456789012345678}', b'{"k":1234567890123456789}', b'{"k":-1}'], "k", False)
@example([b'{"k":1,"k" :2}', b'{"k" :1,"k":2}', b'{"k":"a","x":"k"}', b'{"k"'], "k", False)
@example([b"}{", b'{"k":1}{', b'"k":1}', b'{"k":"x"}'], "k", True)
def test_each_line_of_json_has_the_key_that_parsing_finds(
    lines: list[bytes], name: str, ends: bool
) -> None:
    text = b"\n".join(lines) + b"\n" * ends
    if not text:
        return
    found, blank = lines_of(given_native(), text)
    expected = [line for line in lines_in(text) if line.strip()]
    assert [value for _, value, _, _ in found.records()] == expected
    assert blank == len(lines_in(text)) - len(expected)
    keyed = LineKeys(given_native(), orjson.dumps(name), partial(key_of, field=name)).of(found)
    for key, value, _, _ in keyed.records():
        assert value is not None
        if _is_json(value):
            assert key == key_of(value, name), value


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_plain_lines_are_not_parsed() -> None:
    parsed: list[bytes] = []
    lines = [
        b'{"a": "\xc3\xa4", "k": "some key", "z": [1]}',
        b'{"k":17}',
        b'{"k":"","a":1}',
        b'{"k":-5,"a":1}',
        b'{"k":"' + b"x" * 70 + b'"}',
    ]
    found, _ = lines_of(given_native(), b"\n".join(lines))
    keys = LineKeys(given_native(), b'"k"', lambda line: parsed.append(line))
    assert [key for key, *_ in keys.of(found).records()] == [
        b"some key",
        b"17",
        b"",
        b"-5",
        b"x" * 70,
    ]
    assert parsed == []
    doubtful = [
        b'{"k":"\\u0061"}', b'{"k":"\xc3\xa4"}', b'{"k":1.5}', b'{"k":true}', b'{"k":{"k":1}}',
        b'{"a":{},"k":1}', b'{"k" :1}', b'{"k":1 }', b' {"k":1}', b'{"a":1}', b'{"k":1,"k":2}',
        b'{"k":1,"k" :2}', b'{"k":' + b"9" * 19 + b"}",
    ]  # fmt: skip
    found, _ = lines_of(given_native(), b"\n".join(doubtful))
    assert [key for key, *_ in keys.of(found).records()] == [None] * len(doubtful)
    assert parsed == doubtful


def drained(source: Any, limit: int) -> tuple[list[Record], set[type]]:
    records: list[Record] = []
    kinds: set[type] = set()
    while not source.exhausted:
        taken = source.take(limit)
        kinds |= {type(taken)} if taken else set()
        records += records_of(taken)
    source.close()
    return records, kinds


CONTENTS = [
    b"",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf" + b'{"k":1}\n' * 3,
    b"".join(b'{"k": "%d", "pad": "%s"}\r\n' % (n, b"x" * (n * 37 % 300)) for n in range(5000)),
    b"\n\n" + b'{"k":1}\n  \r\n\n{"k":2}',
    b'{"k":1}\n{"nrtctl_message":1,"value":"v","key":"own"}\n{"k":2}\n',
    b'{"nrtctl_message":1,"value":"v","key":"own"}\n{"k":2}\n',
    b"no json\n\xff\x00\n" * 5,
]


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("form", [RAW, AUTO])
@pytest.mark.parametrize("key", [None, "k", ("k", "x")])
@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_a_file_gives_the_same_messages(
    write: Write, monkeypatch: pytest.MonkeyPatch, limit: int, form: str, key: Any, content: bytes
) -> None:
    monkeypatch.setattr(jsonl, "SPANS_FROM", 0)
    monkeypatch.setattr(jsonl, "SPANS_PIECE", 1000)
    path = write(content)
    plain, spanning = (JsonLines(path, key=key, form=form) for _ in range(2))
    assert spanning.as_spans()
    expected, _ = drained(plain, limit)
    assert drained(spanning, limit)[0] == expected
    assert (spanning.skipped, spanning.unsendable) == (plain.skipped, plain.unsendable)


def test_only_large_files_of_lines_become_spans(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(b'{"k":1}\n' * 100)
    small = JsonLines(path)
    assert not small.as_spans()
    assert drained(small, 1000)[1] == {Values}
    monkeypatch.setattr(jsonl, "SPANS_FROM", 800)
    large = JsonLines(path)
    assert large.as_spans()
    assert drained(large, 1000)[1] == {Spans}
    others = (
        JsonLines(path, form="messages"),
        JsonLines(path, numbered=True),
        TextLines(path),
    )
    for each in others:
        assert not each.as_spans()
        each.close()


def test_of_several_files_the_large_ones_become_spans(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(b'{"k":1}\n' * count, f"{count}.jsonl") for count in (10, 100)]
    monkeypatch.setattr(jsonl, "SPANS_FROM", 800)
    both = FilesInTurn(paths, Wanted(Reading(), {}))
    both.unsendable = Unsendable()
    assert both.as_spans()
    records, kinds = drained(both, 1000)
    assert len(records) == 110
    assert kinds >= {Values, Spans}


def test_a_part_of_spans_is_spans() -> None:
    found, _ = lines_of(given_native(), b'{"k":1}\n{"a":2}\n{"k":"x"}\n')
    keyed = LineKeys(given_native(), b'"k"', lambda line: None).of(found)
    assert [key for key, *_ in keyed[1:].records()] == [None, b"x"]
    assert len(keyed[:2]) == 2
