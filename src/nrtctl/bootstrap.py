"""Topic, tables and views: made if they are not there. Called by `up` and `demo`."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from nrtctl import kafka
from nrtctl.clickhouse import ClickHouseClient
from nrtctl.config.model import Config
from nrtctl.errors import ConfigError
from nrtctl.schema import cluster as on_cluster
from nrtctl.schema.apply import apply
from nrtctl.schema.steps import Step
from nrtctl.stack.addresses import Addresses

MAX_MESSAGE_BYTES = 10 * 2**20


def bootstrap(config: Config, addresses: Addresses, client: ClickHouseClient) -> list[Step]:
    """Create the topic, then what ClickHouse needs.

    Raises:
        ConnectError: Kafka or ClickHouse does not answer.
        ConfigError: what is there does not fit the configuration.
    """
    database, cluster = config.clickhouse.database, config.clickhouse.cluster
    topic = _topic(config, addresses)
    if cluster is None:
        return [topic, *apply(client, config.pipeline, database)]
    return [topic, *on_cluster.apply(client, config.pipeline, database, cluster)]


def _topic(config: Config, addresses: Addresses) -> Step:
    pipeline, address = config.pipeline, addresses.bootstrap_servers
    admin = kafka.make_admin(config.kafka, address=address)
    cluster = kafka.cluster_metadata(admin, address=address, timeout=config.kafka.connect_timeout)
    there = cluster.topics.get(pipeline.topic)
    if there is not None:
        if there != pipeline.partitions:
            return Step("topic", pipeline.topic, f"kept: it has {there} partitions")
        return Step("topic", pipeline.topic, "kept")
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
