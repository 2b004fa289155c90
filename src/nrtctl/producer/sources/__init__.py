"""Where messages come from: generated events (`reference_events`), files (`files`), what a program
gives (`from_program`), and faults mixed into any of them.

`choosing` picks the one that sends what is given to `nrtctl produce` or to `Client.produce`; it is
handed to `nrtctl.producer.run`, which pulls from it.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from nrtctl.producer.sources.marks import FOREIGN

Extra = dict[str, object] | None
"""What else the client is told of a message: `timestamp` (ms since the epoch), `headers` (a list
of (name, bytes or None)), `partition`. None: nothing, the time is that of sending; of input that
describes whole messages, which are sent as they were, there is always one."""

Record = tuple[bytes | None, bytes | None, Extra, str | None]
"""`(key, value, extra, mark)`. A key or value of None is Kafka's null. The mark is None or one of
`sources.marks`."""


class Values(list[bytes]):
    """Messages of a file that are only values: no keys, nothing else said of them. What costs
    least to make and to hand over."""

    def records(self) -> list[Record]:
        return [(None, value, None, FOREIGN) for value in self]


@dataclass(frozen=True, slots=True)
class Spans:
    """Messages that are parts of one text, in their order: no object is made for each.

    Attributes:
        begins, sizes: one number a message, of 64 bits.
        keys: the text of the keys, where each begins, and its size; below 0: it has none. None: no
            message has one.
    """

    text: bytes
    begins: array[int]
    sizes: array[int]
    keys: tuple[bytes, array[int], array[int]] | None = None

    def __len__(self) -> int:
        return len(self.begins)

    def __getitem__(self, part: slice) -> Spans:
        keys = self.keys
        if keys is not None:
            keys = keys[0], keys[1][part], keys[2][part]
        return Spans(self.text, self.begins[part], self.sizes[part], keys)

    def records(self) -> list[Record]:
        values = _cut(self.text, self.begins, self.sizes)
        keys = [None] * len(values) if self.keys is None else _cut(*self.keys)
        return [(key, value, None, FOREIGN) for key, value in zip(keys, values, strict=True)]


def _cut(text: bytes, begins: array[int], sizes: array[int]) -> list[bytes | None]:
    pairs = zip(begins, sizes, strict=True)
    return [None if size < 0 else text[begin : begin + size] for begin, size in pairs]


Taken = list[Record] | Values | Spans


def records_of(taken: Taken) -> list[Record]:
    return taken.records() if isinstance(taken, Values | Spans) else taken


EXAMPLES_KEPT = 10


@dataclass(slots=True)
class Unsendable:
    """Input that became no message, and where it was. Keeps the first few reasons."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, where: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES_KEPT:
            self.examples.append(where)


class Source(Protocol):
    """Pulled by the producer, from one thread. Memory stays bounded whatever the input's size."""

    @property
    def unsendable(self) -> Unsendable: ...

    @property
    def skipped(self) -> int:
        """Blank lines that were passed over."""
        ...

    @property
    def bulk(self) -> bool:
        """Whether all of it is there, and without keys: batches fill within milliseconds."""
        ...

    def take(self, limit: int) -> Taken:
        """Up to `limit` messages, in order. Empty and not `exhausted`: nothing has come yet.

        Waits at most about 0.1 s, so that the caller can serve its client meanwhile.

        Raises:
            NrtctlError: the input cannot be read any further.
        """
        ...

    @property
    def exhausted(self) -> bool:
        """True once `take` has returned the last record."""
        ...

    def size_hint(self) -> tuple[int, int] | None:
        """(bytes read, bytes in all) of an input with a known size; None otherwise."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Spanning(Protocol):
    """A source that may give `Spans`, if it is asked to before the first `take`."""

    def as_spans(self) -> bool:
        """Give `Spans` where that is possible. False: there is too little for it to pay."""
        ...
