"""The records of a large batch, looked at all at once: where they begin, and which of them are
plainly right. The rest is checked one by one by `wire.records`, which calls this.

A record mostly follows a zero (the one before has no headers), and a zero follows its length (the
attributes), so pairs of zeros show where records may begin. Such a guess is taken only where the
record before, which is known, ends right there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import numpy as np

_BYTES: Final = 1024 * 1024
_RECORDS: Final = 8192
"""What is looked at together: its numbers stay in the processor's cache."""

_WORD: Final = 8
_MARGIN: Final = 16
_FEW: Final = 16
_SELDOM: Final = 32
_LARGE: Final = 1024
"""Bytes of an average record from which on it is quicker to walk from one to the next than to look
for where they begin."""

Walk = Callable[[int, int], tuple[Any, int]]
"""From one place to another: where records begin that begin before it, and where the last ends."""


def unusual(data: bytes | memoryview, count: int, walk: Walk) -> Iterator[tuple[int, int, int]]:
    """(number, begin, end) of those records that are not plainly right: numbered one by one, and
    filled by their parts.

    Keys, values and names of 8 KB, more than 63 headers and the last few records are never plain.

    Args:
        count: 2^20 at most.

    Raises:
        ValueError: they are not `count`, or do not end where the data does.
        IndexError, ValueError: as `walk`.
    """
    size = len(data)
    average = size // max(count, 1)
    blocks = max(1, round(size / _BYTES), round(count / _RECORDS))
    at = first = 0
    for block in range(1, blocks + 1):
        stop = size * block // blocks
        if at >= stop:
            continue
        heads = None
        if average < _LARGE and at + _MARGIN < size:
            begins, heads, at = _begins(data, at, stop, average, walk)
        else:
            begins, at = walk(at, stop)
        if at > size:
            raise ValueError("a record runs over the end of its batch")
        begins = np.asarray(begins, np.int64)
        ends = np.append(begins[1:], at)
        plain = int(ends.searchsorted(size - _MARGIN, "right"))
        if heads is None:
            heads = _words(data)[begins[:plain]].view("<i8")
        right = _are_right(data, begins[:plain], ends[:plain], heads[:plain], first)
        for index in [*(~right).nonzero()[0].tolist(), *range(plain, len(begins))]:
            yield first + index, int(begins[index]), int(ends[index])
        first += len(begins)
    if first != count:
        raise ValueError(f"there are {first} records, not {count}")


