"""Which requests the broker serves, and in which versions: what ApiVersions advertises.

The lowest and highest versions are Apache Kafka 4.0's, less those that only concern what the broker
omits. Source: https://kafka.apache.org/protocol, and the schemas that `kio` is generated from.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Api(IntEnum):
    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    DESCRIBE_GROUPS = 15
    LIST_GROUPS = 16
    SASL_HANDSHAKE = 17
    API_VERSIONS = 18
    CREATE_TOPICS = 19
    DELETE_TOPICS = 20
    DELETE_RECORDS = 21
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    WRITE_TXN_MARKERS = 27
    TXN_OFFSET_COMMIT = 28
    DESCRIBE_ACLS = 29
    CREATE_ACLS = 30
    DELETE_ACLS = 31
    DESCRIBE_CONFIGS = 32
    ALTER_CONFIGS = 33
    ALTER_REPLICA_LOG_DIRS = 34
    DESCRIBE_LOG_DIRS = 35
    SASL_AUTHENTICATE = 36
    CREATE_PARTITIONS = 37
    DELETE_GROUPS = 42
    ELECT_LEADERS = 43
    INCREMENTAL_ALTER_CONFIGS = 44
    ALTER_PARTITION_REASSIGNMENTS = 45
    LIST_PARTITION_REASSIGNMENTS = 46
    OFFSET_DELETE = 47
    DESCRIBE_CLIENT_QUOTAS = 48
    DESCRIBE_USER_SCRAM_CREDENTIALS = 50
    ALTER_USER_SCRAM_CREDENTIALS = 51
    DESCRIBE_QUORUM = 55
    DESCRIBE_CLUSTER = 60
    DESCRIBE_PRODUCERS = 61
    DESCRIBE_TRANSACTIONS = 65
    LIST_TRANSACTIONS = 66
    CONSUMER_GROUP_HEARTBEAT = 68
    DESCRIBE_TOPIC_PARTITIONS = 75


class Range(NamedTuple):
    lowest: int
    highest: int


VERSIONS: Final[dict[Api, Range]] = {
    Api.PRODUCE: Range(3, 12),
    Api.FETCH: Range(4, 17),
    Api.LIST_OFFSETS: Range(1, 10),
    Api.METADATA: Range(0, 13),
    Api.OFFSET_COMMIT: Range(2, 9),
    Api.OFFSET_FETCH: Range(1, 9),
    Api.FIND_COORDINATOR: Range(0, 5),
    Api.JOIN_GROUP: Range(0, 9),
    Api.HEARTBEAT: Range(0, 4),
    Api.LEAVE_GROUP: Range(0, 5),
    Api.SYNC_GROUP: Range(0, 5),
    Api.DESCRIBE_GROUPS: Range(0, 6),
    Api.LIST_GROUPS: Range(0, 5),
    Api.SASL_HANDSHAKE: Range(0, 1),
    Api.API_VERSIONS: Range(0, 4),
    Api.CREATE_TOPICS: Range(2, 7),
    Api.DELETE_TOPICS: Range(1, 6),
    Api.DELETE_RECORDS: Range(0, 2),
    Api.INIT_PRODUCER_ID: Range(0, 5),
    Api.OFFSET_FOR_LEADER_EPOCH: Range(2, 4),
    # Transactions as before KIP-890's second part, which every client can do: what is above belongs
    # to a feature, transaction.version, that is not advertised, or is for brokers only.
    Api.ADD_PARTITIONS_TO_TXN: Range(0, 3),
    Api.ADD_OFFSETS_TO_TXN: Range(0, 4),
    Api.END_TXN: Range(0, 4),
    # Advertised only to refuse it, as where a client lacks the right to act for the cluster.
    Api.WRITE_TXN_MARKERS: Range(1, 1),
    Api.TXN_OFFSET_COMMIT: Range(0, 4),
    Api.DESCRIBE_ACLS: Range(1, 3),
    Api.CREATE_ACLS: Range(1, 3),
    Api.DELETE_ACLS: Range(1, 3),
    Api.DESCRIBE_CONFIGS: Range(1, 4),
    Api.ALTER_CONFIGS: Range(0, 2),
    Api.ALTER_REPLICA_LOG_DIRS: Range(1, 2),
    Api.DESCRIBE_LOG_DIRS: Range(1, 4),
    Api.SASL_AUTHENTICATE: Range(0, 2),
    Api.CREATE_PARTITIONS: Range(0, 3),
    Api.DELETE_GROUPS: Range(0, 2),
    Api.ELECT_LEADERS: Range(0, 2),
    Api.INCREMENTAL_ALTER_CONFIGS: Range(0, 1),
    Api.ALTER_PARTITION_REASSIGNMENTS: Range(0, 0),
    Api.LIST_PARTITION_REASSIGNMENTS: Range(0, 0),
    Api.OFFSET_DELETE: Range(0, 0),
    Api.DESCRIBE_CLIENT_QUOTAS: Range(0, 1),
    Api.DESCRIBE_USER_SCRAM_CREDENTIALS: Range(0, 0),
    Api.ALTER_USER_SCRAM_CREDENTIALS: Range(0, 0),
    Api.DESCRIBE_QUORUM: Range(0, 2),
    Api.DESCRIBE_CLUSTER: Range(0, 2),
    Api.DESCRIBE_PRODUCERS: Range(0, 0),
    Api.DESCRIBE_TRANSACTIONS: Range(0, 0),
    Api.LIST_TRANSACTIONS: Range(0, 1),
    # Advertised only to refuse it: without it librdkafka retries for ever, silently.
    Api.CONSUMER_GROUP_HEARTBEAT: Range(0, 1),
    Api.DESCRIBE_TOPIC_PARTITIONS: Range(0, 0),
}
