"""Where transactions leave something behind: markers in partitions, offsets in groups.

Made by `broker` for its `transactions.coordinator`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nrtctl.local.broker.transactions.transaction import Transaction
from nrtctl.local.broker.wire.errors import Refused

if TYPE_CHECKING:
    from nrtctl.local.broker.broker import Broker, Partition, Topic

logger = logging.getLogger(__name__)


class BrokerEnds:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def end_in_partition(
        self, topic: str, index: int, transaction: Transaction, *, again: bool
    ) -> None:
        """Write a marker, if the partition is there; `again`: only where the transaction is still
        open. Raises OSError."""
        try:
            partition = self._broker.partition(topic, index)
        except Refused:  # deleted meanwhile
            return
        producer_id, epoch = transaction.producer_id, transaction.epoch
        if not again or producer_id in partition.log.producers.transactions.open:
            of = self._broker.topics[topic]
            self._mark(of, partition, producer_id, epoch, commits=transaction.commits)

    def _mark(
        self, topic: Topic, partition: Partition, producer_id: int, epoch: int, *, commits: bool
    ) -> None:
        log, config = partition.log, topic.config
        log.end_transaction(
            producer_id,
            epoch,
            commits=commits,
            now_ms=self._broker.clock_ms(),
            segment_bytes=config.segment_bytes,
            segment_ms=config.segment_ms,
            append_time=config.append_time,
        )
        if self._broker.options.fsync == "always":
            log.sync()
        partition.wake_at_end()

    def end_in_group(self, group: str, transaction: Transaction) -> None:
        """Commit its offsets, or forget them, where that has not been done. Raises OSError."""
        self._broker.store.settle(group, transaction.producer_id, commits=transaction.commits)

    def end_orphans(self) -> None:
        """End what is open in a partition, and in no transaction: a power cut can leave it, and
        damage where its marker was. Then it is committed: it may have been, and nothing is lost.

        Raises OSError.
        """
        for topic in self._broker.topics.values():
            for partition in topic.partitions:
                log = partition.log
                for producer_id, first in tuple(log.producers.transactions.open.items()):
                    if self._broker.transactions.is_open(producer_id, topic.name, partition.index):
                        continue
                    commits = any(end > first for _, end in log.damaged())
                    logger.warning(
                        "%s-%d: nobody ends the transaction of producer %d that began at offset "
                        "%d; it is %s",
                        *(topic.name, partition.index, producer_id, first),
                        "committed, there is damage behind it" if commits else "aborted",
                    )
                    epoch = max(log.producers.epoch_of(producer_id), 0)
                    self._mark(topic, partition, producer_id, epoch, commits=commits)
