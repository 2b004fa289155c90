"""The lines of a text as spans, and the keys in them: looked at all at once. Called by `jsonl`.

A key is taken from where it stands, without parsing the line, where nothing else can be meant: in
a line without a backslash, with one brace that opens an object, and with the key's name in
quotation marks and a colon behind it just once. Such a line, if it is JSON at all, has the key at
its top: a string with quotation marks in it would need a backslash. All other lines are parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nrtctl.producer.sources import Spans

_NEWLINE, _SPACE, _QUOTE, _COMMA, _MINUS, _ZERO, _NINE = 0x0A, 0x20, 0x22, 0x2C, 0x2D, 0x30, 0x39
_BACKSLASH, _OPEN, _CLOSE, _LAST = 0x5C, 0x7B, 0x7D, 0x7E
_WINDOW: Final = 64
"""Bytes behind a key's name that are looked at; longer keys are parsed."""
_DIGITS: Final = 18
"""Of a whole number that surely fits into 64 bits."""


def lines_of(text: bytes) -> tuple[Spans, int]:
    """The lines of a text without their ends, and how many blank ones were left out."""
    taken = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(taken == _NEWLINE)
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    begins = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64)
    sizes = ends - begins
    first = taken[np.minimum(begins, len(text) - 1)]
    suspect = np.flatnonzero((sizes == 0) | (first <= _SPACE))
    blank = [at for at in suspect.tolist() if not text[begins[at] : ends[at]].strip()]
    if not blank:
        return Spans(text, begins, sizes), 0
    keep = np.ones(len(begins), np.bool_)
    keep[blank] = False
    return Spans(text, begins[keep], sizes[keep]), len(blank)


