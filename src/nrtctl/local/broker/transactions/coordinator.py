"""The transaction coordinator: who is fenced, what belongs to a transaction, how it ends.

Follows Apache Kafka's (KIP-98, 360, 447, 890's first part), state by state and code by code. A
transaction ends in three steps: that it ends, and how, is noted; each partition gets its marker and
each group its offsets; that this is done is noted. Each step is written before the next one begins,
and what was noted and not done is done when the broker starts. No event loop: time is passed in.
Made by `broker`, through which the request handlers ask it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Protocol

from nrtctl.local.broker.transactions.store import TransactionStore
from nrtctl.local.broker.transactions.transaction import LAST_EPOCH, NO_EPOCH, State, Transaction
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

logger = logging.getLogger(__name__)

MAX_TIMEOUT_MS: Final = 900_000
MAX_IDS: Final = 10_000
MAX_GROUPS: Final = 1_000
"""Of one transaction."""
EXPIRES_AFTER_MS: Final = 7 * 24 * 3600 * 1000
EXPIRE_EVERY_MS: Final = 3600 * 1000
AGAIN_MS: Final = 1_000
"""Until a marker that could not be written is tried again."""


class Ends(Protocol):
    """Where a transaction leaves something behind."""

    def end_in_partition(
        self, topic: str, index: int, transaction: Transaction, *, again: bool
    ) -> None:
        """Write a marker; `again`: only where the transaction is still open. Raises OSError."""

    def end_in_group(self, group: str, transaction: Transaction) -> None:
        """Commit its offsets, or forget them, where that has not been done. Raises OSError."""


class Transactions:
    """`clock` is milliseconds since the epoch; `next_producer_id` raises OSError."""

    def __init__(
        self,
        store: TransactionStore,
        ends: Ends,
        *,
        clock: Callable[[], int],
        next_producer_id: Callable[[], int],
    ) -> None:
        self._store = store
        self._ends = ends
        self._clock = clock
        self._next_producer_id = next_producer_id
        self._under_way = {
            each.transactional_id: each for each in store.found.values() if each.is_under_way
        }
        self._again_at = self._expire_at = 0

    @property
    def known(self) -> Iterable[Transaction]:
        return self._store.found.values()

    def find(self, transactional_id: str) -> Transaction | None:
        return self._store.found.get(transactional_id)

    def _save(self, changed: Transaction) -> Transaction:
        """Note a new state. Raises OSError: the old one holds."""
        changed.updated_at = self._clock()
        self._store.save(changed)
        if changed.is_under_way:
            self._under_way[changed.transactional_id] = changed
        else:
            self._under_way.pop(changed.transactional_id, None)
        return changed

    # ------------------------------------------------------------------ InitProducerId

    def begin_producer(
        self, transactional_id: str, timeout_ms: int, producer_id: int, epoch: int
    ) -> tuple[int, int]:
        """The id and epoch of a producer that begins; those before it are fenced.

        Args:
            producer_id, epoch: what a producer that goes on after an error had (KIP-360), or -1.

        Raises:
            Refused: INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT, PRODUCER_FENCED,
                CONCURRENT_TRANSACTIONS or COORDINATOR_NOT_AVAILABLE.
            OSError: nothing has changed, or an open transaction has been ended.
        """
        if not transactional_id or (producer_id == -1) is not (epoch == NO_EPOCH):
            raise Refused(ErrorCode.invalid_request)
        if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
            raise Refused(ErrorCode.invalid_transaction_timeout)
        known = self.find(transactional_id)
        if known is None:
            self._make_room()
            known = Transaction(transactional_id, self._next_producer_id())
        is_present = known.epoch == NO_EPOCH or (
            epoch in (NO_EPOCH, known.epoch) and producer_id in (-1, known.producer_id)
        )
        asks_again = known.state is not State.ONGOING and _asks_again(known, producer_id, epoch)
        if not is_present and not asks_again:
            raise Refused(ErrorCode.producer_fenced)
        if known.state is State.ONGOING:
            self._end(replace(known, epoch=known.epoch + 1), commits=False)
            known = self._store.found[transactional_id]
        if known.is_ending:
            raise Refused(ErrorCode.concurrent_transactions)
        begun = replace(known, state=State.EMPTY, timeout_ms=timeout_ms, started_at=-1)
        begun.partitions, begun.groups = set(), set()
        if is_present:
            begun.last_producer_id, begun.last_epoch = producer_id, epoch
            begun.epoch += 1
            if known.epoch >= LAST_EPOCH:
                begun.producer_id, begun.epoch = self._next_producer_id(), 0
        self._save(begun)
        return begun.producer_id, begun.epoch

    def _make_room(self) -> None:
        """For one more id. Raises Refused, OSError."""
        if len(self._store.found) < MAX_IDS:
            return
        idle = [each for each in self.known if not each.is_under_way]
        if not idle:
            raise Refused(ErrorCode.coordinator_not_available)
        self._store.forget(min(idle, key=lambda each: each.updated_at).transactional_id)

    # ------------------------------------------------------------------ what belongs to it

    def add(
        self,
        transactional_id: str,
        producer_id: int,
        epoch: int,
        *,
        partitions: Iterable[tuple[str, int]] = (),
        groups: Iterable[str] = (),
    ) -> None:
        """Make partitions and groups part of the transaction, which begins with the first of them.

        Raises:
            Refused: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED or
                CONCURRENT_TRANSACTIONS.
            OSError: nothing has changed.
        """
        known = self._of_producer(transactional_id, producer_id, epoch)
        if known.is_ending:
            raise Refused(ErrorCode.concurrent_transactions)
        more, more_groups = set(partitions), set(groups)
        if known.state is not State.ONGOING:
            known = replace(known, partitions=set(), groups=set(), started_at=self._clock())
        elif more <= known.partitions and more_groups <= known.groups:
            return
        if len(known.groups | more_groups) > MAX_GROUPS:
            raise Refused(ErrorCode.invalid_request)
        changed = replace(known, state=State.ONGOING, partitions=known.partitions | more)
        changed.groups = known.groups | more_groups
        self._save(changed)

    def _of_producer(self, transactional_id: str, producer_id: int, epoch: int) -> Transaction:
        """Raises Refused: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING or PRODUCER_FENCED."""
        if not transactional_id:
            raise Refused(ErrorCode.invalid_request)
        known = self.find(transactional_id)
        if known is None or known.producer_id != producer_id:
            raise Refused(ErrorCode.invalid_producer_id_mapping)
        if known.epoch != epoch:
            raise Refused(ErrorCode.producer_fenced)
        return known

    def check_partition(
        self, transactional_id: str, producer_id: int, epoch: int, partition: tuple[str, int]
    ) -> None:
        """Whether messages of the producer belong to a transaction that is open there.

        Raises:
            Refused: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, or
                TRANSACTION_ABORTABLE: it has not been told of the partition.
        """
        known = self._of_producer(transactional_id, producer_id, epoch)
        if known.is_ending:
            raise Refused(ErrorCode.concurrent_transactions)
        if known.state is not State.ONGOING or partition not in known.partitions:
            raise _not_in(f"the partition {partition[0]}-{partition[1]}")

    def check_group(self, transactional_id: str, producer_id: int, epoch: int, group: str) -> None:
        """The same of a group's offsets. Raises Refused."""
        known = self._of_producer(transactional_id, producer_id, epoch)
        if known.is_ending:
            raise Refused(ErrorCode.concurrent_transactions)
        if known.state is not State.ONGOING or group not in known.groups:
            raise _not_in(f"the group {group}")

    # ------------------------------------------------------------------ its end

    def end(self, transactional_id: str, producer_id: int, epoch: int, *, commits: bool) -> None:
        """What the producer wants of its transaction. It is sure to happen when this returns.

        Raises:
            Refused: INVALID_REQUEST, INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED,
                INVALID_TXN_STATE, or CONCURRENT_TRANSACTIONS: it is ending.
            OSError: nothing has changed.
        """
        known = self._of_producer(transactional_id, producer_id, epoch)
        if known.state is State.ONGOING:
            self._end(known, commits=commits)
        elif known.state is State.EMPTY or known.commits is not commits:
            raise Refused(ErrorCode.invalid_txn_state)
        elif known.is_ending:
            raise Refused(ErrorCode.concurrent_transactions)

    def _end(self, known: Transaction, *, commits: bool) -> None:
        """Raises OSError: nothing has changed. What fails later is done by `sweep`."""
        state = State.PREPARE_COMMIT if commits else State.PREPARE_ABORT
        self._finish(self._save(replace(known, state=state)), again=False)

    def _finish(self, ending: Transaction, *, again: bool) -> None:
        try:
            self._leave_behind(ending, again=again)
            self._save(replace(ending, state=ending.completed))
        except OSError as error:
            logger.error("transaction %s: %s", ending.transactional_id, error.strerror)
            self._again_at = self._clock() + AGAIN_MS

    def _leave_behind(self, transaction: Transaction, *, again: bool) -> None:
        """Its markers and offsets. Raises OSError."""
        for topic, index in sorted(transaction.partitions):
            self._ends.end_in_partition(topic, index, transaction, again=again)
        for group in sorted(transaction.groups):
            self._ends.end_in_group(group, transaction)

    # ------------------------------------------------------------------ time

    def start(self) -> None:
        """Finish what a crash has interrupted. Raises OSError.

        After a power cut markers may be missing even of a transaction that was completed.
        """
        for known in tuple(self.known):
            if known.is_ending:
                self._finish(known, again=True)
            elif not known.is_under_way and known.state is not State.EMPTY:
                self._leave_behind(known, again=True)

    def sweep(self) -> None:
        """End what has taken too long, or could not be ended; called every few seconds."""
        now = self._clock()
        for known in tuple(self._under_way.values()):
            try:
                if known.is_ending:
                    if now >= self._again_at:
                        self._finish(known, again=True)
                elif now - known.started_at > known.timeout_ms:
                    logger.info("transaction %s has timed out", known.transactional_id)
                    self._end(replace(known, epoch=known.epoch + 1), commits=False)
            except OSError as error:
                logger.error("transaction %s: %s", known.transactional_id, error.strerror)
        if now >= self._expire_at:
            self._expire_at = now + EXPIRE_EVERY_MS
            self._expire(now - EXPIRES_AFTER_MS)

    def _expire(self, before: int) -> None:
        """Forget ids that were not used for a week."""
        for known in [each for each in self.known if each.updated_at < before]:
            if not known.is_under_way:
                try:
                    self._store.forget(known.transactional_id)
                except OSError as error:
                    logger.error("transaction %s: %s", known.transactional_id, error.strerror)
                    return

    def is_open(self, producer_id: int, topic: str, index: int) -> bool:
        """Whether the producer has a transaction under way that reaches into the partition."""
        return any(
            known.producer_id == producer_id and (topic, index) in known.partitions
            for known in self._under_way.values()
        )


def _asks_again(known: Transaction, producer_id: int, epoch: int) -> bool:
    """Whether it is the present producer, which has not heard of its last bump."""
    return (producer_id, epoch) == (known.last_producer_id, known.last_epoch) != (-1, NO_EPOCH)


def _not_in(what: str) -> Refused:
    return Refused(ErrorCode.transaction_abortable, f"{what} is not part of the transaction")