def _begins(
    data: bytes | memoryview, at: int, stop: int, average: int, walk: Walk
) -> tuple[Any, Any, int]:
    """As `walk`, which is used where guesses do not help, and the words there, if at hand."""
    expected = (stop - at) // average
    guesses = _guesses(data, at, stop, 2 * expected)
    if guesses is None or len(guesses) < expected // 2:
        found, at = walk(at, stop)
        return found, None, at
    guesses, heads, ends = _with_ends(data, guesses)
    breaks = np.append((ends[:-1] != guesses[1:]).nonzero()[0], len(guesses) - 1)
    if len(breaks) == 1 and len(guesses) and guesses[0] == at and ends[-1] >= stop:
        return guesses, heads, int(ends[-1])
    runs: list[Any] = []
    while at < stop:
        first = int(guesses.searchsorted(at))
        if first < len(guesses) and guesses[first] == at:
            last = int(breaks[breaks.searchsorted(first)])
            found, at = guesses[first : last + 1], int(ends[last])
        else:
            found, at = walk(at, stop if len(runs) > expected // _SELDOM else at + 1)
        runs.append(found)
    return np.concatenate(runs), None, at


def _guesses(data: bytes | memoryview, at: int, stop: int, most: int) -> Any:
    """The record at `at`, and where others before `stop` seem to begin, ascending: behind a zero
    that has another one or two bytes further on. None: these are more than `most`."""
    part = np.frombuffer(data, np.uint8)[at : stop + _WORD]
    whole = -(-(stop - at) // _WORD) * _WORD
    is_zero, marks = _scratch(whole)
    np.equal(part, 0, out=is_zero[: len(part)])
    is_zero[len(part) :] = False
    np.logical_or(is_zero[2 : whole + 2], is_zero[3 : whole + 3], out=marks)
    np.logical_and(marks, is_zero[:whole], out=marks)
    # Of eight marks, read as one number, hardly ever more than one is set: its logarithm tells it.
    words = marks.view("<i8")
    is_marked = words != 0
    if np.count_nonzero(is_marked) > most:
        return None
    found = is_marked.nonzero()[0]
    exponents = words[found].astype("<f8").view("<i8") >> 52
    places = found * _WORD + (((exponents - 1023) >> 3) + (at + 1))
    last = min(stop, len(data) - _WORD + 1)
    return np.concatenate(([at], places[: places.searchsorted(last)]))


_kept: Final = threading.local()


def _scratch(whole: int) -> tuple[Any, Any]:
    """Two arrays of truth values: eight more than `whole`, and `whole`. The thread has them
    for good: to get as much memory anew takes the kernel longer than all that is done with it."""
    if getattr(_kept, "size", 0) < whole:
        _kept.size = whole
        _kept.arrays = np.empty(whole + _WORD, np.bool_), np.empty(whole, np.bool_)
    longer, other = _kept.arrays
    return longer[: whole + _WORD], other[:whole]


def _with_ends(data: bytes | memoryview, begins: Any) -> tuple[Any, Any, Any]:
    """Those places where a record may begin whose length takes one or two bytes, the words there,
    and where each would end."""
    heads = _words(data)[begins].view("<i8")
    length, is_long, is_longer = _numbers(heads.astype(np.uint16))
    ends = begins + (1 + is_long + (length >> 1))
    is_none = ((length & 1) | is_longer) != 0
    if is_none.any():
        return begins[~is_none], heads[~is_none], ends[~is_none]
    return begins, heads, ends


def _are_right(data: bytes | memoryview, begin: Any, end: Any, head: Any, first: int) -> Any:
    """Which records are plainly right. They end `_MARGIN` before the data or earlier."""
    taken, words = np.frombuffer(data, np.uint8), _words(data)
    low = head.astype(np.uint16)
    is_long = (low >> 7) & 1
    is_wrong = (is_long & (low >> 15)) != 0
    width = (is_long + 2).astype(np.int64)
    at = begin + width
    more = _behind_timestamps(head >> (width << 3), at)
    is_wrong |= more != 0

    number, mask, bits = _varints(first, len(begin))
    word = words[at].view("<i8")
    is_wrong |= ((word ^ number) & mask) != 0
    word >>= bits
    at += bits >> 3

    if (word.astype(np.uint8) == 1).all():
        at += 1
        word >>= 8
    else:
        size, is_longer = _taken_by(word.astype(np.uint16))
        is_wrong |= is_longer != 0
        at = np.minimum(at + size, end)
        word = words[at].view("<i8")
    size, is_longer = _taken_by(word.astype(np.uint16))
    is_wrong |= is_longer != 0
    at = np.minimum(at + size, end)

    headers = taken[at]
    right = (at + 1) == end
    right &= ~is_wrong
    if headers.any():
        right &= headers == 0
        rows = (~is_wrong & (headers != 0)).nonzero()[0]
        if len(rows) > _FEW:
            right[rows[_have_right_headers(data, at[rows], end[rows])]] = True
    return right


def _behind_timestamps(word: Any, at: Any) -> Any:
    """Move each of `at` behind the varint that it begins at, as does the word; what is not 0 for
    those of more than five bytes."""
    more = word.astype(np.uint8) >> 7
    at += 1
    for _ in range(4):
        if not more.any():
            break
        at += more
        word = word >> 8
        more = more & (word.astype(np.uint8) >> 7)
    return more


def _varints(first: int, count: int) -> tuple[Any, Any, Any]:
    """Of the numbers from `first` on: the varints, of three bytes at most; which bits of a word
    these take, and how many bits."""
    if first + count <= 2 * _RECORDS:
        number, mask, bits = _first_varints()
        rows = slice(first, first + count)
        return number[rows], mask[rows], bits[rows]
    return _make_varints(first, count)


@lru_cache(1)
def _first_varints() -> tuple[Any, Any, Any]:
    return _make_varints(0, 2 * _RECORDS)


def _make_varints(first: int, count: int) -> tuple[Any, Any, Any]:
    number = np.arange(2 * first, 2 * (first + count), 2)
    longer, longest = (number >> 7 > 0).astype(np.int64), (number >> 14 > 0).astype(np.int64)
    varint = number & 0x7F | longer << 7 | (number >> 7 & 0x7F) << 8 | longest << 15
    bits = (1 + longer + longest) << 3
    return varint | number >> 14 << 16, (1 << bits) - 1, bits


def _have_right_headers(data: bytes | memoryview, at: Any, end: Any) -> Any:
    """The places of those records whose headers begin at `at` and fill the rest of them."""
    words = _words(data)
    count = np.frombuffer(data, np.uint8)[at]
    rows = ((count & 0x81) == 0).nonzero()[0]
    left, at, end = count[rows] >> 1, at[rows] + 1, end[rows]
    right = []
    while len(rows) > _FEW:
        low = words[np.minimum(at, end)].view("<i8").astype(np.uint16)
        size, is_longer = _taken_by(low)
        is_wrong = ((low & 1) | is_longer) != 0
        at = np.minimum(at + size, end)
        size, is_longer = _taken_by(words[at].view("<i8").astype(np.uint16))
        is_wrong |= is_longer != 0
        at = at + size
        left = left - 1
        right.append(rows[(left == 0) & ~is_wrong & (at == end)])
        goes_on = ((left != 0) & ~is_wrong).nonzero()[0]
        rows, left, at, end = rows[goes_on], left[goes_on], at[goes_on], end[goes_on]
    return np.concatenate(right) if right else rows[:0]


def _words(data: bytes | memoryview) -> Any:
    """The eight bytes from each place on: one read takes no longer than one of two bytes."""
    return np.ndarray((max(len(data) - _WORD + 1, 0),), "V8", data, strides=(1,))


def _numbers(low: Any) -> tuple[Any, Any, Any]:
    """The varints of one or two bytes, as they stand; 1 for each of two; not 0 for longer ones."""
    is_long = (low >> 7) & 1
    return (low & 0x7F) | ((low >> 1) & 0x3F80) * is_long, is_long, is_long & (low >> 15)


def _taken_by(low: Any) -> tuple[Any, Any]:
    """Bytes that a part takes with the length before it, which is negative for null; what is not 0
    where the length takes more than two bytes."""
    size, is_long, is_longer = _numbers(low)
    return (1 + is_long + ((size >> 1) & ((size & 1) - 1))).astype(np.int64), is_longer
