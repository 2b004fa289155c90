"""What verifying asks of Kafka. `kafka.log` answers it, tests answer it from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from nrtctl.store import intents
from nrtctl.store.intents import Incarnation, OffsetRange, of_this_topic


@dataclass(frozen=True, slots=True)
class LogPartition:
    """What Kafka says of one partition: its log, and what the group has committed."""

    partition: int
    log_start: int
    log_end: int
    committed: int | None
    metadata: str = ""
    earlier: int | None = None
    """What the group had committed in an earlier topic of this name, where it has nothing here."""

    @classmethod
    def of(
        cls,
        partition: int,
        marks: tuple[int, int],
        committed: tuple[int | None, str],
        topic: Incarnation,
    ) -> LogPartition:
        """Args: marks: log start and log end; committed: offset and metadata; topic: that is there
        now: what was committed in another says nothing of this log."""
        offset, metadata = committed
        if offset is not None and not of_this_topic(metadata, topic):
            return cls(partition, *marks, None, "", offset)
        return cls(partition, *marks, offset, metadata)

    def pending(self, table: str) -> OffsetRange | None:
        """The batch that is declared and may be under way.

        Raises:
            UnknownMetadataError: the metadata is no intent for `table`.
        """
        if self.committed is None:
            return None
        return intents.decode_metadata(table, self.committed, self.metadata)


class Message(Protocol):
    """The part of confluent-kafka's message that a reload needs."""

    def offset(self) -> int: ...

    def timestamp(self) -> tuple[int, int]: ...

    def key(self) -> bytes | None: ...

    def value(self) -> bytes | None: ...

    def headers(self) -> Any: ...


class Log(Protocol):
    """A topic's log and its group, read only."""

    def partitions(self) -> list[LogPartition]: ...

    def ends(self) -> dict[int, int]: ...

    def topic_id(self) -> str:
        """Of the topic that has the name now; empty: the broker gives none."""
        ...

    def messages(
        self,
        partition: int,
        spans: Iterable[OffsetRange],
        damaged: Callable[[OffsetRange], None] | None = None,
    ) -> Iterator[Message]:
        """The messages that lie in `spans`, which ascend and do not overlap; `damaged` is told
        what cannot be read and is passed."""
        ...
