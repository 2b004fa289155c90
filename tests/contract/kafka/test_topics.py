"""Topics and their settings: validation, growth, deletion, retention."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker
from tests.contract.kafka.test_list_offsets import delete_records
from tests.plugins.kafka_wire import (
    Wire,
    batch,
    fetch,
    list_offsets,
    produce,
    wait_for_topic,
)
from tests.plugins.waiting import eventually


def create(connection: Wire, *topics: dict[str, Any], validate_only: bool = False) -> list[Any]:
    wanted = [
        {"name": f"t-{uuid.uuid4().hex}", "num_partitions": 1, "replication_factor": 1}
        | {"assignments": (), "configs": ()}
        | topic
        for topic in topics
    ]
    answer = connection.call(
        "create_topics", 7, topics=wanted, timeout=10_000, validate_only=validate_only
    )
    return list(answer.topics)


@pytest.mark.parametrize(
    ("topic", "error"),
    [
        ({"name": ""}, ErrorCode.invalid_topic_exception),
        ({"name": "."}, ErrorCode.invalid_topic_exception),
        ({"name": "a b"}, ErrorCode.invalid_topic_exception),
        ({"name": "../x"}, ErrorCode.invalid_topic_exception),
        ({"name": "x" * 250}, ErrorCode.invalid_topic_exception),
        ({"num_partitions": 0}, ErrorCode.invalid_partitions),
        ({"num_partitions": -2}, ErrorCode.invalid_partitions),
        ({"replication_factor": 2}, ErrorCode.invalid_replication_factor),
        ({"replication_factor": 0}, ErrorCode.invalid_replication_factor),
        ({"configs": [{"name": "no.such.key", "value": "1"}]}, ErrorCode.invalid_config),
        ({"configs": [{"name": "retention.ms", "value": "soon"}]}, ErrorCode.invalid_config),
        ({"configs": [{"name": "retention.ms", "value": "-2"}]}, ErrorCode.invalid_config),
        ({"configs": [{"name": "retention.ms", "value": None}]}, ErrorCode.invalid_config),
        ({"configs": [{"name": "segment.bytes", "value": "1"}]}, ErrorCode.invalid_config),
        ({"configs": [{"name": "cleanup.policy", "value": "burn"}]}, ErrorCode.invalid_config),
        (
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 0, "broker_ids": (77,)}],
            },
            ErrorCode.invalid_replica_assignment,
        ),
        (
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 1, "broker_ids": (1,)}],
            },
            ErrorCode.invalid_replica_assignment,
        ),
        (
            {"assignments": [{"partition_index": 0, "broker_ids": (1,)}]},
            ErrorCode.invalid_request,
        ),
    ],
)
def test_what_cannot_be_created(connection: Wire, topic: dict[str, Any], error: ErrorCode) -> None:
    (answer,) = create(connection, topic)
    assert answer.error_code == error
    assert answer.error_message


def test_creation(connection: Wire) -> None:
    settings = [{"name": "retention.ms", "value": "1000000"}]
    name = f"t-{uuid.uuid4().hex}"
    (checked,) = create(connection, {"name": name, "configs": settings}, validate_only=True)
    assert checked.error_code == ErrorCode.none
    (made,) = create(connection, {"name": name, "num_partitions": 3, "configs": settings})
    assert (made.error_code, made.num_partitions, made.replication_factor) == (0, 3, 1)
    assert made.topic_id is not None
    assert {config.name: config.value for config in made.configs}["retention.ms"] == "1000000"
    (again,) = create(connection, {"name": name})
    assert again.error_code == ErrorCode.topic_already_exists
    metadata = wait_for_topic(connection, name)
    assert metadata.topic_id == made.topic_id
    assert sorted(p.partition_index for p in metadata.partitions) == [0, 1, 2]
    assert {tuple(p.isr_nodes) for p in metadata.partitions} == {(1,)}


def test_defaults_and_assignments(connection: Wire) -> None:
    (by_default,) = create(connection, {"num_partitions": -1, "replication_factor": -1})
    assert (by_default.error_code, by_default.num_partitions) == (ErrorCode.none, 1)
    assigned = {
        "num_partitions": -1,
        "replication_factor": -1,
        "assignments": [{"partition_index": at, "broker_ids": (1,)} for at in (1, 0)],
    }
    (manual,) = create(connection, assigned)
    assert (manual.error_code, manual.num_partitions) == (ErrorCode.none, 2)


def test_names_that_collide_or_repeat(connection: Wire) -> None:
    stem = uuid.uuid4().hex
    assert create(connection, {"name": f"{stem}.a"})[0].error_code == ErrorCode.none
    collides = create(connection, {"name": f"{stem}_a"})[0]
    assert collides.error_code == ErrorCode.invalid_topic_exception
    twice = create(connection, {"name": f"{stem}-b"}, {"name": f"{stem}-b"})
    assert {answer.error_code for answer in twice} == {ErrorCode.invalid_request}


@pytest.mark.parametrize(
    ("count", "assignments", "error"),
    [
        (2, None, ErrorCode.invalid_partitions),
        (1, None, ErrorCode.invalid_partitions),
        (0, None, ErrorCode.invalid_partitions),
        (3, [{"broker_ids": (77,)}], ErrorCode.invalid_replica_assignment),
        (4, [{"broker_ids": (1,)}], ErrorCode.invalid_replica_assignment),
        (3, [{"broker_ids": (1,)}], ErrorCode.none),
        (4, None, ErrorCode.none),
    ],
)
def test_growing(
    connection: Wire,
    new_topic: Callable[..., str],
    count: int,
    assignments: list[dict[str, Any]] | None,
    error: ErrorCode,
) -> None:
    topic = new_topic(2)
    wanted = {"name": topic, "count": count, "assignments": assignments}
    answer = connection.call("create_partitions", 3, topics=[wanted], timeout=10_000)
    assert answer.results[0].error_code == error
    expected = count if error == ErrorCode.none else 2
    eventually(
        lambda: len(wait_for_topic(connection, topic).partitions) == expected, "its partitions"
    )


def test_growing_what_is_not_there(connection: Wire) -> None:
    wanted = {"name": "no-such-topic", "count": 3, "assignments": None}
    answer = connection.call("create_partitions", 3, topics=[wanted], timeout=10_000)
    assert answer.results[0].error_code == ErrorCode.unknown_topic_or_partition


def test_deleting(connection: Wire, new_topic: Callable[..., str]) -> None:
    by_name, by_id = new_topic(), new_topic()
    topic_id = wait_for_topic(connection, by_id).topic_id

    def delete(name: str | None, id_: uuid.UUID | None) -> ErrorCode:
        answer = connection.call(
            "delete_topics", 6, topics=[{"name": name, "topic_id": id_}], timeout=10_000
        )
        return ErrorCode(answer.responses[0].error_code)

    assert delete(by_name, None) == ErrorCode.none
    assert delete(None, topic_id) == ErrorCode.none
    assert delete("no-such-topic", None) == ErrorCode.unknown_topic_or_partition
    assert delete(None, uuid.uuid4()) == ErrorCode.unknown_topic_id
    for name in (by_name, by_id):
        while connection.call("metadata", 12, topics=[{"name": name}]).topics[0].error_code == 0:
            pass
    missing = connection.call("metadata", 12, topics=[{"name": by_name}]).topics[0]
    assert missing.error_code == ErrorCode.unknown_topic_or_partition


def test_unknown_topics_are_not_created(connection: Wire) -> None:
    name = f"t-{uuid.uuid4().hex}"
    for _ in range(3):
        answer = connection.call(
            "metadata", 12, topics=[{"name": name}], allow_auto_topic_creation=True
        )
        assert answer.topics[0].error_code == ErrorCode.unknown_topic_or_partition
    unknown_id = {"topic_id": uuid.uuid4(), "name": None}
    answer = connection.call("metadata", 12, topics=[unknown_id])
    assert answer.topics[0].error_code == ErrorCode.unknown_topic_id


def settings_of(connection: Wire, topic: str, *keys: str) -> dict[str, tuple[str, int]]:
    resource = {"resource_type": 2, "resource_name": topic, "configuration_keys": keys or None}
    answer = connection.call(
        "describe_configs",
        4,
        resources=[resource],
        include_synonyms=True,
        include_documentation=True,
    )
    assert answer.results[0].error_code == ErrorCode.none
    return {found.name: (found.value, found.config_source) for found in answer.results[0].configs}


def alter(connection: Wire, topic: str, *changes: tuple[str, int, str | None]) -> ErrorCode:
    configs = [{"name": n, "config_operation": op, "value": value} for n, op, value in changes]
    resource = {"resource_type": 2, "resource_name": topic, "configs": configs}
    answer = connection.call("incremental_alter_configs", 1, resources=[resource])
    return ErrorCode(answer.responses[0].error_code)


SET, DELETE, APPEND, SUBTRACT = range(4)


def test_altering_settings(connection: Wire, topic: str) -> None:
    assert settings_of(connection, topic, "retention.ms") == {"retention.ms": ("-1", 1)}
    assert (
        alter(connection, topic, ("retention.ms", SET, "5000"), ("retention.bytes", SET, "9")) == 0
    )
    eventually(
        lambda: settings_of(connection, topic, "retention.ms")["retention.ms"] == ("5000", 1),
        "retention.ms as set",
    )
    assert alter(connection, topic, ("retention.bytes", DELETE, None)) == ErrorCode.none
    eventually(
        lambda: settings_of(connection, topic, "retention.bytes")["retention.bytes"] == ("-1", 5),
        "retention.bytes as by default",
    )
    replaced = {
        "resource_type": 2,
        "resource_name": topic,
        "configs": [{"name": "max.message.bytes", "value": "7777"}],
    }
    answer = connection.call("alter_configs", 2, resources=[replaced])
    assert answer.responses[0].error_code == ErrorCode.none
    eventually(
        lambda: settings_of(connection, topic)["max.message.bytes"] == ("7777", 1),
        "max.message.bytes as set",
    )
    assert settings_of(connection, topic)["retention.ms"][1] != 1


def test_a_topic_may_have_no_cleanup_policy(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    """Then nothing is deleted, and nothing compacted."""
    topic = new_topic()
    key = "cleanup.policy"

    def becomes(value: str) -> None:
        eventually(lambda: settings_of(connection, topic, key)[key] == (value, 1), value)

    assert alter(connection, topic, (key, SUBTRACT, "delete")) == ErrorCode.none
    becomes("")
    assert alter(connection, topic, (key, APPEND, "compact")) == ErrorCode.none
    becomes("compact")
    assert alter(connection, topic, (key, SET, "")) == ErrorCode.none
    becomes("")
    made = new_topic(configs={key: ""})
    assert settings_of(connection, made, key)[key] == ("", 1)
    assert delete_records(connection, made, 0)[0] == ErrorCode.policy_violation


def test_a_new_cluster_has_set_the_least_of_replicas_in_sync(connection: Wire, topic: str) -> None:
    key = "min.insync.replicas"
    assert settings_of(connection, topic, key)[key] == ("1", 3)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("no.such.key", SET, "1"), ErrorCode.invalid_config),
        (("retention.ms", SET, "soon"), ErrorCode.invalid_config),
        (("retention.ms", APPEND, "1"), ErrorCode.invalid_config),
        (("retention.ms", SET, None), ErrorCode.invalid_request),
        (("cleanup.policy", SUBTRACT, "compact"), ErrorCode.none),
    ],
)
def test_alterations_are_checked(
    connection: Wire, topic: str, change: tuple[str, int, str | None], error: ErrorCode
) -> None:
    before = settings_of(connection, topic, "retention.ms")
    assert alter(connection, topic, change) == error
    assert settings_of(connection, topic, "retention.ms") == before


def test_settings_of_what_is_not_there(connection: Wire) -> None:
    resource = {"resource_type": 2, "resource_name": "no-such-topic", "configuration_keys": None}
    answer = connection.call("describe_configs", 4, resources=[resource])
    assert answer.results[0].error_code == ErrorCode.unknown_topic_or_partition
    assert alter(connection, "no-such-topic", ("retention.ms", SET, "1")) == (
        ErrorCode.unknown_topic_or_partition
    )


def _fill(connection: Wire, topic: str, count: int, timestamp: int) -> None:
    for _ in range(count):
        records = batch([b"x" * 400_000], timestamps=[timestamp])
        assert produce(connection, topic, records).error_code == ErrorCode.none


def _await_log_start(connection: Wire, topic: str, expected: int) -> None:
    eventually(lambda: list_offsets(connection, topic, -2)[1] >= expected, "the log's start")


def test_retention_by_size_keeps_the_newest_segments(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(configs={"segment.bytes": str(1 << 20), "retention.bytes": "1500000"})
    _fill(connection, topic, 10, 10**12)
    # Two batches a segment: the last four, 1.6 MB, are what 1.5 MB of retention leaves.
    _await_log_start(connection, topic, 6)
    answer = fetch(connection, topic, 10)
    assert (answer.log_start_offset, answer.high_watermark) == (6, 10)
    assert fetch(connection, topic, 5).error_code == ErrorCode.offset_out_of_range


def test_retention_by_time_goes_by_the_records_timestamps(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(configs={"segment.bytes": str(1 << 20)})
    _fill(connection, topic, 4, 1000)
    _fill(connection, topic, 4, int(time.time() * 1000))
    assert alter(connection, topic, ("retention.ms", SET, "60000")) == ErrorCode.none
    _await_log_start(connection, topic, 4)
    assert fetch(connection, topic, 8).log_start_offset == 4


def test_retention_by_time_empties_a_log_of_old_records(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    produce(connection, topic, batch([b"x", b"y"], timestamps=[1000, 1000]))
    assert alter(connection, topic, ("retention.ms", SET, "60000")) == ErrorCode.none
    _await_log_start(connection, topic, 2)
    assert produce(connection, topic, batch([b"z"])).base_offset == 2


def test_describe_cluster(broker: Broker, connection: Wire) -> None:
    answer = connection.call("describe_cluster", 2, endpoint_type=1)
    assert answer.error_code == ErrorCode.none
    assert [f"{found.host}:{found.port}" for found in answer.brokers] == [broker.bootstrap]
    assert len(answer.cluster_id) == 22
    wrong = connection.call("describe_cluster", 2, endpoint_type=2)
    assert wrong.error_code == ErrorCode.mismatched_endpoint_type
