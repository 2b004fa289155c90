"""Producers of one partition: which batches are in, which may come next, what is in a transaction.

Holds the last five batches of each producer, as Apache's ProducerStateManager does, so that a
repeated batch is answered with the offset it got the first time. No I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from nrtctl.local.broker.log.transactions import Transactions
from nrtctl.local.broker.wire.batches import CONTROL, TRANSACTIONAL, BatchHeader
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.markers import COORDINATOR_EPOCH

KEPT_BATCHES: Final = 5
EXPIRES_AFTER_MS: Final = 24 * 3600 * 1000
MAX_PRODUCERS: Final = 10_000
_LAST_SEQUENCE: Final = 0x7FFFFFFF


@dataclass(slots=True)
class _Producer:
    epoch: int
    last_seen_ms: int
    coordinator_epoch: int = -1
    # (first sequence, last sequence, base offset)
    batches: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=KEPT_BATCHES))


class Described(NamedTuple):
    """What DescribeProducers says of one; -1: there is none."""

    producer_id: int
    epoch: int
    last_sequence: int
    last_seen_ms: int
    coordinator_epoch: int
    opened_at: int


class Producers:
    def __init__(self, transactions: Transactions | None = None) -> None:
        self._by_id: dict[int, _Producer] = {}
        self.transactions = transactions if transactions is not None else Transactions()

    def __len__(self) -> int:
        return len(self._by_id)

    def check(self, batch: BatchHeader) -> int | None:
        """The base offset `batch` already has, or None when it is the expected next one.

        Raises:
            Refused: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, or INVALID_TXN_STATE: the
                producer has a transaction open, and the batch is in none.
        """
        known = self._by_id.get(batch.producer_id)
        if known is None:
            return None
        if batch.producer_epoch < known.epoch:
            raise Refused(
                ErrorCode.invalid_producer_epoch,
                f"producer {batch.producer_id} has epoch {known.epoch}, "
                f"the batch {batch.producer_epoch}",
            )
        last = -1
        if batch.producer_epoch == known.epoch and known.batches:
            last_sequence = batch.last_sequence
            for first, last, offset in known.batches:
                if (first, last) == (batch.base_sequence, last_sequence):
                    return offset
        expected = 0 if last == _LAST_SEQUENCE else last + 1
        if batch.base_sequence != expected:
            raise Refused(
                ErrorCode.out_of_order_sequence_number,
                f"producer {batch.producer_id} sent sequence {batch.base_sequence}, "
                f"expected {expected}",
            )
        if batch.producer_id in self.transactions.open and not batch.attributes & TRANSACTIONAL:
            raise Refused(
                ErrorCode.invalid_txn_state,
                f"producer {batch.producer_id} has a transaction open, and the batch is in none",
            )
        return None

    def update(
        self, batch: BatchHeader, base_offset: int, now_ms: int, *, commits: bool = False
    ) -> None:
        """Note a batch that has been appended; `commits`: what a marker says."""
        known = self._by_id.get(batch.producer_id)
        if batch.attributes & CONTROL:
            self.transactions.ended(batch.producer_id, base_offset, commits=commits)
            if known is None:  # a marker does not say which sequence comes next
                return
        if known is None or known.epoch != batch.producer_epoch:
            if known is None and len(self._by_id) >= MAX_PRODUCERS:
                self._make_room()
            known = self._by_id[batch.producer_id] = _Producer(batch.producer_epoch, now_ms)
        known.last_seen_ms = now_ms
        if batch.attributes & CONTROL:
            known.coordinator_epoch = COORDINATOR_EPOCH
            return
        known.batches.append((batch.base_sequence, batch.last_sequence, base_offset))
        if batch.attributes & TRANSACTIONAL:
            self.transactions.began(batch.producer_id, base_offset)

    def _make_room(self) -> None:
        """Forget the one that has been silent for longest, but none in a transaction."""
        idle = self._by_id.keys() - self.transactions.open.keys()
        oldest = min(idle or self._by_id, key=lambda id_: self._by_id[id_].last_seen_ms)
        del self._by_id[oldest]

    def expire(self, now_ms: int) -> None:
        """Forget producers not seen for a day."""
        for id_ in [
            id_
            for id_, known in self._by_id.items()
            if now_ms - known.last_seen_ms > EXPIRES_AFTER_MS and id_ not in self.transactions.open
        ]:
            del self._by_id[id_]

    def forget(self) -> None:
        """All of them: what one sends next is taken."""
        self._by_id.clear()

    def epoch_of(self, producer_id: int) -> int:
        """-1: it is not known."""
        known = self._by_id.get(producer_id)
        return known.epoch if known is not None else -1

    def described(self) -> Iterator[Described]:
        for id_, known in self._by_id.items():
            last = known.batches[-1][1] if known.batches else -1
            opened_at = self.transactions.open.get(id_, -1)
            seen = known.last_seen_ms
            yield Described(id_, known.epoch, last, seen, known.coordinator_epoch, opened_at)

    def snapshot(self) -> list[Any]:
        return [
            [id_, known.epoch, known.last_seen_ms, list(known.batches), known.coordinator_epoch]
            for id_, known in self._by_id.items()
        ]

    @classmethod
    def restore(cls, snapshot: list[Any], transactions: Transactions | None = None) -> Producers:
        producers = cls(transactions)
        for id_, epoch, last_seen_ms, batches, *coordinator_epoch in snapshot:
            known = _Producer(epoch, last_seen_ms, *coordinator_epoch)
            known.batches.extend((first, last, offset) for first, last, offset in batches)
            producers._by_id[id_] = known
        return producers
