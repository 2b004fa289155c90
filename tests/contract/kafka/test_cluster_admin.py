"""What tools ask of a cluster of one node, on both brokers: both give the same answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.contract.kafka.test_produce import new_producer
from tests.plugins.apache_tools import ApacheTools
from tests.plugins.kafka_wire import Wire, batch, produce
from tests.plugins.waiting import eventually

UNKNOWN = ErrorCode.unknown_topic_or_partition


def test_every_partition_has_its_leader(connection: Wire, topic: str) -> None:
    def results(wanted: list[dict[str, Any]] | None) -> dict[str, dict[int, int]]:
        answer = connection.call("elect_leaders", 2, election_type=0, topic_partitions=wanted)
        assert answer.error_code == ErrorCode.none
        return {
            each.topic: {one.partition_id: one.error_code for one in each.partition_result}
            for each in answer.replica_election_results
        }

    assert results([{"topic": topic, "partitions": (0, 7)}]) == {
        topic: {0: ErrorCode.election_not_needed, 7: UNKNOWN}
    }
    assert results(None)[topic] == {}


def test_everybody_may_do_everything_and_is_told_where_it_is_asked(
    connection: Wire, topic: str
) -> None:
    asked = {"include_topic_authorized_operations": True}
    of_topic = {3, 4, 5, 6, 7, 8, 10, 11}  # as AclOperation.code

    def operations(number: int) -> set[int]:
        return {code for code in range(32) if number >> code & 1}

    for version in (8, 12):
        one = connection.call("metadata", version, topics=[{"name": topic}], **asked).topics[0]
        assert operations(one.topic_authorized_operations) == of_topic
    one = connection.call("metadata", 12, topics=[{"name": topic}]).topics[0]
    assert one.topic_authorized_operations == -(2**31)
    wanted = [{"name": topic}]
    one = connection.call("describe_topic_partitions", 0, topics=wanted, cursor=None).topics[0]
    assert operations(one.topic_authorized_operations) == of_topic
    cluster = connection.call("describe_cluster", 0, include_cluster_authorized_operations=True)
    assert operations(cluster.cluster_authorized_operations) == {5, 7, 8, 9, 10, 11, 12}
    cluster = connection.call("describe_cluster", 0)
    assert cluster.cluster_authorized_operations == -(2**31)


def test_nothing_is_reassigned_but_to_where_it_is(connection: Wire, topic: str) -> None:
    leader = connection.call("metadata", 12, topics=[{"name": topic}]).topics[0].partitions[0]

    def code(index: int, replicas: tuple[int, ...] | None) -> int:
        partitions = [{"partition_index": index, "replicas": replicas}]
        topics = [{"name": topic, "partitions": partitions}]
        answer = connection.call("alter_partition_reassignments", 0, topics=topics)
        assert answer.error_code == ErrorCode.none
        found: int = answer.responses[0].partitions[0].error_code
        return found

    assert code(0, (leader.leader_id,)) == ErrorCode.none
    assert code(0, (4711,)) == ErrorCode.invalid_replica_assignment
    assert code(0, ()) == ErrorCode.invalid_replica_assignment
    assert code(0, None) == ErrorCode.no_reassignment_in_progress
    assert code(7, (leader.leader_id,)) == UNKNOWN
    for wanted in (None, [{"name": topic, "partition_indexes": (0,)}]):
        assert connection.call("list_partition_reassignments", 0, topics=wanted).topics == ()


def test_topics_are_described_a_few_partitions_at_a_time(
    connection: Wire, new_topic: Callable[..., str]
) -> None:
    names = sorted(new_topic(3) for _ in range(2))

    def page(cursor: dict[str, Any] | None) -> tuple[list[tuple[str, list[int]]], Any]:
        answer = connection.call(
            "describe_topic_partitions",
            0,
            topics=[{"name": name} for name in names],
            response_partition_limit=2,
            cursor=cursor,
        )
        found = [
            (each.name, [partition.partition_index for partition in each.partitions])
            for each in answer.topics
        ]
        return found, answer.next_cursor

    seen, cursor = [], None
    for _ in range(10):
        found, following = page(cursor)
        seen += [(name, index) for name, indexes in found for index in indexes]
        if following is None:
            break
        cursor = {
            "topic_name": following.topic_name,
            "partition_index": following.partition_index,
        }
    assert seen == [(name, index) for name in names for index in range(3)]


def test_a_topic_that_is_not_there_is_described_as_such(connection: Wire) -> None:
    answer = connection.call(
        "describe_topic_partitions",
        0,
        topics=[{"name": "no-such-topic"}],
        response_partition_limit=10,
        cursor=None,
    )
    (found,) = answer.topics
    assert (found.name, found.error_code) == ("no-such-topic", UNKNOWN)


def test_producers_are_described(connection: Wire, topic: str) -> None:
    producer = new_producer(connection)
    now = [int(time.time() * 1000)] * 3  # Apache Kafka forgets producers by the records' times
    records = batch([b"a", b"b", b"c"], producer=(producer, 0, 0), timestamps=now)
    sent = produce(connection, topic, records)
    assert sent.error_code == ErrorCode.none
    topics = [{"name": topic, "partition_indexes": (0, 7)}]
    (found,) = connection.call("describe_producers", 0, topics=topics).topics
    partitions = {each.partition_index: each for each in found.partitions}
    assert partitions[7].error_code == UNKNOWN
    (state,) = partitions[0].active_producers
    assert (state.producer_id, state.producer_epoch, state.last_sequence) == (producer, 0, 2)
    assert state.current_txn_start_offset == -1


def test_a_transaction_that_is_not_there(connection: Wire, group: str) -> None:
    answer = connection.call(
        "list_transactions", 1, state_filters=("Ongoing", "Nonsense"), duration_filter=-1
    )
    assert answer.error_code == ErrorCode.none
    assert answer.unknown_state_filters == ("Nonsense",)
    assert group not in {each.transactional_id for each in answer.transaction_states}

    def code() -> int:
        connection.call("find_coordinator", 2, key=group, key_type=1)  # Apache Kafka makes it then
        ids = (group,)
        found = connection.call("describe_transactions", 0, transactional_ids=ids)
        return int(found.transaction_states[0].error_code)

    eventually(lambda: code() == ErrorCode.transactional_id_not_found, "the coordinator")


def test_the_controller_is_this_node(connection: Wire) -> None:
    metadata = connection.call("metadata", 12, topics=[])
    (node,) = metadata.brokers
    partitions = [{"partition_index": 0}]
    answer = connection.call(
        "describe_quorum",
        2,
        topics=[{"topic_name": "__cluster_metadata", "partitions": partitions}],
    )
    assert answer.error_code == ErrorCode.none
    (found,) = answer.topics[0].partitions
    assert found.error_code == ErrorCode.none
    assert found.leader_id == node.node_id
    assert [voter.replica_id for voter in found.current_voters] == [node.node_id]
    assert [each.node_id for each in answer.nodes] == [node.node_id]


def test_there_are_no_acls(connection: Wire) -> None:
    wanted = {"resource_type_filter": 1, "pattern_type_filter": 1, "operation": 1}
    wanted |= {"permission_type": 1}
    answer = connection.call("describe_acls", 3, **wanted)
    assert answer.error_code == ErrorCode.security_disabled
    assert answer.error_message == "No Authorizer is configured on the broker"
    acl = {"resource_type": 2, "resource_name": "t", "principal": "User:x", "host": "*"}
    acl |= {"resource_pattern_type": 3, "operation": 3, "permission_type": 3}
    made = connection.call("create_acls", 3, creations=[acl, acl]).results
    assert [each.error_code for each in made] == [ErrorCode.security_disabled] * 2
    gone = connection.call("delete_acls", 3, filters=[wanted]).filter_results
    assert [each.error_code for each in gone] == [ErrorCode.security_disabled]


def test_there_are_no_quotas(connection: Wire) -> None:
    components = [{"entity_type": "user", "match_type": 2, "match": None}]
    quotas = connection.call("describe_client_quotas", 1, components=components)
    assert (quotas.error_code, quotas.entries) == (ErrorCode.none, ())


@pytest.mark.parametrize("named", [True, False])
def test_a_throttle_that_there_is_not_can_be_deleted(connection: Wire, named: bool) -> None:
    """As `kafka-reassign-partitions.sh --verify` does."""
    (node,) = connection.call("metadata", 12, topics=[]).brokers
    change = {"name": "leader.replication.throttled.rate", "config_operation": 1, "value": None}
    resource = {"resource_type": 4, "resource_name": str(node.node_id) if named else ""}
    resources = [resource | {"configs": [change]}]
    answer = connection.call(
        "incremental_alter_configs", 1, resources=resources, validate_only=False
    )
    assert [each.error_code for each in answer.responses] == [ErrorCode.none]


def test_a_replica_stays_in_its_directory(connection: Wire, topic: str) -> None:
    directory = connection.call("describe_log_dirs", 4, topics=None).results[0].log_dir

    def code(path: str) -> int:
        dirs = [{"path": path, "topics": [{"name": topic, "partitions": (0,)}]}]
        answer = connection.call("alter_replica_log_dirs", 2, dirs=dirs)
        found: int = answer.results[0].partitions[0].error_code
        return found

    assert code(directory) == ErrorCode.none
    assert code("/nowhere") == ErrorCode.log_dir_not_found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("TopicCommand", "--describe"), "PartitionCount: 2"),
        (("TransactionsCommand", "list"), "TransactionalId"),
        pytest.param(
            ("MetadataQuorumCommand", "describe", "--status"), "LeaderId:", marks=pytest.mark.long
        ),
        pytest.param(
            ("LeaderElectionCommand", "--election-type", "preferred", "--all-topic-partitions"),
            "",
            marks=pytest.mark.long,
        ),
    ],
)
@dear_on_apache
def test_tools_of_apache_kafka(
    broker: Broker,
    new_topic: Callable[..., str],
    apache_tools: ApacheTools,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    new_topic(2)
    main, *rest = arguments
    first = ("--bootstrap-server", broker.bootstrap)
    assert said in apache_tools.run(main, *first, *rest)
