"""RowBinary as ClickHouse reads it, decoded here by hand."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from nrtctl.store.envelope import MOST_LENGTHS, Head, RowsEncoder, head, row_encoder, varint


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = _varint(data, at)
    return data[at : at + length], at + length


def _nullable(data: bytes, at: int) -> tuple[bytes | None, int]:
    return (None, at + 1) if data[at] else _string(data, at + 1)


@given(
    st.text("a.ä", min_size=1, max_size=249), st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1)
)
def test_what_a_row_begins_with_is_read_back(topic: str, incarnation: int, partition: int) -> None:
    row = row_encoder(topic, incarnation, partition)(7, 8, b"k", b"v", None)
    size = len(varint(len(topic.encode()))) + len(topic.encode()) + 8
    assert head(row) == Head(topic, incarnation, partition, size)


@given(st.integers(0, 2**63 - 1))
@example(127)
@example(128)
def test_a_number_is_leb128(number: int) -> None:
    assert _varint(varint(number), 0) == (number, len(varint(number)))


@given(
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**50),
    st.none() | st.binary(max_size=300),
    st.none() | st.binary(max_size=300),
    st.none() | st.lists(st.tuples(st.text(max_size=150), st.none() | st.binary(max_size=150))),
)
def test_a_row_is_read_back(
    partition: int,
    offset: int,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str | bytes, bytes | None]] | None,
) -> None:
    row = row_encoder("topic.ä", 1, partition)(offset, timestamp, key, value, headers)
    topic, at = _string(row, 0)
    assert topic.decode() == "topic.ä"
    assert struct.unpack_from("<Iiqq", row, at) == (1, partition, offset, timestamp)
    count, at = _varint(row, at + 24)
    found_headers = []
    for _ in range(count):
        name, at = _string(row, at)
        header, at = _nullable(row, at)
        found_headers.append((name.decode(), header))
    assert found_headers == (headers or [])
    found_key, at = _nullable(row, at)
    found_value, at = _nullable(row, at)
    assert (found_key, found_value, at) == (key, value, len(row))


def test_a_message_without_a_timestamp_has_zero() -> None:
    row = row_encoder("t", 1, 0)(1, -1, None, None)
    assert struct.unpack_from("<Iiqq", row, 2) == (1, 0, 1, 0)


_TEXT = st.none() | st.binary(max_size=300)
_HEADERS = st.none() | st.lists(st.tuples(st.text(max_size=5), _TEXT), max_size=2)
_MESSAGE = st.tuples(st.integers(0, 2**40), st.integers(-1, 2**50), _HEADERS, _TEXT, _TEXT)


@given(st.lists(_MESSAGE))
def test_rows_are_encoded_together_as_alone(messages: list[tuple[int, int, Any, Any, Any]]) -> None:
    columns: list[list[Any]] = [[], [], [], [], []]
    for message in messages:
        for column, part in zip(columns, message, strict=True):
            column.append(part)
    one = row_encoder("topic", 1, 3)
    assert RowsEncoder("topic", 1, 3)(*columns) == [
        one(offset, timestamp, key, value, headers)
        for offset, timestamp, headers, key, value in messages
    ]


def test_a_long_value_is_no_burden_on_later_ones() -> None:
    encode = row_encoder("t", 1, 0)
    for size in (MOST_LENGTHS * 3, 127, 128, 16_383, 16_384):
        row = encode(1, 1, None, bytes(size))
        assert row.endswith(varint(size) + bytes(size))


def test_a_row_has_the_text_that_value_and_headers_are_decoded_to() -> None:
    encode = row_encoder(
        "t", 1, 0, lambda *given: [repr(each).encode() for each in zip(*given, strict=True)]
    )
    row = encode(0, 0, None, b"v", [("n", b"h")])
    assert row.endswith(b"(b'v', [('n', b'h')])")
