"""One transactional id: its producer, and the transaction that is under way. No I/O.

Called by `transactions.coordinator`, which decides, and by `transactions.store`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

NO_EPOCH: Final = -1
LAST_EPOCH: Final = 0x7FFF - 1
"""The epoch after which a producer gets another id."""


class State(StrEnum):
    """The names are the ones DescribeTransactions shows."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"


_ENDING: Final = {
    State.PREPARE_COMMIT: State.COMPLETE_COMMIT,
    State.PREPARE_ABORT: State.COMPLETE_ABORT,
}
_COMMITS: Final = (State.PREPARE_COMMIT, State.COMPLETE_COMMIT)


@dataclass(slots=True)
class Transaction:
    """Times are in ms since the epoch.

    Attributes:
        last_epoch, last_producer_id: those before the last bump that its producer asked for
            itself; -1: there are none.
        partitions, groups: what the transaction under way, or the last one, has touched.
        started_at: -1 where there was none yet.
    """

    transactional_id: str
    producer_id: int
    epoch: int = NO_EPOCH
    last_epoch: int = NO_EPOCH
    timeout_ms: int = 0
    state: State = State.EMPTY
    started_at: int = -1
    updated_at: int = 0
    partitions: set[tuple[str, int]] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)
    last_producer_id: int = -1

    @property
    def is_ending(self) -> bool:
        return self.state in _ENDING

    @property
    def is_under_way(self) -> bool:
        return self.state is State.ONGOING or self.is_ending

    @property
    def commits(self) -> bool:
        """How the transaction ends, or has ended."""
        return self.state in _COMMITS

    @property
    def completed(self) -> State:
        """What an ending transaction is once it has ended."""
        return _ENDING[self.state]

    def snapshot(self) -> list[Any]:
        return [
            *(self.transactional_id, self.producer_id, self.epoch, self.last_epoch),
            *(self.timeout_ms, self.state.value, self.started_at, self.updated_at),
            sorted(self.partitions),
            sorted(self.groups),
            self.last_producer_id,
        ]

    @classmethod
    def restore(cls, snapshot: list[Any]) -> Transaction:
        """Raises ValueError, TypeError: it is none."""
        *plain, partitions, groups, last_producer_id = snapshot
        found = cls(*plain)
        found.last_producer_id = last_producer_id
        found.state = State(found.state)
        found.partitions = {(str(topic), int(index)) for topic, index in partitions}
        found.groups = set(groups)
        return found
