"""Damage for verify to find: rows taken out or doubled by SQL, offsets moved through Kafka."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from nrtctl.local.process import Endpoint
from tests.plugins.stack import Project

TOPIC, GROUP = "user_events", "nrtctl-events"


def delete(stack: Project, table: str, where: str) -> None:
    stack.write(f"ALTER TABLE {table} DELETE WHERE {where} SETTINGS mutations_sync = 2")


def double(stack: Project, table: str, where: str, *, copies: int = 1) -> None:
    """Insert copies of rows, equal in every column."""
    stack.write(
        f"INSERT INTO {table} SELECT {table}.* FROM {table} ARRAY JOIN range({copies}) AS copy "
        f"WHERE {where} SETTINGS insert_deduplicate = 0"
    )


def dead_letter_too(stack: Project, where: str) -> None:
    """Rows of events become dead letters as well."""
    stack.write(
        "INSERT INTO dead_letters (_target, _topic, _partition, _offset, _timestamp, reason) "
        "SELECT 'events', _topic, _partition, _offset, _timestamp, 'by hand' FROM events "
        f"WHERE {where}"
    )


def content(stack: Project) -> Any:
    """A digest of every row of both tables, but for the time of the insert, and of the rollup."""
    return [
        stack.rows(
            f"SELECT count() AS n, sum(cityHash64(* EXCEPT _inserted_at)) AS digest FROM {source}"
        )
        for source in ("events", "dead_letters")
    ] + [
        stack.rows(
            "SELECT minute, event_type, sum(total_events) AS n, sum(error_count) AS errors "
            "FROM event_metrics GROUP BY 1, 2 ORDER BY 1, 2"
        )
    ]


def bootstrap(stack: Project) -> str:
    endpoint = Endpoint.read(stack.directory / ".nrtctl" / "kafka")
    assert endpoint is not None
    return f"{endpoint.host}:{endpoint.port}"


def admin(stack: Project) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap(stack)})


def commit_offset(stack: Project, partition: int, offset: int, metadata: str = "") -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap(stack), "group.id": GROUP})
    position = TopicPartition(TOPIC, partition, offset, metadata)
    consumer.commit(offsets=[position], asynchronous=False)
    consumer.close()


def committed(stack: Project, partitions: int = 4) -> list[int]:
    """The group's offset in each partition, -1001 where it has none."""
    client = admin(stack)  # without it no answer comes
    asked = [TopicPartition(TOPIC, number) for number in range(partitions)]
    answers = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP, asked)])
    return [each.offset for each in sorted(answers[GROUP].result(20).topic_partitions)]


def forget_below(stack: Project, partition: int, offset: int) -> None:
    """What retention does: the log starts at `offset` from now on."""
    client = admin(stack)
    for future in client.delete_records([TopicPartition(TOPIC, partition, offset)]).values():
        future.result(10)
