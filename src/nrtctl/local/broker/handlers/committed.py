"""Committed offsets: written, read, deleted."""

from __future__ import annotations

import logging
from typing import Any, Final

from nrtctl.local.broker.broker import Broker, now_ms
from nrtctl.local.broker.groups.store import Committed, Partition
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

logger = logging.getLogger(__name__)

MAX_METADATA: Final = 4096
"""offset.metadata.max.bytes, counted as Apache Kafka counts it: in UTF-16 units."""


def offset_commit(context: Context, request: Any, reply: Reply) -> None:
    """v2–9: all that is acceptable in one journal entry, or nothing.

    Offsets never expire. Omitted: retention time (v2–4 may send one), topic ids (v10).
    """
    broker = context.broker
    now = now_ms()
    accepted: dict[Partition, Committed] = {}
    codes: dict[Partition, ErrorCode] = {}
    for topic in request.topics:
        for wanted in topic.partitions:
            key = (topic.name, wanted.partition_index)
            metadata = wanted.committed_metadata or ""
            codes[key] = _check(broker, key, metadata)
            if codes[key] is ErrorCode.none:
                epoch = getattr(wanted, "committed_leader_epoch", -1)
                accepted[key] = Committed(wanted.committed_offset, epoch, metadata, now)
    refusal: ErrorCode | None = None
    try:
        broker.coordinator.commit(
            request.group_id,
            request.generation_id_or_member_epoch,
            request.member_id,
            getattr(request, "group_instance_id", None),
            accepted,
        )
    except Refused as refused:
        refusal = refused.code
    except OSError as error:
        logger.error("offsets of group %s cannot be written: %s", request.group_id, error.strerror)
        refusal = ErrorCode.kafka_storage_error
    reply(
        {
            "topics": [
                {
                    "name": topic.name,
                    "partitions": [
                        {
                            "partition_index": p.partition_index,
                            "error_code": refusal or codes[topic.name, p.partition_index],
                        }
                        for p in topic.partitions
                    ],
                }
                for topic in request.topics
            ]
        }
    )


def _check(broker: Broker, key: Partition, metadata: str) -> ErrorCode:
    topic = broker.topics.get(key[0])
    if topic is None or not 0 <= key[1] < len(topic.partitions):
        return ErrorCode.unknown_topic_or_partition
    if len(metadata.encode("utf-16-le")) > 2 * MAX_METADATA:
        return ErrorCode.offset_metadata_too_large
    return ErrorCode.none


def offset_fetch(context: Context, request: Any, reply: Reply) -> None:
    """v1–9: of named partitions or (null) all; from v8 of several groups.

    Transactions being absent, every committed offset is a stable one.
    """
    offsets = context.broker.store.offsets
    if context.version < 8:
        reply(
            {
                "topics": _fetch(offsets.get(request.group_id, {}), request.topics),
                "error_code": ErrorCode.none,
            }
        )
        return
    reply(
        {
            "groups": [
                {
                    "group_id": group.group_id,
                    "topics": _fetch(offsets.get(group.group_id, {}), group.topics),
                    "error_code": ErrorCode.none,
                }
                for group in request.groups
            ]
        }
    )


def _fetch(committed: dict[Partition, Committed], topics: Any) -> list[dict[str, Any]]:
    wanted: dict[str, list[int]] = {}
    if topics is None:
        for topic, partition in committed:
            wanted.setdefault(topic, []).append(partition)
    else:
        for topic in topics:
            wanted[topic.name] = list(topic.partition_indexes)
    none = Committed(-1, -1, "", 0)
    answers = []
    for name, partitions in wanted.items():
        found = [(partition, committed.get((name, partition), none)) for partition in partitions]
        answers.append(
            {
                "name": name,
                "partitions": [
                    {
                        "partition_index": partition,
                        "committed_offset": offset.offset,
                        "committed_leader_epoch": offset.leader_epoch,
                        "metadata": offset.metadata,
                        "error_code": ErrorCode.none,
                    }
                    for partition, offset in found
                ],
            }
        )
    return answers


def offset_delete(context: Context, request: Any, reply: Reply) -> None:
    """v0: only of topics that no member of the group is subscribed to."""
    broker = context.broker
    try:
        subscribed = broker.coordinator.deletable_offsets(request.group_id)
        committed = broker.store.offsets.get(request.group_id, {})
        codes: dict[Partition, ErrorCode] = {}
        for topic in request.topics:
            for partition in topic.partitions:
                key = (topic.name, partition.partition_index)
                codes[key] = (
                    ErrorCode.group_subscribed_to_topic
                    if topic.name in subscribed
                    else _check(broker, key, "")
                )
        broker.store.uncommit(
            request.group_id,
            [key for key, code in codes.items() if code is ErrorCode.none and key in committed],
        )
    except Refused as refused:
        reply({"error_code": refused.code, "topics": ()})
        return
    except OSError:
        reply({"error_code": ErrorCode.kafka_storage_error, "topics": ()})
        return
    reply(
        {
            "error_code": ErrorCode.none,
            "topics": [
                {
                    "name": topic.name,
                    "partitions": [
                        {
                            "partition_index": p.partition_index,
                            "error_code": codes[topic.name, p.partition_index],
                        }
                        for p in topic.partitions
                    ],
                }
                for topic in request.topics
            ],
        }
    )
