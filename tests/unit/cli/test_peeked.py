"""Messages as text: hostile keys, headers and values reach no terminal, and forge no message."""

from __future__ import annotations

from typing import Any

import pytest

from nrtctl.cli.peeked import LONGEST, as_text
from nrtctl.view.printable import printable

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\u200b\r\n"


class Message:
    def __init__(
        self,
        value: bytes | None,
        key: bytes | None = b"k",
        headers: list[tuple[str, bytes | None]] | None = None,
        timestamp: tuple[int, int] = (1, 1_767_225_600_000),
    ) -> None:
        self._value, self._key, self._headers, self._time = value, key, headers, timestamp

    def topic(self) -> str:
        return "t"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return self._time

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> Any:
        return self._headers


HOSTILE = [
    ESCAPE.encode(),
    ESCAPE.encode() + b"\xff",
    b'{"a": "' + "\u202e\x9b".encode() + b'\\u001b[2J\\n"}',
    b"line\nt/3 @8  2026-01-01T00:00:00.000Z  key forged\n  {}",
    bytes(range(256)) * 20,
    ("\U000e0001\ufeff\u2028" * 3).encode(),
    b"[" * 100_000,
    b'{"\xed\xa0\x80": 1}',
]


@pytest.mark.parametrize("form", ["auto", "json", "raw", "hex"])
@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_of_a_message_steers_a_terminal(data: bytes, form: str) -> None:
    name = ESCAPE + "t/3 @9"
    text = as_text(Message(data, data, [(name, data), (name, None)]), form)
    assert printable(text, keep="\n") == text
    head, *rest = text.split("\n")
    assert head.startswith("t/3 @7  2026-01-01T00:00:00.000Z  key ")
    assert all(line.startswith("  ") for line in rest), "no line looks like the head of another"


def test_forms() -> None:
    data = b'{"b": [1, "\xc3\xa9"], "a": null}'
    json = '  {\n    "b": [\n      1,\n      "é"\n    ],\n    "a": null\n  }'
    assert as_text(Message(data), "auto").split("\n", 1)[1] == json
    assert as_text(Message(data), "json").split("\n", 1)[1] == json
    assert as_text(Message(data), "raw").split("\n", 1)[1] == "  " + data.decode()
    assert as_text(Message(b"ab"), "hex").split("\n", 1)[1].split() == [
        "00000000",
        "61",
        "62",
        "ab",
    ]
    assert as_text(Message(b"\xff\x00"), "auto").split("\n", 1)[1].split()[:3] == [
        "00000000", "ff", "00",
    ]  # fmt: skip
    assert "not JSON" in as_text(Message(b"text"), "json")


def test_nothing_and_empty_are_told_apart() -> None:
    text = as_text(Message(None, None, [("a", None), ("b", b"")], (0, -1)), "auto")
    assert text.split("\n") == [
        "t/3 @7  none  key null",
        "  header a: null",
        "  header b: (0 bytes)",
        "  null (a tombstone, where the topic is compacted)",
    ]
    assert as_text(Message(b"", b""), "auto").endswith("key (0 bytes)\n  (0 bytes)")


@pytest.mark.parametrize("form", ["auto", "json", "raw", "hex"])
@pytest.mark.parametrize("piece", [b"x", b"\xff", "é".encode()])
def test_a_large_message_is_cut(piece: bytes, form: str) -> None:
    data = piece * (2 * 2**20)
    text = as_text(Message(data, data, [("h" * 5000, data)]), form)
    assert len(text) < 2 * LONGEST
    assert "-o jsonl prints all of it" in text
    whole = b'{"a": "' + data + b'"}'
    assert len(as_text(Message(whole), form)) < 2 * LONGEST
