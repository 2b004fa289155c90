"""What the list of messages has of each, so that many of them are small and soon there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from nrtctl.cli.dashboard_questions import LISTED, listed, message_as_dict
from nrtctl.cli.peeked import LONGEST
from tests.unit.cli.test_peeked import HOSTILE, Message

LARGE = b'{"a": "' + b"x" * 2**20 + b'"}'


def read(data: bytes, headers: Any) -> bytes:
    return json.dumps({"decoded": len(data)}).encode()


def never(data: bytes, headers: Any) -> bytes:
    raise AssertionError("it takes too long")


def test_a_small_message_is_whole() -> None:
    message = Message(b'{"a": 1}', b"k", [("h", b"v")])
    expected = {
        "partition": 3, "offset": 7, "timestamp": 1_767_225_600_000, "key": "k",
        "headers": [["h", "v"]], "size": 8, "value": '{\n  "a": 1\n}',
    }  # fmt: skip
    assert listed(message, None, late=True) == {**expected, "cut": False}
    assert message_as_dict(message, None) == expected
    decoded = listed(message, read, late=False)
    assert (decoded["value"], decoded["cut"]) == ('{\n  "decoded": 8\n}', False)


def test_of_a_large_one_the_list_has_the_beginning() -> None:
    found = listed(Message(LARGE), None, late=False)
    assert (found["value"], found["cut"], found["size"]) == (
        LARGE[:LISTED].decode(),
        True,
        len(LARGE),
    )
    assert len(message_as_dict(Message(LARGE), None)["value"]) > LONGEST


def test_what_there_is_no_time_to_decode_is_cut() -> None:
    found = listed(Message(b"\0\0\0\0\xff"), never, late=True)
    assert (found["cut"], found["value"][:20]) == (True, "00000000  00 00 00 0")


LARGE_MESSAGES: Mapping[str, Message] = {
    "value": Message(LARGE),
    "key": Message(b"", LARGE),
    "header": Message(b"", None, [("h", LARGE)]),
    "headers": Message(b"", None, [("h", b"")] * 10_000),
    "name": Message(b"", None, [("h" * 2**20, None)]),
    "depth": Message(b"[" * 900 + b"1" + b"]" * 900),
    **{f"hostile {n}": Message(d, d, [("h", d)]) for n, d in enumerate(HOSTILE)},
}


@pytest.mark.parametrize("name", LARGE_MESSAGES)
def test_no_message_makes_a_list_large(name: str) -> None:
    found = listed(LARGE_MESSAGES[name], None, late=False)
    assert len(json.dumps(found, ensure_ascii=False)) < 8 * LISTED
    if "hostile" not in name:
        assert found["cut"]
        assert found["headers"] == []
