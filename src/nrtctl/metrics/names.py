"""Every Prometheus metric of nrtctl once: its name, kind, labels and meaning. Pure.

`COMMANDS` says which command serves which. A name has one set of labels wherever it is served, so
that a plain `sum()` over it adds up things of one kind (tests/unit/metrics/test_names.py). Where a
process is about several pipelines, each series has the label `PIPELINE` beside them; for a single
one it would be empty, which to Prometheus is the same as none (docs/decisions/0048).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True)
class Name:
    """A metric as Prometheus has it, with `_total` where it is a counter.

    Attributes:
        meaning: a sentence, as it stands after `# HELP`.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str

    @property
    def family(self) -> str:
        """As prometheus_client wants a counter to be named."""
        return self.name.removesuffix("_total")


CONSUMED = Name(
    "nrtctl_records_consumed_total", "counter", ("topic", "partition"),
    "Records that were read from the topic and stored.",
)  # fmt: skip
RESOLVED = Name(
    "nrtctl_records_resolved_total", "counter", ("topic", "partition"),
    "Records of batches that another consumer had declared and stored.",
)  # fmt: skip
ROWS_INSERTED = Name(
    "nrtctl_rows_inserted_total", "counter", ("table",),
    "Rows of the table that were made of this consumer's records.",
)  # fmt: skip
DEAD_LETTERED = Name(
    "nrtctl_records_dead_lettered_total", "counter", ("reason",),
    "Records of this consumer that became dead letters.",
)  # fmt: skip
UNSTORED_RECORDS = Name(
    "nrtctl_consumer_unstored_records", "gauge", ("topic", "partition"),
    "Records of an assigned partition that are not stored yet.",
)  # fmt: skip
UNSTORED_SECONDS = Name(
    "nrtctl_consumer_unstored_seconds", "gauge", ("topic", "partition"),
    "Age of the oldest record of an assigned partition that is not stored yet.",
)  # fmt: skip
ASSIGNED_PARTITIONS = Name(
    "nrtctl_consumer_assigned_partitions", "gauge", (),
    "Partitions that the group has assigned to this consumer.",
)  # fmt: skip
WAITS = Name(
    "nrtctl_consumer_waits_total", "counter", (),
    "How often the consumer had to wait for Kafka or ClickHouse.",
)  # fmt: skip
BATCH_ROWS = Name("nrtctl_batch_rows", "histogram", (), "Records in an insert.")
INSERT_SECONDS = Name(
    "nrtctl_insert_duration_seconds", "histogram", (),
    "Time from the beginning of an insert to its acknowledgement, retries included.",
)  # fmt: skip
LATENCY_SECONDS = Name(
    "nrtctl_end_to_end_latency_seconds", "histogram", (),
    "Time from a record's timestamp to the moment it can be queried, for every record.",
)  # fmt: skip
ACTIVE_PARTS = Name(
    "nrtctl_clickhouse_active_parts", "gauge", ("table",), "Active parts of the table."
)

PRODUCER_SENT = Name(
    "nrtctl_producer_records_sent_total", "counter", ("topic",),
    "Records handed to the Kafka client.",
)  # fmt: skip
PRODUCER_ACKNOWLEDGED = Name(
    "nrtctl_producer_records_acknowledged_total", "counter", ("topic",),
    "Records that Kafka has acknowledged.",
)  # fmt: skip
PRODUCER_FAILED = Name(
    "nrtctl_producer_records_failed_total", "counter", ("topic",),
    "Records that were not delivered, or could not be read.",
)  # fmt: skip
PRODUCER_QUEUE = Name(
    "nrtctl_producer_queue_records", "gauge", ("topic",),
    "Records that are waiting for Kafka's acknowledgement.",
)  # fmt: skip

LISTEN_REQUESTS = Name(
    "nrtctl_listen_requests_total", "counter", ("status",),
    "Requests that were answered, by HTTP status.",
)  # fmt: skip
LISTEN_WAITING = Name(
    "nrtctl_listen_waiting_bytes", "gauge", (),
    "Bytes of requests under way, which are limited.",
)  # fmt: skip
LISTEN_CONNECTIONS = Name("nrtctl_listen_connections", "gauge", (), "Connections that are open.")
LISTEN_SECONDS = Name(
    "nrtctl_listen_acknowledgement_seconds", "histogram", (),
    "How long requests wait for Kafka once they have been read.",
)  # fmt: skip

LAG_RECORDS = Name(
    "nrtctl_consumer_lag_records", "gauge", ("group", "topic", "partition"),
    "Records of the partition that the group has not committed.",
)  # fmt: skip
LAG_SECONDS = Name(
    "nrtctl_consumer_lag_seconds", "gauge", ("group", "topic", "partition"),
    "Age of the oldest record of the partition that the group has not committed.",
)  # fmt: skip
LOG_END = Name(
    "nrtctl_log_end_offset", "gauge", ("topic", "partition"),
    "Offset of the next record of the partition.",
)  # fmt: skip
COMMITTED = Name(
    "nrtctl_committed_offset", "gauge", ("group", "topic", "partition"),
    "The group's committed offset.",
)  # fmt: skip
MEMBERS = Name("nrtctl_consumer_members", "gauge", ("group",), "Members of the group.")
TABLE_ROWS = Name("nrtctl_table_rows", "gauge", ("table",), "Stored rows of the topic.")
DEAD_LETTER_ROWS = Name(
    "nrtctl_dead_letter_rows", "gauge", ("reason",), "Dead letters of the topic."
)
FRESHNESS = Name("nrtctl_freshness_seconds", "gauge", ("table",), "Age of the newest row.")
LATENCY_WINDOW = Name(
    "nrtctl_end_to_end_latency_window_seconds", "gauge", ("percentile",),
    "Time from a record's timestamp to its insert, for every row in the window.",
)  # fmt: skip
UP = Name("nrtctl_up", "gauge", ("service",), "Whether the service answered the last look.")
PIPELINE_STATE = Name(
    "nrtctl_pipeline_state", "gauge", ("state",),
    "1 for the verdict of the last look, 0 for the others.",
)  # fmt: skip
USER_VALUE = Name(
    "nrtctl_user_value", "gauge", ("name", "dimensions", "unit"),
    "A value from metrics.json, in the unit given there.",
)  # fmt: skip

COMMANDS: dict[str, tuple[Name, ...]] = {
    "consume": (
        CONSUMED, RESOLVED, ROWS_INSERTED, DEAD_LETTERED, UNSTORED_RECORDS, UNSTORED_SECONDS,
        ASSIGNED_PARTITIONS, WAITS, BATCH_ROWS, INSERT_SECONDS, LATENCY_SECONDS, ACTIVE_PARTS,
    ),
    "produce": (PRODUCER_SENT, PRODUCER_ACKNOWLEDGED, PRODUCER_FAILED, PRODUCER_QUEUE),
    "listen": (
        PRODUCER_SENT, PRODUCER_ACKNOWLEDGED, PRODUCER_FAILED, PRODUCER_QUEUE, LISTEN_REQUESTS,
        LISTEN_WAITING, LISTEN_CONNECTIONS, LISTEN_SECONDS,
    ),
    "stats": (
        LAG_RECORDS, LAG_SECONDS, LOG_END, COMMITTED, MEMBERS, TABLE_ROWS, DEAD_LETTER_ROWS,
        ACTIVE_PARTS, FRESHNESS, LATENCY_WINDOW, UP, PIPELINE_STATE, USER_VALUE,
    ),
}  # fmt: skip
"""The metrics that each command serves, in the order of docs/metrics.md."""
