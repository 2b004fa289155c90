"""The records of a batch, checked one by one and together: the same verdict, whatever they are."""

from __future__ import annotations

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.local.broker.wire.records import (
    MANY,
    check_one_by_one,
    check_records,
    check_together,
)
from tests.plugins.garbage import BATCHES
from tests.plugins.kafka_wire import varint


def accepts(check: object, data: bytes, count: int) -> bool:
    assert callable(check)
    try:
        check(data, count)
    except ValueError:
        return False
    return True


part = st.one_of(st.none(), st.binary(max_size=300))
record = st.tuples(
    st.integers(-(2**62), 2**62), part, part, st.lists(st.tuples(st.binary(max_size=4), part))
)


Record = tuple[int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]


def each_encoded(records: list[Record]) -> list[bytes]:
    def piece(data: bytes | None) -> bytes:
        return varint(-1) if data is None else varint(len(data)) + data

    found = []
    for number, (time, key, value, headers) in enumerate(records):
        body = b"\0" + varint(time) + varint(number) + piece(key) + piece(value)
        body += varint(len(headers)) + b"".join(piece(n) + piece(v) for n, v in headers)
        found.append(varint(len(body)) + body)
    return found


def encoded(records: list[Record]) -> bytes:
    return b"".join(each_encoded(records))


@given(st.lists(record, min_size=1, max_size=20))
def test_what_is_right_is_taken(
    records: list[Record],
) -> None:
    data = encoded(records)
    check_one_by_one(data, len(records))
    check_together(data, len(records))


@given(st.lists(record, min_size=1, max_size=12), st.data())
def test_what_is_wrong_is_wrong_for_both(records: list[Record], draw: st.DataObject) -> None:
    data = bytearray(encoded(records))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.integers(0, len(data)))]) if draw.draw(st.booleans()) else data
    count = len(records) + draw.draw(st.sampled_from([0, 0, 0, 1, -1]))
    whole = bytes(cut)
    assert accepts(check_one_by_one, whole, count) == accepts(check_together, whole, count)


@given(st.binary(max_size=400), st.integers(0, 30))
def test_no_bytes_raise_anything_else(data: bytes, count: int) -> None:
    assert accepts(check_one_by_one, data, count) == accepts(check_together, data, count)


@pytest.mark.parametrize("count", [MANY - 1, MANY, 5000])
def test_many_are_checked_as_few_are(count: int) -> None:
    data = encoded([(at, None, b"x" * (at % 200), []) for at in range(count)])
    check_records(data, count)
    for wrong in (
        data[:-1],
        data + b"\0",
        data[: len(data) // 2] + b"\xff" + data[len(data) // 2 :],
    ):
        with pytest.raises(ValueError):
            check_records(wrong, count)
    with pytest.raises(ValueError):
        check_records(data, count - 1)


SHAPES: dict[str, list[Record]] = {
    "alike": [(5, None, b"x" * 150, [])],
    "small": [(0, None, b"", []), (70, None, b"\0" * 9, [])],
    "keys": [(5, b"k" * 36, b"x" * 90, []), (6, b"", b"y" * 70, []), (7, b"k" * 64, None, [])],
    "headers": [(5, None, b"x" * 90, [(b"trace", b"t" * 16), (b"n", None)]), (5, None, b"", [])],
    "all with headers": [(5, b"k", b"x" * 90, [(b"trace", b"t" * 16)] * 2)],
    "many headers": [(5, None, b"x", [(b"n", b"v")] * number) for number in (1, 3, 64)],
    "large": [(5, None, b"x" * 9000, []), (10_000, None, b"\0\x14\0" * 400, [])],
    "long times": [(10**12, None, b"x" * 60, []), (-(2**62), None, b"x" * 60, [])],
    "zeros": [(0, None, b"\0" * 200, []), (0, b"\0\x14\0" * 20, b"\0", [])],
}


@lru_cache
def many(shape: str, count: int) -> list[bytes]:
    return each_encoded((SHAPES[shape] * count)[:count])


@pytest.mark.parametrize("count", [40, 300])
@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=50)
@given(st.data())
def test_one_wrong_byte_among_many_records_is_seen_by_both(
    shape: str, count: int, draw: st.DataObject
) -> None:
    records = many(shape, count)
    data = bytearray(b"".join(records))
    begin = len(b"".join(records[: draw.draw(st.integers(0, count - 1))]))
    at = max(begin + draw.draw(st.integers(-3, 12)), 0) % len(data)
    data[at] = draw.draw(st.sampled_from([data[at] ^ 1, data[at] ^ 2, data[at] ^ 0x80, 0, 1, 0xFF]))
    whole = bytes(data)
    assert accepts(check_one_by_one, whole, count) == accepts(check_together, whole, count)


@pytest.mark.parametrize("shape", ["alike", "keys", "headers", "zeros"])
def test_records_are_numbered_on_over_megabytes(shape: str) -> None:
    records = many(shape, 20_000)
    check_together(b"".join(records), 20_000)
    for number in (100, 8191, 8192, 13_000, 19_998):
        without = b"".join(records[:number] + records[number + 1 :])
        with pytest.raises(ValueError, match="number"):
            check_together(without, 19_999)


@pytest.mark.parametrize("name", [name for name in BATCHES if "zip" not in name])
def test_garbage_is_garbage_for_both(name: str) -> None:
    payload = BATCHES[name][61:][:10_000]
    for count in (1, 2, 3, 5, 2**31 - 1):
        assert accepts(check_one_by_one, payload, count) == accepts(check_together, payload, count)
