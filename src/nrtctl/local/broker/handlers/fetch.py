"""Fetch v4–17: whole batches from the log, at once or when there are enough.

Sessions are not kept: every response says session 0, and every request names all its partitions.
A request that waits is answered early when the connection's next request arrives.
A reader of committed messages comes as far as the first open transaction, and is told which of the
transactions before were aborted.
Omitted: followers' fetches, diverging epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn
from uuid import UUID

from nrtctl.local.broker.broker import Partition, one_of
from nrtctl.local.broker.groups.group import Cancellable
from nrtctl.local.broker.handlers.context import Context, Send
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.wire.batches import next_offset
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.fetch import (
    FetchPartition,
    FetchRequest,
    PartitionReply,
    read_fetch,
    write_fetch,
)

MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024


def fetch(context: Context, frame: memoryview, at: int, send: Send) -> None:
    request = read_fetch(context.version, frame, at)
    if request.session_id != 0 and request.session_epoch > 0:
        send(_encode(context, ErrorCode.fetch_session_id_not_found, []))
        return
    waiting = _Waiting(context, request, send)
    if waiting.missing <= 0 or request.max_wait_ms <= 0 or not waiting.partitions:
        waiting.finish()
    else:
        waiting.park()


def _encode(
    context: Context, code: int, topics: list[tuple[str | UUID, list[PartitionReply]]]
) -> list[bytes | bytearray]:
    return write_fetch(context.version, context.correlation_id, code, topics)


class _Waiting:
    """A Fetch that may have to wait for `missing` more bytes over all its partitions."""

    def __init__(self, context: Context, request: FetchRequest, send: Send) -> None:
        self.context = context
        self.request = request
        self.send = send
        self.timer: Cancellable | None = None
        self.partitions: list[Partition] = []
        self.missing = max(request.min_bytes, 0)
        for topic, wanted in request.topics:
            partition_of = self._of(topic)
            for want in wanted:
                try:
                    partition = self._checked(partition_of(want.partition), want)
                except Refused:
                    self.missing = 0
                    continue
                self.partitions.append(partition)
                if self.missing > 0:
                    there = self._available(partition, want.offset)
                    self.missing -= min(there, max(want.max_bytes, 1))

    def _of(self, topic: str | UUID) -> Callable[[int], Partition]:
        """The partitions of a topic by their numbers. What it gives raises Refused."""
        try:
            return partial(one_of, self.context.broker.partitions(topic))
        except Refused as refused:
            return partial(_refuse, refused)

    def _checked(self, partition: Partition, want: FetchPartition) -> Partition:
        self.context.broker.check_leader_epoch(partition, want.leader_epoch)
        if not partition.log.log_start <= want.offset <= partition.log.log_end:
            raise Refused(ErrorCode.offset_out_of_range)
        return partition

    def _available(self, partition: Partition, offset: int) -> int:
        log = partition.log
        if self.request.is_committed and offset >= log.last_stable:
            return 0
        return log.available(offset, self.missing)

    def park(self) -> None:
        for partition in self.partitions:
            if self.request.is_committed:
                partition.stable_waiters.add(self.appended)
            else:
                partition.waiters.add(self.appended)
        self.context.finish_early = self.finish
        self.timer = self.context.call_later(self.request.max_wait_ms / 1000, self.finish)

    def appended(self, size: int) -> None:
        """More has been written to a partition; 0 when it is being deleted."""
        self.missing -= size
        if self.missing <= 0 or not size:
            self.finish()

    def withdraw(self) -> None:
        for partition in self.partitions:
            partition.waiters.discard(self.appended)
            partition.stable_waiters.discard(self.appended)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def finish(self) -> None:
        self.withdraw()
        left = min(self.request.max_bytes, MAX_RESPONSE_BYTES, self.context.room_for_answer())
        is_empty = True
        topics: list[tuple[str | UUID, list[PartitionReply]]] = []
        for topic, wanted in self.request.topics:
            partition_of = self._of(topic)
            replies = []
            for want in wanted:
                reply = self._read(partition_of, want, left, at_least_one=is_empty)
                if reply.records:
                    is_empty = False
                    left -= len(reply.records)
                replies.append(reply)
            topics.append((topic, replies))
        self.send(_encode(self.context, ErrorCode.none, topics))

    def _read(
        self,
        partition_of: Callable[[int], Partition],
        want: FetchPartition,
        left: int,
        *,
        at_least_one: bool,
    ) -> PartitionReply:
        high_watermark = stable = log_start = -1
        try:
            partition = partition_of(want.partition)
            log = partition.log
            self.context.broker.check_leader_epoch(partition, want.leader_epoch)
            high_watermark, stable, log_start = log.log_end, log.last_stable, log.log_start
            if want.offset == high_watermark:
                return PartitionReply(
                    want.partition, ErrorCode.none, high_watermark, stable, log_start, b"",
                    [] if self.request.is_committed else None,
                )  # fmt: skip
            room = min(want.max_bytes, left)
            records = b""
            below = stable if self.request.is_committed and stable < high_watermark else None
            if room > 0 or at_least_one:
                records = log.read(
                    want.offset, max(room, 0), at_least_one=at_least_one, below=below
                )
            elif not log_start <= want.offset <= high_watermark:
                raise Refused(ErrorCode.offset_out_of_range)
            aborted = _aborted(log, want.offset, records) if self.request.is_committed else None
            found = (high_watermark, stable, log_start, records, aborted)
            return PartitionReply(want.partition, ErrorCode.none, *found)
        except Refused as refused:
            code = refused.code
        except OSError:
            code = ErrorCode.kafka_storage_error
        return PartitionReply(want.partition, code, high_watermark, stable, log_start, b"")


def _refuse(refused: Refused, _: int) -> NoReturn:
    raise refused


def _aborted(log: PartitionLog, offset: int, records: bytes) -> list[tuple[int, int]]:
    """(producer id, first offset) of those that reach into the records."""
    transactions = log.producers.transactions
    if not records or not len(transactions):
        return []
    found = transactions.aborted(offset, next_offset(records))
    return [(each.producer_id, each.first) for each in found]
