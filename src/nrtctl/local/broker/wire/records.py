"""The records within a batch (format v2): walked over, never taken apart.

Source: https://kafka.apache.org/documentation/#record. What is announced is held against the bytes
that are there before it is believed, so that a walk costs no more than the bytes are long.
Called by `wire.batches`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

MIN_RECORD: Final = 7
"""Bytes of the smallest record: an empty key and value, no headers."""

MANY: Final = 200
"""Records from which on they are checked together, which takes less time for each."""

_INT: Final = 5
_LONG: Final = 10
_RUNS_OVER = "a record runs over the end of its batch"


def check_records(data: bytes | memoryview, count: int) -> None:
    """Hold the records of a batch against its header, as Apache Kafka does before it appends.

    Args:
        data: the records, decompressed.
        count: as the header says.

    Raises:
        ValueError: they are not `count` whole records, numbered from 0 on.
    """
    if count < MANY:
        check_one_by_one(data, count)
    else:
        check_together(data, count)


def check_together(data: bytes | memoryview, count: int) -> None:
    """`check_records` for many records: what is usual at once, the rest one by one.

    Raises:
        ValueError: as `check_records`.
    """
    from nrtctl.local.broker.wire.together import unusual

    size = len(data)
    if count * MIN_RECORD > size:
        raise ValueError(f"{count} records cannot lie in {size} bytes")
    try:
        for index, begin, end in unusual(data, count, partial(_walk, data)):
            check_one_by_one(data[begin:end], 1, index)
    except IndexError:
        raise ValueError(_RUNS_OVER) from None


def _walk(data: bytes | memoryview, at: int, stop: int) -> tuple[array[int], int]:
    """Where the records begin that begin from `at` on before `stop`, and where the last ends.

    Raises:
        ValueError: a length is none.
        IndexError: the last runs over the end.
    """
    found = array("q")
    add = found.append
    while at < stop:
        add(at)
        low = data[at]
        if low < 0x80:
            at += 1 + (low >> 1)
        elif (high := data[at + 1]) < 0x80:
            low += (high << 7) - 0x80
            at += 2 + (low >> 1)
        else:
            low, at = _unsigned(data, at, _INT)
            at += low >> 1
        if low & 1:
            raise ValueError(_RUNS_OVER)
    return found, at


def check_one_by_one(data: bytes | memoryview, count: int, first: int = 0) -> None:
    """`check_records` for few records, numbered from `first` on.

    Raises:
        ValueError: as `check_records`.
    """
    size = len(data)
    if count * MIN_RECORD > size:
        raise ValueError(f"{count} records cannot lie in {size} bytes")
    at = 0
    try:
        for index in range(first, first + count):
            low = data[at]
            if low < 0x80:
                at += 1
            elif (high := data[at + 1]) < 0x80:
                low += (high << 7) - 0x80
                at += 2
            else:
                low, at = _unsigned(data, at, _INT)
            end = at + (low >> 1)
            if low & 1 or end > size:
                raise ValueError(_RUNS_OVER)
            at += 1
            if data[at] < 0x80:
                at += 1
            elif data[at + 1] < 0x80:
                at += 2
            else:
                _, at = _unsigned(data, at, _LONG)
            low = data[at]
            if low < 0x80:
                at += 1
            elif (high := data[at + 1]) < 0x80:
                low += (high << 7) - 0x80
                at += 2
            else:
                low, at = _unsigned(data, at, _INT)
            if low != index << 1:
                raise ValueError(f"record {index} of the batch is not numbered {index}")
            low = data[at]
            if low < 0x80:
                at += 1
            else:
                low, at = _unsigned(data, at, _INT)
            if not low & 1:
                at += low >> 1
            low = data[at]
            if low < 0x80:
                at += 1
            elif (high := data[at + 1]) < 0x80:
                low += (high << 7) - 0x80
                at += 2
            else:
                low, at = _unsigned(data, at, _INT)
            if not low & 1:
                at += low >> 1
            if data[at]:
                at = _headers(data, at, end)
            else:
                at += 1
            if at != end:
                raise ValueError(f"the parts of record {index} do not fill it")
    except IndexError:
        raise ValueError(_RUNS_OVER) from None
    if at != size:
        raise ValueError(f"{size - at} bytes follow the last of {count} records")


def _headers(data: bytes | memoryview, at: int, end: int) -> int:
    """Where the headers that begin at `at` end. Raises ValueError, IndexError."""
    number, at = _signed(data, at)
    if not 0 <= 2 * number <= end - at:
        raise ValueError("the number of a record's headers is wrong")
    for _ in range(number):
        size, at = _signed(data, at)
        if size < 0:
            raise ValueError("a record's header has no name")
        at += size
        size, at = _signed(data, at)
        at += max(size, 0)
        if at > end:
            raise ValueError(_RUNS_OVER)
    return at


def timestamps(data: bytes | memoryview, count: int) -> Iterator[tuple[int, int]]:
    """(offset delta, timestamp delta in ms) of each record. Raises ValueError."""
    at, size = 0, len(data)
    try:
        for _ in range(min(count, size // MIN_RECORD)):
            length, at = _signed(data, at)
            if length < MIN_RECORD - 1 or at + length > size:
                raise ValueError(_RUNS_OVER)
            timestamp, then = _unsigned(data, at + 1, _LONG)
            offset, _ = _signed(data, then)
            yield offset, (timestamp >> 1) ^ -(timestamp & 1)
            at += length
    except IndexError:
        raise ValueError(_RUNS_OVER) from None


class Record(NamedTuple):
    """One record: data[begin:end], with its length in front.

    `key` is None where it has none; `is_tombstone`: its value is null.
    """

    begin: int
    end: int
    timestamp_delta: int
    offset_delta: int
    key: bytes | None
    is_tombstone: bool


def walk(data: bytes, count: int) -> Iterator[Record]:
    """Each record of a batch, in its order. Raises ValueError."""
    at, size = 0, len(data)
    try:
        for _ in range(count):
            begin = at
            length, at = _signed(data, at)
            end = at + length
            if length < MIN_RECORD - 1 or end > size:
                raise ValueError(_RUNS_OVER)
            timestamp, at = _unsigned(data, at + 1, _LONG)
            offset, at = _signed(data, at)
            key_size, at = _signed(data, at)
            key = None if key_size < 0 else data[at : at + key_size]
            value_size, _ = _signed(data, at + max(key_size, 0))
            delta = (timestamp >> 1) ^ -(timestamp & 1)
            yield Record(begin, end, delta, offset, key, value_size < 0)
            at = end
    except IndexError:
        raise ValueError(_RUNS_OVER) from None


def _signed(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value, at = _unsigned(data, at, _INT)
    return (value >> 1) ^ -(value & 1), at


def _unsigned(data: bytes | memoryview, at: int, longest: int) -> tuple[int, int]:
    """A varint and where it ends. Raises ValueError when it is longer than `longest` bytes, and
    IndexError at the end of the data."""
    result = shift = 0
    for _ in range(longest):
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise ValueError("a number in a record is too long")
