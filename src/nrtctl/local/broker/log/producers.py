"""Idempotent producers of one partition: which batches are in, and which may come next.

Holds the last five batches of each producer, as Apache's ProducerStateManager does, so that a
repeated batch is answered with the offset it got the first time. No I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from nrtctl.local.broker.wire.batches import BatchHeader
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

KEPT_BATCHES: Final = 5
EXPIRES_AFTER_MS: Final = 24 * 3600 * 1000
MAX_PRODUCERS: Final = 10_000
_LAST_SEQUENCE: Final = 0x7FFFFFFF


@dataclass(slots=True)
class _Producer:
    epoch: int
    last_seen_ms: int
    # (first sequence, last sequence, base offset)
    batches: deque[tuple[int, int, int]] = field(default_factory=lambda: deque(maxlen=KEPT_BATCHES))


class Producers:
    def __init__(self) -> None:
        self._by_id: dict[int, _Producer] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def check(self, batch: BatchHeader) -> int | None:
        """The base offset `batch` already has, or None when it is the expected next one.

        Raises:
            Refused: INVALID_PRODUCER_EPOCH or OUT_OF_ORDER_SEQUENCE_NUMBER.
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
        if batch.producer_epoch > known.epoch:
            if batch.base_sequence != 0:
                raise self._out_of_order(batch, "0")
            return None
        last_sequence = batch.last_sequence
        for first, last, offset in known.batches:
            if (first, last) == (batch.base_sequence, last_sequence):
                return offset
        last = known.batches[-1][1]
        expected = 0 if last == _LAST_SEQUENCE else last + 1
        if batch.base_sequence != expected:
            raise self._out_of_order(batch, str(expected))
        return None

    @staticmethod
    def _out_of_order(batch: BatchHeader, expected: str) -> Refused:
        return Refused(
            ErrorCode.out_of_order_sequence_number,
            f"producer {batch.producer_id} sent sequence {batch.base_sequence}, "
            f"expected {expected}",
        )

    def update(self, batch: BatchHeader, base_offset: int, now_ms: int) -> None:
        """Note a batch that has been appended."""
        known = self._by_id.get(batch.producer_id)
        if known is None or known.epoch != batch.producer_epoch:
            if known is None and len(self._by_id) >= MAX_PRODUCERS:
                oldest = min(self._by_id, key=lambda id_: self._by_id[id_].last_seen_ms)
                del self._by_id[oldest]
            known = self._by_id[batch.producer_id] = _Producer(batch.producer_epoch, now_ms)
        known.last_seen_ms = now_ms
        known.batches.append((batch.base_sequence, batch.last_sequence, base_offset))

    def expire(self, now_ms: int) -> None:
        """Forget producers not seen for a day."""
        for id_ in [
            id_
            for id_, known in self._by_id.items()
            if now_ms - known.last_seen_ms > EXPIRES_AFTER_MS
        ]:
            del self._by_id[id_]

    def forget(self) -> None:
        """All of them: what one sends next is taken."""
        self._by_id.clear()

    def snapshot(self) -> list[Any]:
        return [
            [id_, known.epoch, known.last_seen_ms, list(known.batches)]
            for id_, known in self._by_id.items()
        ]

    @classmethod
    def restore(cls, snapshot: list[Any]) -> Producers:
        producers = cls()
        for id_, epoch, last_seen_ms, batches in snapshot:
            known = _Producer(epoch, last_seen_ms)
            known.batches.extend((first, last, offset) for first, last, offset in batches)
            producers._by_id[id_] = known
        return producers
