"""Messages that a program gives: what becomes of each kind, of waits and of failures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest

from nrtctl.clock import ManualClock
from nrtctl.producer.sources.from_program import Given, Item, Message
from nrtctl.producer.sources.marks import FOREIGN


def given(*items: Item, key: str | None = None) -> Given:
    return Given(items, key=key, clock=ManualClock())


def test_each_kind_of_message() -> None:
    source = given(
        b"\x00raw",
        "naïve",
        {"id": UUID(int=1), "at": datetime(2026, 1, 1, tzinfo=UTC), "n": None},
        Message(None),
        Message(b"v", b"k", (("h", b"1"), ("h", None)), 1_700_000_000_000, 3),
    )
    assert source.take(10) == [
        (None, b"\x00raw", None, FOREIGN),
        (None, "naïve".encode(), None, FOREIGN),
        (
            None,
            b'{"id":"00000000-0000-0000-0000-000000000001","at":"2026-01-01T00:00:00+00:00",'
            b'"n":null}',
            None,
            FOREIGN,
        ),
        (None, None, None, FOREIGN),
        (
            b"k",
            b"v",
            {
                "headers": [("h", b"1"), ("h", None)],
                "timestamp": 1_700_000_000_000,
                "partition": 3,
            },
            FOREIGN,
        ),
    ]
    assert source.exhausted
    assert source.failure is None


@dataclass
class Point:
    x: float
    _own: float = 0.0


class Limit(Enum):
    MOST = math.inf


def test_headers_may_be_a_mapping() -> None:
    """A name of two letters was taken for a pair, and sent as a header of another name."""
    extra = given(Message(b"v", headers={"ab": b"1", "c": None})).take(1)[0][2]
    assert extra == {"headers": [("ab", b"1"), ("c", None)]}


def test_a_float_that_json_lacks_is_its_name_and_not_null() -> None:
    inside = {"f": [math.nan, -math.inf, 1.5, None], "t": (math.inf,), "p": Point(math.nan)}
    source = given({"a": math.nan, "b": inside, "c": Limit.MOST, "d": "null"})
    assert [json.loads(value or b"") for _, value, _, _ in source.take(1)] == [
        {"a": "nan", "b": {"f": ["nan", "-inf", 1.5, None], "t": ["inf"], "p": {"x": "nan"}},
         "c": "inf", "d": "null"},
    ]  # fmt: skip


def test_the_name_of_a_header_is_text() -> None:
    """The client of Kafka would crash on a lone surrogate, with the whole program."""
    source = given(b"1", Message(b"2", headers=(("good", b""), ("\ud800", b""))), b"3")
    assert [each[1] for each in source.take(5)] == [b"1"]
    with pytest.raises(ValueError, match="cannot be written in UTF-8"):
        raise source.failure or AssertionError("nothing is wrong")


@pytest.mark.parametrize(
    ("value", "key"),
    [("a", b"a"), (7, b"7"), (True, b"true"), (None, None), ([1], None), ({"b": 1}, None)],
)
def test_a_field_keys_a_mapping_as_it_keys_a_line(value: object, key: bytes | None) -> None:
    (record,) = given({"user": value}, key="user").take(5)
    assert record[0] == key
    assert given({"other": 1}, key="user").take(5)[0][0] is None


def test_no_more_is_taken_than_is_asked_for() -> None:
    source = given(b"1", b"2", b"3")
    assert ([each[1] for each in source.take(2)], source.exhausted) == ([b"1", b"2"], False)
    assert [each[1] for each in source.take(2)] == [b"3"]
    assert source.exhausted
    assert source.take(2) == []


def test_what_has_come_is_handed_over_when_the_next_takes_long() -> None:
    clock = ManualClock()

    def slow() -> Iterator[Item]:
        for number in range(3):
            clock.sleep(0.06)
            yield str(number)

    source = Given(slow(), key=None, clock=clock)
    assert [each[1] for each in source.take(100)] == [b"0", b"1"]
    assert [each[1] for each in source.take(100)] == [b"2"]


def test_a_failure_is_kept_until_what_came_before_is_sent() -> None:
    def broken() -> Iterator[Item]:
        yield b"1"
        raise KeyError("gone")

    source = Given(broken(), key=None, clock=ManualClock())
    assert [each[1] for each in source.take(9)] == [b"1"]
    assert source.exhausted
    assert isinstance(source.failure, KeyError)
    assert source.take(9) == []


@pytest.mark.parametrize("wrong", [{"total": Decimal("9.5")}, 7, None])
def test_what_is_no_message_is_a_failure_and_ends_it(wrong: Item) -> None:
    source = given(b"1", wrong, b"3")
    assert [each[1] for each in source.take(9)] == [b"1"]
    assert isinstance(source.failure, TypeError)
    assert source.take(9) == []
