"""Topics made, grown and deleted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nrtctl.local.broker.broker import BROKER_ID
from nrtctl.local.broker.configs import TopicConfig
from nrtctl.local.broker.handlers.configs import describe_entry
from nrtctl.local.broker.handlers.context import Context, Reply
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

_DISK = "the broker's disk cannot be written"


def create_topics(context: Context, request: Any, reply: Reply) -> None:
    """v2–7: checked one by one; replication factor 1 only."""
    seen = Counter(topic.name for topic in request.topics)
    answers = []
    for name, wanted in {topic.name: topic for topic in request.topics}.items():
        answer: dict[str, Any] = {
            "name": name,
            "num_partitions": -1,
            "replication_factor": -1,
            "configs": (),
        }
        try:
            if seen[name] > 1:
                raise Refused(ErrorCode.invalid_request, "the request names the topic twice")
            answer |= _create(context, wanted, request.validate_only)
        except Refused as refused:
            answer |= {"error_code": refused.code, "error_message": refused.message}
        except OSError as error:
            answer |= {
                "error_code": ErrorCode.kafka_storage_error,
                "error_message": f"{_DISK}: {error.strerror}",
            }
        answers.append(answer)
    reply({"topics": answers})


def _create(context: Context, wanted: Any, validate_only: bool) -> dict[str, Any]:
    broker = context.broker
    partitions = wanted.num_partitions
    if wanted.assignments:
        if partitions != -1 or wanted.replication_factor != -1:
            raise Refused(
                ErrorCode.invalid_request, "give partitions and replicas, or assignments, not both"
            )
        partitions = _assigned(wanted.assignments)
    elif wanted.replication_factor not in (-1, 1):
        raise Refused(
            ErrorCode.invalid_replication_factor, "there is one broker: the replication factor is 1"
        )
    elif partitions == -1:
        partitions = broker.options.default_partitions
    configs = _overrides(wanted.configs)
    topic_id = None
    if validate_only:
        broker.check_new_topic(wanted.name, partitions, configs)
        config = TopicConfig(broker.options.topic_defaults, configs)
    else:
        topic = broker.create_topic(wanted.name, partitions, configs)
        topic_id, config = topic.topic_id, topic.config
    return {
        "error_code": ErrorCode.none,
        "topic_id": topic_id,
        "num_partitions": partitions,
        "replication_factor": 1,
        "configs": [
            describe_entry(config, key, synonyms=False, documentation=False)
            for key in config.known_keys()
        ],
    }


def _overrides(configs: Any) -> dict[str, str]:
    overrides = {}
    for config in configs:
        if config.value is None:
            raise Refused(ErrorCode.invalid_config, f"Null value not supported: {config.name}")
        overrides[config.name] = config.value
    return overrides


def _assigned(assignments: Any) -> int:
    """The number of partitions that a manual assignment makes. Raises Refused."""
    if sorted(entry.partition_index for entry in assignments) != list(range(len(assignments))):
        raise Refused(
            ErrorCode.invalid_replica_assignment, "partitions must be numbered from 0, without gaps"
        )
    _check_replicas(entry.broker_ids for entry in assignments)
    return len(assignments)


def _check_replicas(replicas: Any) -> None:
    if any(tuple(broker_ids) != (BROKER_ID,) for broker_ids in replicas):
        raise Refused(
            ErrorCode.invalid_replica_assignment, f"there is one broker, its id is {BROKER_ID}"
        )


def delete_topics(context: Context, request: Any, reply: Reply) -> None:
    """v1–6: by name or (from v6) by id."""
    broker = context.broker
    answers = []
    if context.version < 6:
        wanted: list[tuple[str | None, Any]] = [(name, None) for name in request.topic_names]
    else:
        wanted = [(topic.name, topic.topic_id) for topic in request.topics]
    for name, topic_id in wanted:
        topic = broker.topics.get(name) if name is not None else broker.topics_by_id.get(topic_id)
        answer: dict[str, Any] = {"name": name, "topic_id": topic_id}
        if topic is None:
            answer["error_code"] = (
                ErrorCode.unknown_topic_id if name is None else ErrorCode.unknown_topic_or_partition
            )
        else:
            answer |= {"name": topic.name, "topic_id": topic.topic_id}
            try:
                broker.delete_topic(topic)
            except OSError as error:
                answer |= {
                    "error_code": ErrorCode.kafka_storage_error,
                    "error_message": f"{_DISK}: {error.strerror}",
                }
        answers.append(answer)
    reply({"responses": answers})


def create_partitions(context: Context, request: Any, reply: Reply) -> None:
    """v0–3: a topic can only grow."""
    seen = Counter(topic.name for topic in request.topics)
    answers = []
    for name, wanted in {topic.name: topic for topic in request.topics}.items():
        answer: dict[str, Any] = {"name": name}
        try:
            if seen[name] > 1:
                raise Refused(ErrorCode.invalid_request, "the request names the topic twice")
            _grow(context, wanted, request.validate_only)
        except Refused as refused:
            answer |= {"error_code": refused.code, "error_message": refused.message}
        except OSError as error:
            answer |= {
                "error_code": ErrorCode.kafka_storage_error,
                "error_message": f"{_DISK}: {error.strerror}",
            }
        answers.append(answer)
    reply({"results": answers})


def _grow(context: Context, wanted: Any, validate_only: bool) -> None:
    topic = context.broker.topics.get(wanted.name)
    if topic is None:
        raise Refused(ErrorCode.unknown_topic_or_partition)
    present = len(topic.partitions)
    if wanted.count <= present:
        raise Refused(
            ErrorCode.invalid_partitions,
            f"the topic has {present} partitions, which {wanted.count} would not increase",
        )
    if wanted.assignments is not None:
        if len(wanted.assignments) != wanted.count - present:
            raise Refused(
                ErrorCode.invalid_replica_assignment, "as many assignments as new partitions"
            )
        _check_replicas(entry.broker_ids for entry in wanted.assignments)
    if not validate_only:
        context.broker.add_partitions(topic, wanted.count)
