"""The lines of a text as spans, and the keys in them, without an object for each: by `lines.c`,
which says where a key can be taken from the line as it is. Called by `jsonl`."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from ctypes import byref, c_size_t

from nrtctl.kafka.native import Native
from nrtctl.producer.sources import Spans


def lines_of(native: Native, text: bytes) -> tuple[Spans, int]:
    """The lines of a text without their ends, and how many blank ones were left out."""
    most = native.ends(text, len(text)) + 1
    begins, sizes = (array("q", bytes(8 * most)) for _ in range(2))
    places, lines = (each.buffer_info()[0] for each in (begins, sizes)), c_size_t()
    count: int = native.lines(text, len(text), *places, byref(lines))
    return Spans(text, begins[:count], sizes[:count]), lines.value - count


class LineKeys:
    """Finds the keys of lines.

    Args:
        name: of the key, as JSON: in quotation marks. None: it is not at the top.
        parsed: the key of a line that has to be parsed.
    """

    def __init__(
        self, native: Native, name: bytes | None, parsed: Callable[[bytes], bytes | None]
    ) -> None:
        self._native = native
        self._name = name
        self._parsed = parsed

    def of(self, lines: Spans) -> Spans:
        """The same lines, with their keys."""
        text, begins, sizes, count = lines.text, lines.begins, lines.sizes, len(lines)
        key_begins, key_sizes = array("q", bytes(8 * count)), array("q", [-1]) * count
        if self._name is not None:
            places = [each.buffer_info()[0] for each in (begins, sizes, key_begins, key_sizes)]
            self._native.keys(text, self._name, len(self._name), *places[:2], count, *places[2:])
        others: list[bytes] = []
        at = len(text)
        if min(key_sizes, default=0) < 0:
            for index in [index for index, size in enumerate(key_sizes) if size < 0]:
                key = self._parsed(text[begins[index] : begins[index] + sizes[index]])
                if key is not None:
                    key_begins[index], key_sizes[index] = at, len(key)
                    others.append(key)
                    at += len(key)
        key_text = b"".join([text, *others]) if others else text
        return Spans(text, begins, sizes, (key_text, key_begins, key_sizes))
