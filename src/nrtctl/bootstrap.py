"""Topic, tables and views: made if they are not there. Called by `up` and `demo`."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from nrtctl import kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.clock import SystemClock
from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.replay.former_group import take_over
from nrtctl.schema import cluster as on_cluster
from nrtctl.schema.apply import apply
from nrtctl.schema.steps import Step
from nrtctl.stack.addresses import Addresses
from nrtctl.store.current import incarnations, topic_id
from nrtctl.store.incarnations import rows_by_incarnation

MAX_MESSAGE_BYTES = 10 * 2**20
GONE = "not known"
"""In place of the id of a topic that was deleted before its id was written down."""


def bootstrap(
    config: Config, addresses: Addresses, client: ClickHouseClient, *, add_partitions: bool = False
) -> list[Step]:
    """Create the topic, then what ClickHouse needs.

    Args:
        add_partitions: somebody has set pipeline.partitions, so a topic that has fewer gets them.

    Raises:
        ConnectError: Kafka or ClickHouse does not answer.
        ConfigError: what is there does not fit the configuration.
    """
    database, cluster = config.clickhouse.database, config.clickhouse.cluster
    topic = _topic(config, addresses, add_partitions)
    if cluster is None:
        steps = [topic, *apply(client, config.pipeline, database)]
    else:
        steps = [topic, *on_cluster.apply(client, config.pipeline, database, cluster)]
    made = topic.action == "made"
    _first_incarnation(config, addresses, client, made=made)
    return steps if made else [*steps, *_group(config, addresses)]


def _group(config: Config, addresses: Addresses) -> list[Step]:
    """The offsets of the former default group, taken over."""
    address, timeout = addresses.bootstrap_servers, config.kafka.connect_timeout
    admin = kafka.make_admin(config.kafka, address=address)
    count = kafka.partition_count(admin, config.pipeline.topic, address=address, timeout=timeout)
    said = take_over(config, admin, count, address=address, clock=SystemClock())
    return [] if said is None else [Step("group", config.consumer.group, f"changed: {said}")]


def _first_incarnation(
    config: Config, addresses: Addresses, client: ClickHouseClient, *, made: bool
) -> None:
    """Say whose the rows are that are there from before rows had an incarnation.

    Args:
        made: the topic was made just now, so they are of one that is gone.
    """
    topics = incarnations(config, client)
    if topics.known() or not rows_by_incarnation(
        client, config.pipeline, config.clickhouse.database
    ):
        return
    topics.register(GONE if made else topic_id(config, addresses))


def _topic(config: Config, addresses: Addresses, add_partitions: bool) -> Step:
    pipeline, address = config.pipeline, addresses.bootstrap_servers
    admin = kafka.make_admin(config.kafka, address=address)
    cluster = kafka.cluster_metadata(admin, address=address, timeout=config.kafka.connect_timeout)
    there = cluster.topics.get(pipeline.topic)
    if there == pipeline.partitions:
        return Step("topic", pipeline.topic, "kept")
    if there is not None:
        done = _other_number(config, admin, there, address, add_partitions)
        return Step("topic", pipeline.topic, done)
    topic = NewTopic(
        pipeline.topic,
        num_partitions=pipeline.partitions,
        replication_factor=pipeline.replication_factor,
        config={"max.message.bytes": str(MAX_MESSAGE_BYTES), **pipeline.topic_config},
    )
    future = admin.create_topics([topic], request_timeout=config.kafka.connect_timeout)
    try:
        future[pipeline.topic].result()
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.TOPIC_ALREADY_EXISTS:
            return Step("topic", pipeline.topic, "kept")
        if code in {
            KafkaError.INVALID_CONFIG,
            KafkaError.INVALID_PARTITIONS,
            KafkaError.INVALID_REPLICATION_FACTOR,
        }:
            raise ConfigError(
                f"topic {pipeline.topic!r} cannot be created: {error.args[0].str()}",
                hint="check pipeline.partitions, .replication_factor and .topic_config",
            ) from error
        raise kafka.explained(admin, error, address=address, topic=pipeline.topic) from error
    return Step("topic", pipeline.topic, "made")


def _other_number(
    config: Config, admin: AdminClient, there: int, address: str, add_partitions: bool
) -> str:
    """Add the partitions that the topic has too few of; what was done.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
    """
    topic, wanted = config.pipeline.topic, config.pipeline.partitions
    if not add_partitions:
        return f"kept: it has {there} partitions, and pipeline.partitions is not set"
    if there > wanted:
        return (
            f"kept: it has {there} partitions, more than pipeline.partitions = {wanted}, "
            "and Kafka takes none away"
        )
    asked = NewPartitions(topic, wanted)
    timeout = config.kafka.connect_timeout
    try:
        admin.create_partitions([asked], request_timeout=timeout)[topic].result()
    except KafkaException as error:
        if error.args[0].code() in kafka.UNAUTHORISED | kafka.WRONG_CALL:
            return f"kept: it has {there} partitions, not {wanted}: {error.args[0].str()}"
        raise kafka.explained(admin, error, address=address, topic=topic) from error
    return (
        f"changed: {wanted} partitions, {there} before; "
        "the messages of a key may go to another partition from here on"
    )
