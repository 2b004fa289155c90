"""Which topic of the pipeline's name is there now, and the number of its rows."""

from __future__ import annotations

from nrtctl.clickhouse.queries import Statements
from nrtctl.config.model import Config
from nrtctl.kafka import clients, topics
from nrtctl.kafka.log import KafkaLog
from nrtctl.stack.addresses import Addresses
from nrtctl.store.evidence import is_another_log
from nrtctl.store.incarnations import Incarnations
from nrtctl.store.intents import Incarnation


def incarnations(config: Config, storage: Statements) -> Incarnations:
    """The topics of the pipeline's name."""
    return Incarnations(
        storage,
        config.clickhouse.database,
        config.pipeline.topic,
        cluster=config.clickhouse.cluster,
    )


def topic_id(config: Config, addresses: Addresses) -> str:
    """Kafka's id of the pipeline's topic. Raises as `topics.topic_id`."""
    address = addresses.bootstrap_servers
    return topics.topic_id(
        clients.make_admin(config.kafka, address=address),
        config.pipeline.topic,
        address=address,
        timeout=config.kafka.connect_timeout,
    )


def current_topic(config: Config, addresses: Addresses, storage: Statements) -> Incarnation:
    """The topic that is there; changes nothing, also where the database has not met it yet.

    Raises:
        ConnectError, WaitTimeout: Kafka or ClickHouse does not answer.
        NrtctlError: there is no such topic, or `up` has not made the tables.
    """
    found = incarnations(config, storage).find(topic_id(config, addresses))
    return found if found.topic_id else without_id(config, addresses, storage, found)


def without_id(
    config: Config, addresses: Addresses, storage: Statements, last: Incarnation
) -> Incarnation:
    """The topic that is there, on a broker that gives no ids: the last that was met, or the one
    after it. Args: last: the last that was met. Raises as `current_topic`."""
    log = KafkaLog(config, addresses.bootstrap_servers, topic=last)
    database = config.clickhouse.database
    if is_another_log(storage, log, config.pipeline, database, last.number):
        return Incarnation(last.number + 1)
    return last
