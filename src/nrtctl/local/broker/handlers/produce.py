"""Produce v3–12: validate each partition's batch and append it.

Acknowledged means written to the file (see `docs/local-stack.md` on fsync); acks 1 and all are
the same here, acks 0 gets no response. Records are held against their batch's header before they
are appended, in another thread where that takes long. What is in a transaction has to be in one
that is open and has been told of the partition. Omitted: topic ids (v13), and that v12 tells of the
partition itself.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from nrtctl.local.broker.broker import Partition, now_ms
from nrtctl.local.broker.handlers.context import Context, Send
from nrtctl.local.broker.wire.batches import (
    TRANSACTIONAL,
    BatchHeader,
    check_payload,
    check_small,
    read_header,
    validate_produced,
)
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.produce import (
    PartitionReply,
    ProduceRequest,
    read_produce,
    write_produce,
)
from nrtctl.local.broker.wire.recode import Wants, as_wanted

logger = logging.getLogger(__name__)

ABORTABLE_FROM: Final = 11
"""The first version whose clients know TRANSACTION_ABORTABLE."""
_CHECKERS: Final = ThreadPoolExecutor(2, thread_name_prefix="check")


@dataclass(slots=True)
class _Part:
    """What one partition gets. `refusal`: why it does not."""

    topic: str
    index: int
    records: memoryview
    header: BatchHeader | None = None
    is_checked: bool = False
    refusal: Refused | None = None
    wants: Wants | None = None
    transactional_id: str | None = None

    def open(self, context: Context) -> None:
        """Look at all that is quickly seen."""
        try:
            context.broker.partition(self.topic, self.index)
            config = context.broker.topics[self.topic].config
            self.header = validate_produced(self.records, config.max_message_bytes)
            if self.header.attributes & TRANSACTIONAL and self.transactional_id is None:
                raise Refused(ErrorCode.transactional_id_authorization_failed)
            self.wants = config.wants
            self.is_checked = check_small(self.records, self.header)
            if self.is_checked:
                self.rework()
        except Refused as refused:
            self.refusal = refused

    def check(self) -> None:
        """The rest; in another thread."""
        if self.refusal is None and not self.is_checked and self.header is not None:
            try:
                check_payload(self.records, self.header)
                self.rework()
            except Refused as refused:
                self.refusal = refused

    def rework(self) -> None:
        """Make of a batch that has been checked what its topic keeps. Raises Refused."""
        if self.wants is not None and self.header is not None and self.wants.work_on(self.header):
            self.records = as_wanted(self.records, self.header, self.wants)
            self.header = read_header(self.records)

    def keep(self) -> None:
        """Own the bytes: the connection's buffer is used again meanwhile."""
        self.records = memoryview(bytearray(self.records if self.refusal is None else b""))


def produce(context: Context, frame: memoryview, at: int, send: Send) -> None:
    request = read_produce(context.version, frame, at)
    refusal: Refused | None = None
    if request.acks not in (-1, 0, 1):
        refusal = Refused(ErrorCode.invalid_required_acks)
    id_ = request.transactional_id
    topics = [
        (
            topic,
            [
                _Part(topic, index, records, refusal=refusal, transactional_id=id_)
                for index, records in partitions
            ],
        )
        for topic, partitions in request.topics
    ]
    parts = [part for _, each in topics for part in each]
    if refusal is None:
        for part in parts:
            part.open(context)
    if all(part.is_checked or part.refusal is not None for part in parts):
        _finish(context, request, topics, send)
        return
    for part in parts:
        part.keep()

    def checked(_: asyncio.Future[None]) -> None:
        # The connection's own timer: what goes wrong ends the connection.
        context.call_later(0, partial(_finish, context, request, topics, send))

    loop = asyncio.get_running_loop()
    loop.run_in_executor(_CHECKERS, _check, parts).add_done_callback(checked)


def _check(parts: list[_Part]) -> None:
    for part in parts:
        try:
            part.check()
        except MemoryError:
            part.refusal = Refused(ErrorCode.message_too_large, "the broker lacks memory for it")
        except Exception:
            logger.exception("a batch for %s-%d cannot be checked", part.topic, part.index)
            part.refusal = Refused(ErrorCode.corrupt_message, "the record batch is not readable")


def _finish(
    context: Context, request: ProduceRequest, topics: list[tuple[str, list[_Part]]], send: Send
) -> None:
    replies = [(topic, [_append(context, part) for part in parts]) for topic, parts in topics]
    if request.acks == 0:
        send(None)
    else:
        send([write_produce(context.version, context.correlation_id, replies)])


def _append(context: Context, part: _Part) -> PartitionReply:
    try:
        if part.refusal is not None:
            raise part.refusal
        return _append_to(context, context.broker.partition(part.topic, part.index), part)
    except Refused as refused:
        return PartitionReply(part.index, refused.code, -1, -1, -1, refused.message)
    except OSError as error:
        logger.error("%s-%d cannot be written: %s", part.topic, part.index, error.strerror)
        return PartitionReply(
            part.index,
            ErrorCode.kafka_storage_error,
            *(-1, -1, -1),
            f"the broker's disk: {error.strerror}",
        )


def _append_to(context: Context, partition: Partition, part: _Part) -> PartitionReply:
    if part.header is None:
        raise Refused(ErrorCode.invalid_record)
    if part.header.attributes & TRANSACTIONAL:
        _check_transaction(context, part, part.header)
    config = context.broker.topics[part.topic].config
    log = partition.log
    now = now_ms()
    if not config.append_time and part.header.max_timestamp - now > config.most_ahead_ms:
        raise Refused(
            ErrorCode.invalid_timestamp,
            f"a record's time is more than {config.most_ahead_ms} ms ahead "
            "(message.timestamp.after.max.ms)",
        )
    base_offset, was_there = log.append(
        part.header,
        part.records,
        now_ms=now,
        segment_bytes=config.segment_bytes,
        segment_ms=config.segment_ms,
        append_time=config.append_time,
    )
    if context.broker.options.fsync == "always":
        log.sync()
    if not was_there:
        partition.wake(len(part.records))
    append_time = now if config.append_time else -1
    return PartitionReply(
        partition.index, ErrorCode.none, base_offset, append_time, log.log_start, None
    )


def _check_transaction(context: Context, part: _Part, header: BatchHeader) -> None:
    """Raises Refused with the code that a client of the version knows."""
    try:
        context.broker.transactions.check_partition(
            part.transactional_id or "",
            header.producer_id,
            header.producer_epoch,
            (part.topic, part.index),
        )
    except Refused as refused:
        code = refused.code
        if code is ErrorCode.producer_fenced:
            code = ErrorCode.invalid_producer_epoch
        elif code is ErrorCode.concurrent_transactions:
            code = ErrorCode.not_enough_replicas  # which is tried again
        elif code is ErrorCode.transaction_abortable and context.version < ABORTABLE_FROM:
            code = ErrorCode.invalid_txn_state
        raise Refused(code, refused.message) from refused
