"""Transactional producers, and what tools ask of them. Offsets: `handlers.committed`.

`server` runs one request after the other, and a transaction ends within one; so a client meets
CONCURRENT_TRANSACTIONS only while the disk refuses a marker.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from nrtctl.local.broker.broker import now_ms
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.transactions.transaction import State, Transaction
from nrtctl.local.broker.wire.codec import milliseconds
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

logger = logging.getLogger(__name__)

_STATES: Final = frozenset({*State, "Dead", "PrepareEpochFence"})


def init_producer_id(context: Context, request: Any, reply: Reply) -> None:
    """v0–5: an id for an idempotent producer, or id and epoch for a transactional one, which fences
    those before it."""
    answer: dict[str, Any] = {"producer_id": -1, "producer_epoch": -1}
    try:
        if request.transactional_id is None:
            found = (context.broker.next_producer_id(), 0)
        else:
            found = context.broker.transactions.begin_producer(
                request.transactional_id,
                milliseconds(request.transaction_timeout),
                getattr(request, "producer_id", -1),
                getattr(request, "producer_epoch", -1),
            )
        answer |= {"producer_id": found[0], "producer_epoch": found[1]}
    except Refused as refused:
        answer["error_code"] = _known(refused.code, context.version, 4)
    except OSError as error:
        answer["error_code"] = _disk(error)
    reply(answer)


def _known(code: ErrorCode, version: int, fenced_from: int) -> ErrorCode:
    """Clients of older versions know INVALID_PRODUCER_EPOCH in place of PRODUCER_FENCED."""
    if code is ErrorCode.producer_fenced and version < fenced_from:
        return ErrorCode.invalid_producer_epoch
    return code


def _disk(error: OSError) -> ErrorCode:
    """What cannot be noted now is tried again by every client."""
    logger.error("a transaction cannot be written: %s", error.strerror)
    return ErrorCode.coordinator_not_available


def add_partitions_to_txn(context: Context, request: Any, reply: Reply) -> None:
    """v0–3: all of them or none."""
    wanted = [
        (topic.name, index) for topic in request.v3_and_below_topics for index in topic.partitions
    ]
    codes: dict[tuple[str, int], ErrorCode] = {}
    for topic, index in wanted:
        try:
            context.broker.partition(topic, index)
        except Refused as refused:
            codes[topic, index] = refused.code
    rest = ErrorCode.operation_not_attempted
    if not codes:
        rest = ErrorCode.none
        try:
            context.broker.transactions.add(
                request.v3_and_below_transactional_id,
                request.v3_and_below_producer_id,
                request.v3_and_below_producer_epoch,
                partitions=wanted,
            )
        except Refused as refused:
            rest = _known(refused.code, context.version, 2)
        except OSError as error:
            rest = _disk(error)
    results = [
        {
            "name": topic.name,
            "results_by_partition": [
                {
                    "partition_index": index,
                    "partition_error_code": codes.get((topic.name, index), rest),
                }
                for index in topic.partitions
            ],
        }
        for topic in request.v3_and_below_topics
    ]
    reply({"results_by_topic_v3_and_below": results})


def add_offsets_to_txn(context: Context, request: Any, reply: Reply) -> None:
    """v0–4: a group whose offsets are going to be committed."""
    code = ErrorCode.none
    try:
        context.broker.transactions.add(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            groups=(request.group_id,),
        )
    except Refused as refused:
        code = _known(refused.code, context.version, 2)
    except OSError as error:
        code = _disk(error)
    reply({"error_code": code})


def end_txn(context: Context, request: Any, reply: Reply) -> None:
    """v0–4: commit or abort. It is done, or sure to be done, when this is answered."""
    code = ErrorCode.none
    try:
        context.broker.transactions.end(
            request.transactional_id,
            request.producer_id,
            request.producer_epoch,
            commits=request.committed,
        )
    except Refused as refused:
        code = _known(refused.code, context.version, 2)
    except OSError as error:
        code = _disk(error)
    reply({"error_code": code})


def write_txn_markers(context: Context, request: Any, reply: Reply) -> None:
    """v1: brokers ask it of one another; there is no other one."""
    refused = ErrorCode.cluster_authorization_failed
    reply(
        {
            "markers": [
                {
                    "producer_id": each.producer_id,
                    "topics": [
                        {
                            "name": topic.name,
                            "partitions": [
                                {"partition_index": index, "error_code": refused}
                                for index in topic.partition_indexes
                            ],
                        }
                        for topic in each.topics
                    ],
                }
                for each in request.markers
            ]
        }
    )


# ------------------------------------------------------------------ what tools ask


def describe_producers(context: Context, request: Any, reply: Reply) -> None:
    """v0: the idempotent ones, those in a transaction among them."""

    def one(topic: str, index: int) -> dict[str, Any]:
        answer: dict[str, Any] = {"partition_index": index, "error_message": None}
        try:
            producers = context.broker.partition(topic, index).log.producers
        except Refused as refused:
            return answer | {"error_code": refused.code, "active_producers": ()}
        return answer | {
            "error_code": ErrorCode.none,
            "active_producers": [
                {
                    "producer_id": each.producer_id,
                    "producer_epoch": each.epoch,
                    "last_sequence": each.last_sequence,
                    "last_timestamp": each.last_seen_ms,
                    "coordinator_epoch": each.coordinator_epoch,
                    "current_txn_start_offset": each.opened_at,
                }
                for each in producers.described()
            ],
        }

    reply(
        {
            "topics": [
                {
                    "name": topic.name,
                    "partitions": [
                        one(topic.name, p) for p in sorted(set(topic.partition_indexes))
                    ],
                }
                for topic in request.topics
            ]
        }
    )


def list_transactions(context: Context, request: Any, reply: Reply) -> None:
    """v0–1: by state, producer, and (from v1) for how long they have been open."""
    wanted, ids = set(request.state_filters), set(request.producer_id_filters)
    duration = getattr(request, "duration_filter", -1)
    now = now_ms()
    found = [
        {
            "transactional_id": each.transactional_id,
            "producer_id": each.producer_id,
            "transaction_state": each.state.value,
        }
        for each in context.broker.transactions.known
        if (not wanted or each.state in wanted)
        and (not ids or each.producer_id in ids)
        and (duration < 0 or (each.is_under_way and now - each.started_at > duration))
    ]
    unknown = [state for state in request.state_filters if state not in _STATES]
    reply({"unknown_state_filters": unknown, "transaction_states": found})


def describe_transactions(context: Context, request: Any, reply: Reply) -> None:
    """v0: a group of which offsets are committed is not among the topics."""
    states = []
    for transactional_id in request.transactional_ids:
        found = context.broker.transactions.find(transactional_id)
        if found is not None:
            states.append(_described(found))
            continue
        code = ErrorCode.transactional_id_not_found
        if not transactional_id:
            code = ErrorCode.invalid_request
        states.append({"transactional_id": transactional_id, "error_code": code})
    reply({"transaction_states": states})


def _described(found: Transaction) -> dict[str, Any]:
    topics: dict[str, list[int]] = {}
    for topic, index in sorted(found.partitions if found.is_under_way else ()):
        topics.setdefault(topic, []).append(index)
    return {
        "error_code": ErrorCode.none,
        "transactional_id": found.transactional_id,
        "transaction_state": found.state.value,
        "transaction_timeout": found.timeout_ms,
        "transaction_start_time": found.started_at,
        "producer_id": found.producer_id,
        "producer_epoch": found.epoch,
        "topics": [{"topic": name, "partitions": each} for name, each in topics.items()],
    }