class LineKeys:
    """Finds the keys of lines.

    Args:
        name: of the key, as JSON: in quotation marks. None: it is not at the top.
        parsed: the key of a line that has to be parsed.
    """

    def __init__(self, name: bytes | None, parsed: Callable[[bytes], bytes | None]) -> None:
        self._name = None if name is None else name + b":"
        self._parsed = parsed
        self._scratch = np.zeros((2, 0), np.bool_)
        """Kept, since to get as much memory anew takes longer than what is done with it."""

    def of(self, lines: Spans) -> Spans:
        """The same lines, with their keys."""
        text, count = lines.text, len(lines)
        ends = lines.begins + lines.sizes
        key_begins, key_sizes = np.zeros(count, np.int64), np.full(count, -1, np.int64)
        is_found = np.zeros(count, np.bool_)
        if self._name is not None:
            taken = np.frombuffer(text + bytes(_WINDOW), np.uint8)
            if self._scratch.shape[1] < len(taken):
                self._scratch = np.zeros((2, len(taken)), np.bool_)
            places, plain = self._places(text, taken, lines.begins, ends, self._name)
            begins, sizes, right = _values(taken, places, ends[plain])
            chosen = plain[right]
            key_begins[chosen], key_sizes[chosen] = begins[right], sizes[right]
            is_found[chosen] = True
        others: list[bytes] = []
        at = len(text)
        for index in np.flatnonzero(~is_found).tolist():
            key = self._parsed(text[lines.begins[index] : ends[index]])
            if key is not None:
                key_begins[index], key_sizes[index] = at, len(key)
                others.append(key)
                at += len(key)
        key_text = b"".join([text, *others]) if others else text
        return Spans(text, lines.begins, lines.sizes, (key_text, key_begins, key_sizes))

    def _places(
        self, text: bytes, taken: Any, begins: Any, ends: Any, name: bytes
    ) -> tuple[Any, Any]:
        """Where values begin behind the name, and the numbers of their lines, ascending: of those
        lines only that have it just once and nothing that could make it mean something else."""
        count = len(begins)
        places = self._found(taken, name)
        if len(places) == count and ((places > begins) & (places <= ends)).all():
            lines = np.arange(count)
            is_plain = np.ones(count, np.bool_)
        else:
            lines = _lines_with(begins, places)
            is_plain = np.bincount(lines, minlength=count) == 1
        is_plain &= (taken[begins] == _OPEN) & (taken[np.maximum(ends - 1, 0)] == _CLOSE)
        is_open = np.equal(taken, _OPEN, out=self._scratch[0][: len(taken)])
        if np.count_nonzero(is_open) != count:
            opened = _lines_with(begins, np.flatnonzero(is_open))
            is_plain &= np.bincount(opened, minlength=count) == 1
        if b"\\" in text:
            escaped = _lines_with(begins, np.flatnonzero(taken == _BACKSLASH))
            is_plain &= np.bincount(escaped, minlength=count) == 0
        chosen = is_plain[lines]
        places, lines = places[chosen], lines[chosen]
        return places + (taken[places] == _SPACE), lines

    def _found(self, taken: Any, name: bytes) -> Any:
        """Where it ends, wherever it stands."""
        size = len(name)
        begins = len(taken) - size
        may_be, has = (each[:begins] for each in self._scratch)
        np.equal(taken[:begins], name[0], out=may_be)
        for at in (size - 1, size // 2, 1):  # little else has all of these
            np.equal(taken[at : begins + at], name[at], out=has)
            np.logical_and(may_be, has, out=may_be)
        found = np.flatnonzero(may_be)
        are = (_windows(taken, found, size) == np.frombuffer(name, np.uint8)).all(axis=1)
        return found[are] + size


def _lines_with(begins: Any, places: Any) -> Any:
    """The number of the line of each place. What lies in blank lines counts to the one before."""
    return np.maximum(np.searchsorted(begins, places, "right") - 1, 0)


def _values(taken: Any, places: Any, ends: Any) -> tuple[Any, Any, Any]:
    """Begins and sizes of the keys that stand there, and which of them can be taken as they are:
    strings of plain ASCII and whole numbers."""
    sizes = np.zeros(len(places), np.int64)
    right = np.zeros(len(places), np.bool_)
    is_text = taken[places] == _QUOTE
    begins = places + is_text
    for kind, measure in ((is_text, _texts), (~is_text, _numbers)):
        if kind.any():
            sizes[kind], right[kind] = measure(taken, begins[kind])
    return begins, sizes, right & (begins + sizes < ends)


def _texts(taken: Any, begins: Any) -> tuple[Any, Any]:
    """The sizes of strings, and which of them end within the window."""
    windows = _windows(taken, begins, _WINDOW)
    sizes = np.argmax(windows == _QUOTE, axis=1)
    right = windows[np.arange(len(windows)), sizes] == _QUOTE
    is_strange = (windows < _SPACE) | (windows > _LAST)
    if is_strange.any():
        right &= ~is_strange.any(axis=1) | (np.argmax(is_strange, axis=1) > sizes)
    return sizes, right


def _numbers(taken: Any, begins: Any) -> tuple[Any, Any]:
    """The sizes of whole numbers, and which of them are nothing else."""
    windows = _windows(taken, begins, _DIGITS + 2)
    is_negative = (windows[:, 0] == _MINUS).astype(np.int64)
    is_digit = (windows >= _ZERO) & (windows <= _NINE)
    is_digit[:, 0] |= is_negative == 1
    sizes = np.argmin(is_digit, axis=1)
    digits = sizes - is_negative
    rows = np.arange(len(windows))
    behind, first = windows[rows, sizes], windows[rows, is_negative]
    right = (behind == _COMMA) | (behind == _CLOSE)
    right &= (
        (digits > 0)
        & (digits <= _DIGITS)
        & ((first != _ZERO) | ((digits == 1) & (is_negative == 0)))
    )
    return sizes, right


def _windows(taken: Any, begins: Any, size: int) -> Any:
    return np.lib.stride_tricks.sliding_window_view(taken, size)[begins]
