"""What the consumers of one process may hold in memory and have under way, all together. Pure.

Each of them works on a thread of its own. A share's numbers are written by its owner only; what
others see of them may be a moment old, which a limit of this kind bears.
"""

from __future__ import annotations

from collections.abc import Sequence

FETCH_QUEUE_KILOBYTES = 4 * 1024
LEAST_QUEUE_KILOBYTES = 512


class Budget:
    """Args:
    max_buffer: bytes that all consumers may hold; with several of them, a fetch of each more.
    max_inserts: inserts that can be under way at once. A consumer may always have one.
    consumers: how many there are at first.
    """

    def __init__(self, *, max_buffer: int, max_inserts: int, consumers: int = 1) -> None:
        self._max_buffer = max_buffer
        self._max_inserts = max_inserts
        self._shares = [Share(self) for _ in range(consumers)]

    @property
    def shares(self) -> Sequence[Share]:
        return self._shares

    def join(self) -> Share:
        """The share of one more consumer. Those of the others become smaller."""
        share = Share(self)
        self._shares.append(share)
        return share

    @property
    def reserve(self) -> int:
        """Bytes that each consumer may hold, whatever the others do: half of the memory is kept for
        those that hold little."""
        consumers = len(self._shares)
        return self._max_buffer // (2 * consumers) if consumers > 1 else 0

    @property
    def queue_kilobytes(self) -> int:
        """What the Kafka client of each may hold beside the buffer."""
        return max(LEAST_QUEUE_KILOBYTES, FETCH_QUEUE_KILOBYTES // len(self.shares))

    def has_room(self) -> bool:
        """Whether a consumer that holds its reserve already may take more."""
        return sum(max(each.held, self.reserve) for each in self.shares) < self._max_buffer

    def free_inserts(self) -> int:
        return self._max_inserts - sum(each.inserts for each in self.shares)


class Share:
    """One consumer's part. Attributes: held: bytes; inserts: under way."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0
        self.inserts = 0

    @property
    def consumers(self) -> int:
        """How many share it."""
        return len(self._budget.shares)

    @property
    def queue_kilobytes(self) -> int:
        """As `Budget.queue_kilobytes`."""
        return self._budget.queue_kilobytes

    def has_room(self, held: int) -> bool:
        """Whether more may be held than these bytes."""
        self.held = held
        return held < self._budget.reserve or self._budget.has_room()

    def free_inserts(self, inserts: int) -> int:
        """How many may be begun beside these."""
        self.inserts = inserts
        return max(self._budget.free_inserts(), 1 - inserts)

    def give_back(self) -> None:
        """Its consumer has ended."""
        self.held = self.inserts = 0


def alone(*, max_buffer: int, max_inserts: int) -> Share:
    """The share of the only consumer."""
    return Budget(max_buffer=max_buffer, max_inserts=max_inserts).shares[0]
