"""What clients ask about a partition's offsets, and DeleteRecords."""

from __future__ import annotations

from typing import Any, Final

from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.log.partition import PartitionLog
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.fetch import READ_COMMITTED

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5


def list_offsets(context: Context, request: Any, reply: Reply) -> None:
    """v1–10: end, start, newest record, or the first record not older than a time; for a reader of
    committed messages (from v2) before the first open transaction.

    There being no tiered storage, -4 is the start and -5 is unknown.
    """
    is_committed = getattr(request, "isolation_level", 0) == READ_COMMITTED

    def one(topic: str, wanted: Any) -> dict[str, Any]:
        answer = {
            "partition_index": wanted.partition_index,
            "timestamp": -1,
            "offset": -1,
            "leader_epoch": -1,
        }
        try:
            partition = context.broker.partition(topic, wanted.partition_index)
            context.broker.check_leader_epoch(
                partition, getattr(wanted, "current_leader_epoch", -1)
            )
            found = _find(partition.log, wanted.timestamp, context.version, is_committed)
        except Refused as refused:
            return answer | {"error_code": refused.code}
        if found is not None:
            epoch = partition.log.epochs.current
            answer |= {"offset": found[0], "timestamp": found[1], "leader_epoch": epoch}
        return answer | {"error_code": ErrorCode.none}

    reply(
        {
            "topics": [
                {"name": topic.name, "partitions": [one(topic.name, p) for p in topic.partitions]}
                for topic in request.topics
            ]
        }
    )


def _find(
    log: PartitionLog, timestamp: int, version: int, is_committed: bool
) -> tuple[int, int] | None:
    end = log.last_stable if is_committed else log.log_end
    if timestamp == LATEST:
        return end, -1
    if timestamp == EARLIEST or (timestamp == EARLIEST_LOCAL and version >= 8):
        return log.log_start, -1
    if timestamp == LATEST_TIERED and version >= 9:
        return None
    if timestamp == MAX_TIMESTAMP and version >= 7:
        found = log.max_timestamp()
    elif timestamp < 0:
        raise Refused(ErrorCode.unsupported_version)
    else:
        found = log.offset_for_timestamp(timestamp)
    return found if found is not None and found[0] < end else None


def offset_for_leader_epoch(context: Context, request: Any, reply: Reply) -> None:
    """v2–4: where a leader epoch ends, so that a client notices a truncation (KIP-320)."""

    def one(topic: str, wanted: Any) -> dict[str, Any]:
        answer = {"partition": wanted.partition, "leader_epoch": -1, "end_offset": -1}
        try:
            partition = context.broker.partition(topic, wanted.partition)
            context.broker.check_leader_epoch(partition, wanted.current_leader_epoch)
        except Refused as refused:
            return answer | {"error_code": refused.code}
        log = partition.log
        epoch, end = log.epochs.end_offset(wanted.leader_epoch, log.log_end)
        return answer | {"error_code": ErrorCode.none, "leader_epoch": epoch, "end_offset": end}

    reply(
        {
            "topics": [
                {
                    "topic": topic.topic,
                    "partitions": [one(topic.topic, p) for p in topic.partitions],
                }
                for topic in request.topics
            ]
        }
    )


def delete_records(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: move the log start; offset -1 means the log end. Durable when answered. A topic that is
    only compacted refuses it, as Apache Kafka does."""

    def one(topic: str, wanted: Any) -> dict[str, Any]:
        answer = {"partition_index": wanted.partition_index, "low_watermark": -1}
        try:
            log = context.broker.partition(topic, wanted.partition_index).log
            if not context.broker.topics[topic].config.deletes:
                raise Refused(ErrorCode.policy_violation)
            log.delete_before(log.log_end if wanted.offset == -1 else wanted.offset)
        except Refused as refused:
            return answer | {"error_code": refused.code}
        except OSError:
            return answer | {"error_code": ErrorCode.kafka_storage_error}
        return answer | {"error_code": ErrorCode.none, "low_watermark": log.log_start}

    reply(
        {
            "topics": [
                {"name": topic.name, "partitions": [one(topic.name, p) for p in topic.partitions]}
                for topic in request.topics
            ]
        }
    )
