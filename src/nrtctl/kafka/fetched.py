"""What a fetch brings: runs of messages, and errors. Pure.

A run is made of confluent-kafka's messages here. `native_fetch` makes its runs without an object
for each message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import is_, lt
from typing import Any, Protocol

from nrtctl.store.envelope import Headers, Rows, RowsEncoder


class Fetched(Protocol):
    """The part of confluent-kafka's `Message` that a batch is made of."""

    def error(self) -> Any: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> Headers: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...


class Run(Protocol):
    """Messages of one partition that came one after another.

    Attributes:
        offsets: of the messages, ascending.
        end: the log's end, where it was reached behind them; None: it was not.
    """

    partition: int
    offsets: Sequence[int]
    end: int | None

    def rows(self, encode: RowsEncoder, count: int) -> Rows:
        """Of the first `count` messages. Raises what `encode.decode` raises."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that came in the place of a message. Attributes: error: confluent-kafka's
    `KafkaError`; partition, offset: as far as it has them."""

    error: Any
    partition: int
    offset: int


class End:
    """The log's end was reached, without a message before it."""

    offsets: Sequence[int] = ()

    def __init__(self, partition: int, end: int) -> None:
        self.partition = partition
        self.end: int | None = end

    def rows(self, encode: RowsEncoder, count: int) -> Rows:
        return Rows.of(())


def size(of: Run | Failure) -> int:
    """How many messages, ends and errors it stands for."""
    return 1 if isinstance(of, Failure) else len(of.offsets) or 1


class MessageRun:
    """Args: messages: at least one, without errors, of one partition, with ascending offsets."""

    end: int | None = None

    def __init__(self, partition: int, messages: Sequence[Fetched], offsets: Sequence[int]) -> None:
        self.partition = partition
        self.offsets = offsets
        self._messages = messages

    def rows(self, encode: RowsEncoder, count: int) -> Rows:
        messages, offsets = self._messages, self.offsets
        if count < len(messages):
            messages, offsets = messages[:count], offsets[:count]
        if not messages:
            return Rows.of(())
        # Methods of the class are called without binding them to each message.
        kind = type(messages[0])
        rows = encode(
            offsets,
            [message.timestamp()[1] for message in messages],
            list(map(kind.headers, messages)),
            list(map(kind.key, messages)),
            list(map(kind.value, messages)),
        )
        return Rows.of(rows)


def taken_apart(messages: Sequence[Fetched]) -> list[Run | Failure]:
    """The messages as runs, and the errors among them, in the order in which they came."""
    if not messages:
        return []
    kind = type(messages[0])
    if all(map(is_, map(kind.error, messages), repeat(None))):
        return list(runs_of(messages))
    found: list[Run | Failure] = []
    for is_error, some in groupby(messages, lambda message: message.error() is not None):
        if is_error:
            found += [Failure(m.error(), m.partition(), m.offset()) for m in some]
        else:
            found += runs_of(list(some))
    return found


def runs_of(messages: Sequence[Fetched]) -> Iterable[Run]:
    """Of messages without errors."""
    kind = type(messages[0])
    for number, of_one in groupby(messages, kind.partition):
        same = list(of_one)
        offsets = list(map(kind.offset, same))
        if all(map(lt, offsets, offsets[1:])):
            yield MessageRun(number, same, offsets)
        else:
            for message, offset in zip(same, offsets, strict=True):
                yield MessageRun(number, [message], [offset])
