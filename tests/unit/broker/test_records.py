"""The records of a batch, checked one by one and together: the same verdict, whatever they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrtctl.local.broker.wire.records import check_one_by_one, check_records, check_together
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


def encoded(
    records: list[tuple[int, bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]],
) -> bytes:
    def piece(data: bytes | None) -> bytes:
        return varint(-1) if data is None else varint(len(data)) + data

    out = b""
    for number, (time, key, value, headers) in enumerate(records):
        body = b"\0" + varint(time) + varint(number) + piece(key) + piece(value)
        body += varint(len(headers)) + b"".join(piece(n) + piece(v) for n, v in headers)
        out += varint(len(body)) + body
    return out


@settings(deadline=None)
@given(st.lists(record, min_size=1, max_size=20))
def test_what_is_right_is_taken(
    records: list[tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]],
) -> None:
    data = encoded(records)
    check_one_by_one(data, len(records))
    check_together(data, len(records))


@settings(deadline=None)
@given(st.lists(record, min_size=1, max_size=12), st.data())
def test_what_is_wrong_is_wrong_for_both(
    records: list[tuple[int, bytes, bytes, list[tuple[bytes, bytes]]]], draw: st.DataObject
) -> None:
    data = bytearray(encoded(records))
    for _ in range(draw.draw(st.integers(1, 3))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.integers(0, len(data)))]) if draw.draw(st.booleans()) else data
    count = len(records) + draw.draw(st.sampled_from([0, 0, 0, 1, -1]))
    whole = bytes(cut)
    assert accepts(check_one_by_one, whole, count) == accepts(check_together, whole, count)


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(0, 30))
def test_no_bytes_raise_anything_else(data: bytes, count: int) -> None:
    assert accepts(check_one_by_one, data, count) == accepts(check_together, data, count)


@pytest.mark.parametrize("count", [63, 64, 5000])
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


@pytest.mark.parametrize("name", [name for name in BATCHES if "zip" not in name])
def test_garbage_is_garbage_for_both(name: str) -> None:
    payload = BATCHES[name][61:][:10_000]
    for count in (1, 2, 3, 5, 2**31 - 1):
        assert accepts(check_one_by_one, payload, count) == accepts(check_together, payload, count)
