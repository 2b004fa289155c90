"""One function a request. Each says which versions it serves and what it omits.

`TYPED` handlers get `kio`'s entity and answer with a dictionary (see `wire.codec`); `RAW` ones get
the frame itself and answer with encoded parts. `server` dispatches; state lives in `broker`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nrtctl.local.broker.handlers import (
    admin,
    cluster,
    committed,
    configs,
    groups,
    log_dirs,
    offsets,
    sasl,
    topics,
    transactions,
    users,
)
from nrtctl.local.broker.handlers.context import Context, Reply, Send
from nrtctl.local.broker.handlers.fetch import fetch
from nrtctl.local.broker.handlers.produce import produce
from nrtctl.local.broker.wire.apis import Api

TYPED: Final[dict[Api, Callable[[Context, Any, Reply], None]]] = {
    Api.LIST_OFFSETS: offsets.list_offsets,
    Api.METADATA: cluster.metadata,
    Api.OFFSET_COMMIT: committed.offset_commit,
    Api.OFFSET_FETCH: committed.offset_fetch,
    Api.FIND_COORDINATOR: cluster.find_coordinator,
    Api.JOIN_GROUP: groups.join_group,
    Api.HEARTBEAT: groups.heartbeat,
    Api.LEAVE_GROUP: groups.leave_group,
    Api.SYNC_GROUP: groups.sync_group,
    Api.DESCRIBE_GROUPS: groups.describe_groups,
    Api.LIST_GROUPS: groups.list_groups,
    Api.SASL_HANDSHAKE: sasl.sasl_handshake,
    Api.API_VERSIONS: cluster.api_versions,
    Api.CREATE_TOPICS: topics.create_topics,
    Api.DELETE_TOPICS: topics.delete_topics,
    Api.DELETE_RECORDS: offsets.delete_records,
    Api.INIT_PRODUCER_ID: transactions.init_producer_id,
    Api.OFFSET_FOR_LEADER_EPOCH: offsets.offset_for_leader_epoch,
    Api.ADD_PARTITIONS_TO_TXN: transactions.add_partitions_to_txn,
    Api.ADD_OFFSETS_TO_TXN: transactions.add_offsets_to_txn,
    Api.END_TXN: transactions.end_txn,
    Api.WRITE_TXN_MARKERS: transactions.write_txn_markers,
    Api.TXN_OFFSET_COMMIT: committed.txn_offset_commit,
    Api.DESCRIBE_ACLS: admin.describe_acls,
    Api.CREATE_ACLS: admin.create_acls,
    Api.DELETE_ACLS: admin.delete_acls,
    Api.DESCRIBE_CONFIGS: configs.describe_configs,
    Api.ALTER_CONFIGS: configs.alter_configs,
    Api.ALTER_REPLICA_LOG_DIRS: admin.alter_replica_log_dirs,
    Api.DESCRIBE_LOG_DIRS: log_dirs.describe_log_dirs,
    Api.SASL_AUTHENTICATE: sasl.sasl_authenticate,
    Api.CREATE_PARTITIONS: topics.create_partitions,
    Api.DELETE_GROUPS: groups.delete_groups,
    Api.ELECT_LEADERS: admin.elect_leaders,
    Api.INCREMENTAL_ALTER_CONFIGS: configs.incremental_alter_configs,
    Api.ALTER_PARTITION_REASSIGNMENTS: admin.alter_partition_reassignments,
    Api.LIST_PARTITION_REASSIGNMENTS: admin.list_partition_reassignments,
    Api.OFFSET_DELETE: committed.offset_delete,
    Api.DESCRIBE_CLIENT_QUOTAS: admin.describe_client_quotas,
    Api.DESCRIBE_USER_SCRAM_CREDENTIALS: users.describe_user_scram_credentials,
    Api.ALTER_USER_SCRAM_CREDENTIALS: users.alter_user_scram_credentials,
    Api.DESCRIBE_QUORUM: admin.describe_quorum,
    Api.DESCRIBE_CLUSTER: cluster.describe_cluster,
    Api.DESCRIBE_PRODUCERS: transactions.describe_producers,
    Api.DESCRIBE_TRANSACTIONS: transactions.describe_transactions,
    Api.LIST_TRANSACTIONS: transactions.list_transactions,
    Api.CONSUMER_GROUP_HEARTBEAT: cluster.consumer_group_heartbeat,
    Api.DESCRIBE_TOPIC_PARTITIONS: admin.describe_topic_partitions,
}

RAW: Final[dict[Api, Callable[[Context, memoryview, int, Send], None]]] = {
    Api.PRODUCE: produce,
    Api.FETCH: fetch,
}
