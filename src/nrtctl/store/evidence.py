"""Whether a log is still the one whose rows are stored, and whole.

A log that has lost its end, as by an unclean election of a leader or a power cut, gives the offsets
of what it has lost to other messages: rows at or beyond its end show that (`LostEnd`).

Where the broker gives topics no id, more is to be asked: Kafka before 2.8 and some brokers that
speak its protocol have no ids. What is known of the log is compared then: a message at a stored
offset has the time stamp that its row carries, and a log never ends before an offset that it has
given out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from nrtctl.clickhouse.queries import Statements
from nrtctl.errors import NrtctlError
from nrtctl.pipeline import Pipeline
from nrtctl.store.intents import OffsetRange
from nrtctl.store.several_rows import rows_in
from nrtctl.store.target import Target

MAX_TIME = 10**13
"""Milliseconds since the epoch that a row's time stamp certainly holds."""


class LostEnd(NrtctlError):
    """The table has rows of messages that the log does not have any more, and will have others at
    their offsets."""

    def __init__(self, topic: str, beyond: Mapping[int, tuple[int, int]]) -> None:
        """Args: beyond: partition to its highest row and the log end."""
        told = "; ".join(
            f"partition {number}: the table has rows up to offset {top}, but the log ends at {end}"
            for number, (top, end) in sorted(beyond.items())
        )
        super().__init__(
            f"topic {topic!r} has lost messages that are stored, and others at their offsets would "
            f"be taken for them: {told}",
            hint="docs/reliability.md#a-log-that-has-lost-its-end describes how to go on",
        )


def beyond(tops: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """The partitions that have rows at or beyond the log's end, as of `LostEnd`.

    Args:
        tops: the highest row of each partition, asked before `ends`.
    """
    return {
        number: (top, ends[number])
        for number, top in tops.items()
        if number in ends and top >= ends[number]
    }


class Ends(Protocol):
    """The part of `kafka.partitions.LogPartition` that is needed here."""

    @property
    def partition(self) -> int: ...
    @property
    def log_start(self) -> int: ...
    @property
    def log_end(self) -> int: ...


class Log(Protocol):
    """The part of `kafka.log.KafkaLog` that is needed here."""

    def partitions(self) -> Sequence[Ends]: ...
    def messages(self, partition: int, spans: Iterable[OffsetRange]) -> Iterator[Any]: ...


def is_another_log(
    storage: Statements,
    log: Log,
    pipeline: Pipeline,
    database: str,
    incarnation: int,
) -> bool:
    """Whether the rows of `incarnation` are those of an earlier topic of the name.

    One message that is the one of its row shows that they are not. Where nothing can be compared
    (no rows, or none that the log still holds), the log is taken to be the same.
    """
    rows = rows_in(storage, Target.of(pipeline, database, incarnation))
    tops = rows.highest()  # before the log, which may grow meanwhile, and the rows with it
    for entry in log.partitions():
        top = tops.get(entry.partition)
        if top is None:
            continue
        if entry.log_end == 0:
            return True
        offset = top if top < entry.log_end else rows.highest_below(entry.partition, entry.log_end)
        if offset is None or offset < entry.log_start:
            continue
        span = OffsetRange(offset, offset + 1)
        message = next(iter(log.messages(entry.partition, [span])), None)
        if message is None:  # compacted, or a marker
            continue
        sent = max(0, int(message.timestamp()[1]))
        if 0 < sent < MAX_TIME:
            return sent != rows.time_at(entry.partition, offset)
    return False
