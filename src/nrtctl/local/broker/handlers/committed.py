"""Committed offsets: written, read, deleted."""

from __future__ import annotations

import logging
from typing import Any, Final

from nrtctl.local.broker.broker import Broker, now_ms
from nrtctl.local.broker.groups.store import Committed, GroupStore, Partition
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

logger = logging.getLogger(__name__)

ABORTABLE_FROM: Final = 4
"""The first version of TxnOffsetCommit whose clients know TRANSACTION_ABORTABLE."""
MAX_METADATA: Final = 4096
"""offset.metadata.max.bytes, counted as Apache Kafka counts it: in UTF-16 units."""


def offset_commit(context: Context, request: Any, reply: Reply) -> None:
    """v2–9: all that is acceptable in one journal entry, or nothing.

    Offsets never expire. Omitted: retention time (v2–4 may send one), topic ids (v10).
    """
    accepted, codes = _acceptable(context.broker, request.topics)
    refusal: ErrorCode | None = None
    try:
        context.broker.coordinator.commit(
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
    reply(_answered(request.topics, refusal, codes))


def txn_offset_commit(context: Context, request: Any, reply: Reply) -> None:
    """v0–4: kept until the transaction ends, which must have been told of the group."""
    accepted, codes = _acceptable(context.broker, request.topics)
    refusal: ErrorCode | None = None
    group = request.group_id
    try:
        context.broker.transactions.check_group(
            request.transactional_id, request.producer_id, request.producer_epoch, group
        )
        context.broker.coordinator.commit_with(
            request.producer_id,
            group,
            getattr(request, "generation_id", -1),
            getattr(request, "member_id", ""),
            getattr(request, "group_instance_id", None),
            accepted,
        )
    except Refused as refused:
        refusal = refused.code
        if refusal is ErrorCode.producer_fenced:
            refusal = ErrorCode.invalid_producer_epoch
        elif refusal is ErrorCode.concurrent_transactions:
            refusal = ErrorCode.coordinator_not_available  # which is tried again
        elif refusal is ErrorCode.transaction_abortable and context.version < ABORTABLE_FROM:
            refusal = ErrorCode.invalid_txn_state
    except OSError as error:
        logger.error("offsets of group %s cannot be written: %s", group, error.strerror)
        refusal = ErrorCode.coordinator_not_available
    reply(_answered(request.topics, refusal, codes))


def _acceptable(
    broker: Broker, topics: Any
) -> tuple[dict[Partition, Committed], dict[Partition, ErrorCode]]:
    """What can be committed, and what becomes of each."""
    now = now_ms()
    accepted: dict[Partition, Committed] = {}
    codes: dict[Partition, ErrorCode] = {}
    for topic in topics:
        for wanted in topic.partitions:
            key = (topic.name, wanted.partition_index)
            metadata = wanted.committed_metadata or ""
            codes[key] = _check(broker, key, metadata)
            if codes[key] is ErrorCode.none:
                epoch = getattr(wanted, "committed_leader_epoch", -1)
                accepted[key] = Committed(wanted.committed_offset, epoch, metadata, now)
    return accepted, codes


def _answered(
    topics: Any, refusal: ErrorCode | None, codes: dict[Partition, ErrorCode]
) -> dict[str, Any]:
    return {
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
            for topic in topics
        ]
    }


def _check(broker: Broker, key: Partition, metadata: str) -> ErrorCode:
    topic = broker.topics.get(key[0])
    if topic is None or not 0 <= key[1] < len(topic.partitions):
        return ErrorCode.unknown_topic_or_partition
    if len(metadata.encode("utf-16-le")) > 2 * MAX_METADATA:
        return ErrorCode.offset_metadata_too_large
    return ErrorCode.none


def offset_fetch(context: Context, request: Any, reply: Reply) -> None:
    """v1–9: of named partitions or (null) all; from v8 of several groups. From v7 a client may want
    stable ones only: those that no open transaction changes."""
    store = context.broker.store
    wants_stable = getattr(request, "require_stable", False)
    if context.version < 8:
        reply(
            {
                "topics": _fetch(store, request.group_id, request.topics, wants_stable),
                "error_code": ErrorCode.none,
            }
        )
        return
    reply(
        {
            "groups": [
                {
                    "group_id": group.group_id,
                    "topics": _fetch(store, group.group_id, group.topics, wants_stable),
                    "error_code": ErrorCode.none,
                }
                for group in request.groups
            ]
        }
    )


def _fetch(store: GroupStore, group: str, topics: Any, wants_stable: bool) -> list[dict[str, Any]]:
    committed = store.offsets.get(group, {})
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
        found = []
        for partition in partitions:
            code, offset = ErrorCode.none, committed.get((name, partition), none)
            if wants_stable and not store.is_stable(group, (name, partition)):
                code, offset = ErrorCode.unstable_offset_commit, none
            found.append((partition, offset, code))
        answers.append(
            {
                "name": name,
                "partitions": [
                    {
                        "partition_index": partition,
                        "committed_offset": offset.offset,
                        "committed_leader_epoch": offset.leader_epoch,
                        "metadata": offset.metadata,
                        "error_code": code,
                    }
                    for partition, offset, code in found
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
