"""What tools ask of a cluster, answered as by Apache Kafka of one node, one log directory and no
authorizer: nothing moves, nobody is elected, and there is no ACL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from nrtctl.local.broker.broker import BROKER_ID, Partition
from nrtctl.local.broker.handlers import allowed
from nrtctl.local.broker.handlers.cluster import describe_partition, describe_topic
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

_METADATA: Final = "__cluster_metadata"
_MOST_PARTITIONS: Final = 2_000
_NO_AUTHORIZER: Final = "No Authorizer is configured on the broker"


def elect_leaders(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: every partition has its leader. Asked for all, those that need none are left out."""
    results: list[dict[str, Any]] = []
    if request.topic_partitions is None:
        results = [{"topic": name, "partition_result": ()} for name in context.broker.topics]
    for wanted in request.topic_partitions or ():
        partitions = []
        for index in wanted.partitions:
            code: ErrorCode = ErrorCode.election_not_needed
            try:
                context.broker.partition(wanted.topic, index)
            except Refused as refused:
                code = refused.code
            partitions.append({"partition_id": index, "error_code": code, "error_message": None})
        results.append({"topic": wanted.topic, "partition_result": partitions})
    reply({"replica_election_results": results})


def alter_partition_reassignments(context: Context, request: Any, reply: Reply) -> None:
    """v0: to this broker, where it is; nothing can be cancelled."""

    def one(topic: str, wanted: Any) -> dict[str, Any]:
        code, message = ErrorCode.none, None
        try:
            context.broker.partition(topic, wanted.partition_index)
            if wanted.replicas is None:
                raise Refused(ErrorCode.no_reassignment_in_progress)
            if tuple(wanted.replicas) != (BROKER_ID,):
                raise Refused(
                    ErrorCode.invalid_replica_assignment,
                    f"there is one broker, its id is {BROKER_ID}",
                )
        except Refused as refused:
            code, message = refused.code, refused.message
        answer = {"partition_index": wanted.partition_index}
        return answer | {"error_code": code, "error_message": message}

    reply(
        {
            "error_message": None,
            "responses": [
                {"name": topic.name, "partitions": [one(topic.name, p) for p in topic.partitions]}
                for topic in request.topics
            ],
        }
    )


def list_partition_reassignments(context: Context, request: Any, reply: Reply) -> None:
    """v0: none is under way."""
    reply({"error_message": None, "topics": ()})


def alter_replica_log_dirs(context: Context, request: Any, reply: Reply) -> None:
    """v1–2: into the only directory, where they are."""
    here = str(context.broker.directory.resolve())
    found: dict[str, list[dict[str, Any]]] = {}
    for directory in request.dirs:
        for topic in directory.topics:
            for index in topic.partitions:
                code = ErrorCode.none if directory.path == here else ErrorCode.log_dir_not_found
                try:
                    context.broker.partition(topic.name, index)
                except Refused as refused:
                    code = refused.code if code is ErrorCode.none else code
                answer = {"partition_index": index, "error_code": code}
                found.setdefault(topic.name, []).append(answer)
    results = [{"topic_name": name, "partitions": each} for name, each in found.items()]
    reply({"results": results})


def describe_topic_partitions(context: Context, request: Any, reply: Reply) -> None:
    """v0: topics by name, so many partitions at once; the cursor says where to go on."""
    topics = context.broker.topics
    names = sorted({topic.name for topic in request.topics} or topics)
    cursor, first = request.cursor, 0
    if cursor is not None:
        names = [name for name in names if name >= cursor.topic_name]
        first = max(cursor.partition_index, 0) if names[:1] == [cursor.topic_name] else 0
    left = min(max(request.response_partition_limit, 1), _MOST_PARTITIONS)
    found, following = [], None
    for name in names:
        topic = topics.get(name)
        if topic is None:
            missing = ErrorCode.unknown_topic_or_partition
            found.append({"name": name, "error_code": missing, "partitions": ()})
            continue
        shown = topic.partitions[first : first + left]
        if not shown and first < len(topic.partitions):
            following = {"topic_name": name, "partition_index": first}
            break
        found.append(describe_topic(topic, allowed.TOPIC) | {"partitions": _shown(shown)})
        left -= len(shown)
        if first + len(shown) < len(topic.partitions):
            following = {"topic_name": name, "partition_index": first + len(shown)}
            break
        first = 0
    reply({"topics": found, "next_cursor": following})


def _shown(partitions: Iterable[Partition]) -> list[dict[str, Any]]:
    none: dict[str, Any] = {"eligible_leader_replicas": (), "last_known_elr": ()}
    return [describe_partition(partition) | none for partition in partitions]


def describe_quorum(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: this broker is its own controller. It keeps no log of metadata: its end is 0."""

    def one(topic: str, index: int) -> dict[str, Any]:
        answer: dict[str, Any] = {"partition_index": index, "error_message": None}
        if (topic, index) != (_METADATA, 0):
            return answer | {"error_code": ErrorCode.unknown_topic_or_partition}
        voter = {"replica_id": BROKER_ID, "log_end_offset": 0}
        return answer | {
            "error_code": ErrorCode.none,
            "leader_id": BROKER_ID,
            "leader_epoch": 1,
            "high_watermark": 0,
            "current_voters": [voter],
            "observers": (),
        }

    listener = {"name": "PLAINTEXT", "host": context.host, "port": context.port}
    reply(
        {
            "error_message": None,
            "topics": [
                {
                    "topic_name": topic.topic_name,
                    "partitions": [
                        one(topic.topic_name, p.partition_index) for p in topic.partitions
                    ],
                }
                for topic in request.topics
            ],
            "nodes": [{"node_id": BROKER_ID, "listeners": [listener]}],
        }
    )


def describe_acls(context: Context, request: Any, reply: Reply) -> None:
    """v1–3: as by a broker without an authorizer; so are the two below."""
    code = ErrorCode.security_disabled
    reply({"error_code": code, "error_message": _NO_AUTHORIZER, "resources": ()})


def create_acls(context: Context, request: Any, reply: Reply) -> None:
    """v1–3"""
    refused = {"error_code": ErrorCode.security_disabled, "error_message": _NO_AUTHORIZER}
    reply({"results": [refused] * len(request.creations)})


def delete_acls(context: Context, request: Any, reply: Reply) -> None:
    """v1–3"""
    refused = {"error_code": ErrorCode.security_disabled, "error_message": _NO_AUTHORIZER}
    reply({"filter_results": [refused | {"matching_acls": ()}] * len(request.filters)})


def describe_client_quotas(context: Context, request: Any, reply: Reply) -> None:
    """v0–1: there are none."""
    reply({"error_message": None, "entries": ()})
