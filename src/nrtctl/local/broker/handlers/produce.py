"""Produce v3–12: validate each partition's batch and append it.

Acknowledged means written to the file (see `docs/local-stack.md` on fsync); acks 1 and all are
the same here, acks 0 gets no response. Omitted: transactions, topic ids (v13).
"""

from __future__ import annotations

import logging

from nrtctl.local.broker.broker import Partition, now_ms
from nrtctl.local.broker.handlers.context import Context, Send
from nrtctl.local.broker.wire.batches import validate_produced
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.produce import PartitionReply, read_produce, write_produce

logger = logging.getLogger(__name__)


def produce(context: Context, frame: memoryview, at: int, send: Send) -> None:
    request = read_produce(context.version, frame, at)
    refusal: Refused | None = None
    if request.transactional_id is not None:
        refusal = Refused(
            ErrorCode.transactional_id_authorization_failed, "transactions are not served"
        )
    elif request.acks not in (-1, 0, 1):
        refusal = Refused(ErrorCode.invalid_required_acks)
    replies = [
        (
            topic,
            [_append(context, topic, index, records, refusal) for index, records in partitions],
        )
        for topic, partitions in request.topics
    ]
    if request.acks == 0:
        send(None)
    else:
        send([write_produce(context.version, context.correlation_id, replies)])


def _append(
    context: Context, topic_name: str, index: int, records: memoryview, refusal: Refused | None
) -> PartitionReply:
    try:
        if refusal is not None:
            raise refusal
        return _append_to(context, context.broker.partition(topic_name, index), topic_name, records)
    except Refused as refused:
        return PartitionReply(index, refused.code, -1, -1, -1, refused.message)
    except OSError as error:
        logger.error("%s-%d cannot be written: %s", topic_name, index, error.strerror)
        return PartitionReply(
            index, ErrorCode.kafka_storage_error, -1, -1, -1, f"the broker's disk: {error.strerror}"
        )


def _append_to(
    context: Context, partition: Partition, topic_name: str, records: memoryview
) -> PartitionReply:
    config = context.broker.topics[topic_name].config
    batch = validate_produced(records, config.max_message_bytes)
    log = partition.log
    now = now_ms()
    base_offset, was_there = log.append(
        batch,
        records,
        now_ms=now,
        segment_bytes=config.segment_bytes,
        append_time=config.append_time,
    )
    if context.broker.options.fsync == "always":
        log.sync()
    if not was_there:
        partition.wake(len(records))
    append_time = now if config.append_time else -1
    return PartitionReply(
        partition.index, ErrorCode.none, base_offset, append_time, log.log_start, None
    )
