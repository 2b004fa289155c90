"""The pipeline's topic, made if it is not there. Called by `stack.bootstrap`."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.kafka import clients, positions, topics
from nrtctl.kafka.admin import NewPartitions, NewTopic
from nrtctl.kafka.error_codes import NOT_ALLOWED, Meaning, explained, meaning_of
from nrtctl.kafka.patience import answered

MAX_MESSAGE_BYTES = 10 * 2**20
Agree = Callable[[str, int, int], bool]
"""Given a topic, how many partitions it has and is to have: whether it may."""

KEEPS = NOT_ALLOWED | {Meaning.INVALID, Meaning.UNSUPPORTED}
"""Answers with which a topic keeps the number of partitions that it has."""


def check_topic(config: Config, *, address: str) -> None:
    """Ask Kafka whether it would create the topic, unless it is there. Nothing is made.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
        ConfigError: Kafka does not take the topic's settings.
    """
    admin = clients.make_admin(config.kafka, address=address)
    timeout = config.kafka.connect_timeout
    known = topics.cluster_metadata(admin, address=address, timeout=timeout).topics
    if config.pipeline.topic not in known:
        _create(config, admin, address, validate_only=True)


def always(topic: str, there: int, wanted: int) -> bool:
    """Nobody is asked whether a topic may get more partitions."""
    return True


def make_topic(config: Config, *, address: str, add_partitions: bool, agree: Agree = always) -> str:
    """Create the pipeline's topic, unless it is there; what was done.

    Args:
        add_partitions: a topic that has fewer partitions than the pipeline says gets them.
        agree: asked before, where the topic has messages: those of a key may go to another
            partition afterwards.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
        ConfigError: Kafka does not take the topic's settings.
    """
    pipeline = config.pipeline
    admin = clients.make_admin(config.kafka, address=address)
    cluster = topics.cluster_metadata(admin, address=address, timeout=config.kafka.connect_timeout)
    there = cluster.topics.get(pipeline.topic)
    if there == pipeline.partitions:
        return "kept"
    if there is not None:
        return _other_number(config, admin, there, address, add_partitions, agree)
    return "made" if _create(config, admin, address, validate_only=False) else "kept"


def _create(config: Config, admin: AdminClient, address: str, *, validate_only: bool) -> bool:
    """Whether it was not there.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
        ConfigError: Kafka does not take the topic's settings.
    """
    pipeline = config.pipeline
    topic = NewTopic(
        pipeline.topic,
        num_partitions=pipeline.partitions,
        replication_factor=pipeline.replication_factor,
        config={"max.message.bytes": str(MAX_MESSAGE_BYTES), **pipeline.topic_config},
    )
    future = admin.create_topics(
        [topic], request_timeout=config.kafka.connect_timeout, validate_only=validate_only
    )
    try:
        answered(future[pipeline.topic], config.kafka.connect_timeout)
    except KafkaException as error:
        if meaning_of(error) is Meaning.ALREADY_EXISTS:
            return False
        doing = f"topic {pipeline.topic!r} cannot be created"
        raise explained(admin, error, address=address, doing=doing) from error
    return True


def _other_number(
    config: Config,
    admin: AdminClient,
    there: int,
    address: str,
    add_partitions: bool,
    agree: Agree,
) -> str:
    """Add the partitions that the topic has too few of; what was done.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
    """
    topic, wanted = config.pipeline.topic, config.pipeline.partitions
    if not add_partitions:
        return f"kept: it has {counted(there, 'partition')}, and pipeline.partitions is not set"
    if there > wanted:
        return (
            f"kept: it has {counted(there, 'partition')}, more than pipeline.partitions = "
            f"{wanted}, and Kafka cannot remove any"
        )
    timeout = config.kafka.connect_timeout
    marks = positions.watermarks(admin, topic, address=address, timeout=timeout)
    if any(end for _, end in marks.values()) and not agree(topic, there, wanted):
        return f"kept: it has {counted(there, 'partition')}; `nrtctl up --yes` makes them {wanted}"
    asked = NewPartitions(topic, wanted)
    try:
        answered(admin.create_partitions([asked], request_timeout=timeout)[topic], timeout)
    except KafkaException as error:
        if meaning_of(error) in KEEPS:
            return (
                f"kept: it has {counted(there, 'partition')}, not {wanted}: {error.args[0].str()}"
            )
        raise explained(admin, error, address=address, topic=topic) from error
    return (
        f"changed: {counted(wanted, 'partition')} instead of {there}; from now on, the messages of "
        "a key may go to another partition"
    )
