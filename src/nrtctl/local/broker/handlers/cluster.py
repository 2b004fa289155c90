"""Who the broker is, what it serves, and what it refuses. Its topics are also `admin`'s to tell."""

from __future__ import annotations

from typing import Any

from nrtctl.local.broker.broker import BROKER_ID, Partition, Topic
from nrtctl.local.broker.handlers import allowed
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.apis import VERSIONS
from nrtctl.local.broker.wire.errors import ErrorCode, Refused


def api_versions(context: Context, request: Any, reply: Reply) -> None:
    """v0–4. `server` answers unknown versions with v0 and UNSUPPORTED_VERSION."""
    code = ErrorCode.none
    if request is None:
        code = ErrorCode.unsupported_version
    else:
        name = getattr(request, "client_software_name", "")
        context.client.software = f"{name} {getattr(request, 'client_software_version', '')}"
    reply(
        {
            "error_code": code,
            "api_keys": [
                {"api_key": api, "min_version": served.lowest, "max_version": served.highest}
                for api, served in VERSIONS.items()
            ],
        }
    )


def metadata(context: Context, request: Any, reply: Reply) -> None:
    """v0–13: this broker, and the topics by name or (from v10) by id.

    Topics are created on demand only if the broker was started so and the client allows it.
    """
    broker = context.broker
    wanted = request.topics
    flag = "include_topic_authorized_operations"
    operations = allowed.if_asked(request, flag, allowed.TOPIC)
    if wanted is None or (context.version == 0 and not wanted):
        topics = [describe_topic(topic, operations) for topic in broker.topics.values()]
    else:
        create = broker.options.auto_create_topics and getattr(
            request, "allow_auto_topic_creation", True
        )
        topics = [_look_up(context, topic, operations, create=create) for topic in wanted]
    reply(
        {
            "brokers": [{"node_id": BROKER_ID, "host": context.host, "port": context.port}],
            "cluster_id": broker.cluster_id,
            "controller_id": BROKER_ID,
            "topics": topics,
            "cluster_authorized_operations": allowed.if_asked(
                request, "include_cluster_authorized_operations", allowed.CLUSTER
            ),
        }
    )


def _look_up(context: Context, wanted: Any, operations: int, *, create: bool) -> dict[str, Any]:
    broker = context.broker
    topic_id = getattr(wanted, "topic_id", None)
    if topic_id is not None and topic_id.int and wanted.name is None:
        by_id = broker.topics_by_id.get(topic_id)
        if by_id is not None:
            return describe_topic(by_id, operations)
        return _missing(None, ErrorCode.unknown_topic_id) | {"topic_id": topic_id}
    name = wanted.name
    topic = broker.topics.get(name)
    if topic is not None:
        return describe_topic(topic, operations)
    if not create:
        return _missing(name, ErrorCode.unknown_topic_or_partition)
    try:
        made = broker.create_topic(name, broker.options.default_partitions, {})
        return describe_topic(made, operations)
    except Refused as refused:
        return _missing(name, refused.code)
    except OSError:
        return _missing(name, ErrorCode.kafka_storage_error)


def _missing(name: str | None, code: ErrorCode) -> dict[str, Any]:
    return {
        "error_code": code,
        "name": name,
        "partitions": (),
        "topic_authorized_operations": allowed.NOT_ASKED,
    }


def describe_topic(topic: Topic, operations: int) -> dict[str, Any]:
    return {
        "error_code": ErrorCode.none,
        "name": topic.name,
        "topic_id": topic.topic_id,
        "is_internal": False,
        "topic_authorized_operations": operations,
        "partitions": [describe_partition(partition) for partition in topic.partitions],
    }


def describe_partition(partition: Partition) -> dict[str, Any]:
    return {
        "error_code": ErrorCode.none,
        "partition_index": partition.index,
        "leader_id": BROKER_ID,
        "leader_epoch": partition.log.epochs.current,
        "replica_nodes": (BROKER_ID,),
        "isr_nodes": (BROKER_ID,),
    }


def describe_cluster(context: Context, request: Any, reply: Reply) -> None:
    """v0–2: one broker. Controllers (endpoint type 2) are not reachable."""
    answer: dict[str, Any] = {
        "endpoint_type": 1,
        "cluster_id": context.broker.cluster_id,
        "controller_id": BROKER_ID,
        "brokers": [{"broker_id": BROKER_ID, "host": context.host, "port": context.port}],
        "cluster_authorized_operations": allowed.if_asked(
            request, "include_cluster_authorized_operations", allowed.CLUSTER
        ),
    }
    endpoint_type = getattr(request, "endpoint_type", 1)
    if endpoint_type != 1:
        answer |= {
            "error_code": ErrorCode.mismatched_endpoint_type
            if endpoint_type == 2
            else ErrorCode.unsupported_endpoint_type,
            "error_message": "only brokers are served",
            "brokers": (),
        }
    reply(answer)


def find_coordinator(context: Context, request: Any, reply: Reply) -> None:
    """v0–5: this broker, for groups and for transactional ids."""
    keys = getattr(request, "coordinator_keys", None)
    if keys is None:
        keys = (request.key,)
    found: dict[str, Any] = {"error_code": ErrorCode.none, "error_message": None}
    if getattr(request, "key_type", 0) in (0, 1):
        found |= {"node_id": BROKER_ID, "host": context.host, "port": context.port}
    else:
        found |= {
            "error_code": ErrorCode.invalid_request,
            "error_message": "only groups and transactional ids have a coordinator",
            "node_id": -1,
            "host": "",
            "port": -1,
        }
    reply(found | {"coordinators": [found | {"key": key} for key in keys]})


def consumer_group_heartbeat(context: Context, request: Any, reply: Reply) -> None:
    """v0–1: always refused; the next-generation group protocol (KIP-848) is not served."""
    reply(
        {
            "error_code": ErrorCode.unsupported_version,
            "error_message": "group.protocol=consumer is not served by this broker: "
            "use group.protocol=classic",
        }
    )
