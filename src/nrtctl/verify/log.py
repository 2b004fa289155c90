"""What verifying asks of Kafka. `kafka_log` answers it, tests answer it from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from nrtctl import intents
from nrtctl.intents import OffsetRange


@dataclass(frozen=True, slots=True)
class LogPartition:
    """What Kafka says of one partition: its log, and what the group has committed."""

    partition: int
    log_start: int
    log_end: int
    committed: int | None
    metadata: str = ""

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

    def messages(
        self,
        partition: int,
        spans: Iterable[OffsetRange],
        damaged: Callable[[OffsetRange], None] | None = None,
    ) -> Iterator[Message]:
        """The messages that lie in `spans`, which ascend and do not overlap; `damaged` is told
        what cannot be read and is passed."""
        ...
