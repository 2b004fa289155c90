"""Every request in every version the embedded broker advertises: both brokers understand it.

`Wire.receive` checks that the answer follows the version's schema to the last byte.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kio.index import load_response_schema

from nrtctl.local.broker.wire.apis import VERSIONS, Api
from tests.contract.kafka.conftest import dear_on_apache
from tests.plugins.kafka_wire import Wire, batch, build, fetch_request


def _requests(topic: str, topic_id: uuid.UUID, group: str) -> dict[Api, dict[str, Any]]:
    name = f"n-{uuid.uuid4().hex[:8]}"
    fetch = fetch_request(topic, [(0, 0, 1000)])
    fetch["topics"][0]["topic_id"] = topic_id
    partition = {"partition_index": 0}
    resource = {"resource_type": 2, "resource_name": topic, "configuration_keys": None}
    return {
        Api.PRODUCE: {
            "transactional_id": None,
            "acks": 1,
            "timeout": 1000,
            "topic_data": [
                {"name": topic, "partition_data": [{"index": 0, "records": batch([b"x"])}]}
            ],
        },
        Api.FETCH: fetch,
        Api.LIST_OFFSETS: {
            "replica_id": -1,
            "isolation_level": 0,
            "topics": [{"name": topic, "partitions": [partition | {"timestamp": -1}]}],
        },
        Api.METADATA: {"topics": [{"name": topic}]},
        Api.OFFSET_COMMIT: {
            "group_id": group,
            "generation_id_or_member_epoch": -1,
            "member_id": "",
            "retention_time": -1,
            "topics": [
                {
                    "name": topic,
                    "partitions": [
                        partition | {"committed_offset": 1, "committed_metadata": "kept"}
                    ],
                }
            ],
        },
        Api.OFFSET_FETCH: {
            "group_id": group,
            "topics": [{"name": topic, "partition_indexes": (0,)}],
            "groups": [
                {
                    "group_id": group,
                    "member_epoch": -1,
                    "topics": [{"name": topic, "partition_indexes": (0,)}],
                }
            ],
        },
        Api.FIND_COORDINATOR: {"key": group, "key_type": 0, "coordinator_keys": (group,)},
        Api.JOIN_GROUP: {
            "group_id": group,
            "session_timeout": 6000,
            "rebalance_timeout": 6000,
            "member_id": "unknown",
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b""}],
        },
        Api.HEARTBEAT: {"group_id": group, "generation_id": 1, "member_id": "unknown"},
        Api.LEAVE_GROUP: {
            "group_id": group,
            "member_id": "unknown",
            "members": [{"member_id": "unknown"}],
        },
        Api.SYNC_GROUP: {"group_id": group, "generation_id": 1, "member_id": "unknown"},
        Api.DESCRIBE_GROUPS: {"groups": (group,)},
        Api.LIST_GROUPS: {},
        Api.SASL_HANDSHAKE: {"mechanism": "PLAIN"},
        Api.API_VERSIONS: {"client_software_name": "test", "client_software_version": "1"},
        Api.CREATE_TOPICS: {
            "topics": [{"name": name, "num_partitions": 1, "replication_factor": 1}],
            "validate_only": True,
        },
        Api.DELETE_TOPICS: {"topic_names": (name,), "topics": [{"name": name}]},
        Api.DELETE_RECORDS: {
            "topics": [{"name": topic, "partitions": [partition | {"offset": 0}]}]
        },
        Api.INIT_PRODUCER_ID: {"transaction_timeout": 1000},
        **_in_transactions(topic, group),
        Api.OFFSET_FOR_LEADER_EPOCH: {
            "replica_id": -1,
            "topics": [{"topic": topic, "partitions": [{"partition": 0, "leader_epoch": 0}]}],
        },
        Api.DESCRIBE_CONFIGS: {"resources": [resource]},
        Api.ALTER_CONFIGS: {
            "resources": [resource | {"configs": [{"name": "retention.ms", "value": "1"}]}],
            "validate_only": True,
        },
        Api.DESCRIBE_LOG_DIRS: {"topics": [{"topic": topic, "partitions": (0,)}]},
        Api.SASL_AUTHENTICATE: {"auth_bytes": b"x"},
        Api.CREATE_PARTITIONS: {
            "topics": [{"name": topic, "count": 2, "assignments": None}],
            "validate_only": True,
        },
        Api.DELETE_GROUPS: {"groups_names": (name,)},
        Api.INCREMENTAL_ALTER_CONFIGS: {
            "resources": [
                resource
                | {"configs": [{"name": "retention.ms", "config_operation": 0, "value": "1"}]}
            ],
            "validate_only": True,
        },
        Api.OFFSET_DELETE: {
            "group_id": group,
            "topics": [{"name": topic, "partitions": [partition]}],
        },
        Api.DESCRIBE_CLUSTER: {"endpoint_type": 1},
        **_asked_by_tools(topic, group),
        Api.CONSUMER_GROUP_HEARTBEAT: {
            "group_id": group,
            "member_id": str(uuid.uuid4()),
            "member_epoch": 0,
            "rebalance_timeout": 1000,
            "subscribed_topic_names": (topic,),
            "topic_partitions": (),
        },
    }


def _in_transactions(topic: str, group: str) -> dict[Api, dict[str, Any]]:
    """Of a producer that nobody knows."""
    producer: dict[str, Any] = {"transactional_id": group, "producer_id": 1, "producer_epoch": 0}
    older: dict[str, Any] = {f"v3_and_below_{name}": value for name, value in producer.items()}
    offset = {"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}
    marker: dict[str, Any] = {
        "producer_id": 1 << 40,
        "producer_epoch": 0,
        "transaction_result": True,
    }
    marker |= {"coordinator_epoch": 0, "topics": [{"name": topic, "partition_indexes": ()}]}
    return {
        Api.ADD_PARTITIONS_TO_TXN: older
        | {"v3_and_below_topics": [{"name": topic, "partitions": (0,)}]},
        Api.ADD_OFFSETS_TO_TXN: producer | {"group_id": group},
        Api.END_TXN: producer | {"committed": True},
        Api.WRITE_TXN_MARKERS: {"markers": [marker]},
        Api.TXN_OFFSET_COMMIT: producer
        | {"group_id": group, "topics": [{"name": topic, "partitions": [offset]}]},
    }


def _asked_by_tools(topic: str, group: str) -> dict[Api, dict[str, Any]]:
    """Requests that answer or refuse, and change nothing."""
    acl = {"resource_type": 2, "resource_name": topic, "resource_pattern_type": 3}
    acl |= {"principal": "User:x", "host": "*", "operation": 3, "permission_type": 3}
    wanted = {"resource_type_filter": 1, "pattern_type_filter": 1, "operation": 1}
    wanted |= {"permission_type": 1}
    partitions = {"name": topic, "partition_indexes": (0,)}
    return {
        Api.DESCRIBE_ACLS: wanted,
        Api.CREATE_ACLS: {"creations": [acl]},
        Api.DELETE_ACLS: {"filters": [wanted]},
        Api.ALTER_REPLICA_LOG_DIRS: {
            "dirs": [{"path": "/nowhere", "topics": [{"name": topic, "partitions": (0,)}]}]
        },
        Api.ELECT_LEADERS: {
            "election_type": 0,
            "topic_partitions": [{"topic": topic, "partitions": (0,)}],
        },
        Api.ALTER_PARTITION_REASSIGNMENTS: {
            "topics": [{"name": topic, "partitions": [{"partition_index": 0, "replicas": None}]}]
        },
        Api.LIST_PARTITION_REASSIGNMENTS: {"topics": [partitions]},
        Api.DESCRIBE_CLIENT_QUOTAS: {
            "components": [{"entity_type": "user", "match_type": 2, "match": None}]
        },
        Api.DESCRIBE_USER_SCRAM_CREDENTIALS: {"users": [{"name": "nobody"}]},
        Api.ALTER_USER_SCRAM_CREDENTIALS: {
            "deletions": [{"name": "nobody", "mechanism": 1}],
            "upsertions": (),
        },
        Api.DESCRIBE_QUORUM: {
            "topics": [{"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}]
        },
        Api.DESCRIBE_PRODUCERS: {"topics": [partitions]},
        Api.DESCRIBE_TRANSACTIONS: {"transactional_ids": (group,)},
        Api.LIST_TRANSACTIONS: {"duration_filter": -1},
        Api.DESCRIBE_TOPIC_PARTITIONS: {
            "topics": [{"name": topic}],
            "response_partition_limit": 10,
            "cursor": None,
        },
    }


@dear_on_apache
@pytest.mark.parametrize("api", Api, ids=lambda api: api.name.lower())
def test_every_version_is_understood(
    connection: Wire, new_topic: Callable[..., str], group: str, api: Api
) -> None:
    topic = new_topic()
    metadata = connection.call("metadata", 12, topics=[{"name": topic}])
    connection.call("find_coordinator", 0, key=group)
    served = VERSIONS[api]
    for version in range(served.lowest, served.highest + 1):
        values = _requests(topic, metadata.topics[0].topic_id, group)[api]
        answer = connection.call(api.name.lower(), version, **values)
        assert type(answer).__version__ == version


def test_the_request_builder_follows_the_schema() -> None:
    """The builder must not paper over a missing field."""
    with pytest.raises(TypeError):
        build(load_response_schema(12, 0), {})
