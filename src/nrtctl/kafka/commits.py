"""Offset commits under way: which answer belongs to which. No client, no thread.

There is at most one commit of a partition under way: a client may send a commit again on its own,
so a second one could be overtaken by the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What Kafka said to an offset commit."""

    COMMITTED = "it is committed"
    REFUSED = "the partition is not ours any more"
    AGAIN = "it was not answered, or may not be committed just now"


@dataclass(frozen=True, slots=True)
class Commit:
    """`metadata` is empty where nothing is under way below `offset`."""

    partition: int
    offset: int
    metadata: str = ""


Answered = Callable[[Verdict, str], None]
"""Told the verdict and, where it is not COMMITTED, why."""


class Commits:
    """Commits that were sent and not yet answered."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[Commit, Answered]] = {}

    def __contains__(self, partition: object) -> bool:
        return partition in self._open

    def __len__(self) -> int:
        return len(self._open)

    def sent(self, commit: Commit, answered: Answered) -> None:
        """Raises ValueError: one of that partition is under way."""
        if commit.partition in self._open:
            raise ValueError(f"a commit of partition {commit.partition} is under way")
        self._open[commit.partition] = (commit, answered)

    def answer(self, commit: Commit, verdict: Verdict, why: str = "") -> None:
        """Give the answer to whoever waits for it; one that nobody waits for is ignored."""
        known = self._open.get(commit.partition)
        if known is not None and known[0] == commit:
            del self._open[commit.partition]
            known[1](verdict, why)

    def forget(self, partitions: Iterable[int]) -> None:
        """The partitions went to another member: their answers say nothing any more."""
        for partition in partitions:
            self._open.pop(partition, None)
