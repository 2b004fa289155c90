"""What Kafka's ACLs allow us: asked, never tried out, so nothing is changed. Called by `doctor`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from nrtctl.clock import SystemClock
from nrtctl.config.model import Config
from nrtctl.config.servers import Kafka
from nrtctl.kafka.admin import NewTopic
from nrtctl.kafka.error_codes import NOT_ALLOWED, Meaning, explained, meaning_of
from nrtctl.kafka.patience import answered, patiently

OF_TOPIC = ("READ", "WRITE", "DESCRIBE")
OF_GROUP = ("READ", "DESCRIBE")


@dataclass(frozen=True, slots=True)
class Lack:
    """Rights that are missing on one resource, and the command that gives them."""

    what: str
    operations: tuple[str, ...]
    command: str

    def __str__(self) -> str:
        return f"not allowed: {', '.join(self.operations)}"


def lacks(admin: AdminClient, config: Config, *, address: str) -> list[Lack]:
    """What is not allowed on the pipeline's topic and group. Empty too where Kafka has no ACLs, or
    does not tell.

    Raises:
        NrtctlError: Kafka does not answer.
    """
    topic, group = config.pipeline.topic, config.consumer.group
    found = []
    for what, name, needed, ask in (
        ("topic", topic, OF_TOPIC, partial(_topic, admin, topic)),
        ("group", group, OF_GROUP, partial(_group, admin, group)),
    ):
        allowed = patiently(
            partial(_allowed, ask),
            admin,
            address,
            topic,
            config.kafka.connect_timeout,
            SystemClock(),
        )
        if allowed is not None and (missing := [each for each in needed if each not in allowed]):
            found.append(_lack(config.kafka, address, what, name, missing))
    return found


def may_create(admin: AdminClient, config: Config, *, address: str) -> Lack | None:
    """What hinders `up` from creating the topic; None: nothing. Creates nothing.

    Raises:
        NrtctlError: Kafka does not answer.
    """
    pipeline = config.pipeline
    new = NewTopic(pipeline.topic, pipeline.partitions, pipeline.replication_factor)
    futures = admin.create_topics(
        [new], validate_only=True, request_timeout=config.kafka.connect_timeout
    )
    try:
        answered(futures[pipeline.topic], config.kafka.connect_timeout)
    except KafkaException as error:
        meaning = meaning_of(error)
        if meaning in NOT_ALLOWED:
            return _lack(config.kafka, address, "topic", pipeline.topic, ["CREATE"])
        if meaning is not Meaning.ALREADY_EXISTS:
            raise explained(admin, error, address=address, topic=pipeline.topic) from error
    return None


def _allowed(ask: Callable[[float], Any], timeout: float) -> frozenset[str] | None:
    """Names of operations; None: not told."""
    try:
        told: Iterable[Any] | None = answered(ask(timeout), timeout).authorized_operations
    except KafkaException as error:
        meaning = meaning_of(error)
        if meaning in NOT_ALLOWED:
            return frozenset()
        if meaning is Meaning.UNKNOWN_TOPIC:
            return None
        raise
    return frozenset(each.name for each in told) if told else None


def _topic(admin: AdminClient, name: str, timeout: float) -> Any:
    return admin.describe_topics(
        TopicCollection([name]), include_authorized_operations=True, request_timeout=timeout
    )[name]


def _group(admin: AdminClient, name: str, timeout: float) -> Any:
    return admin.describe_consumer_groups(
        [name], include_authorized_operations=True, request_timeout=timeout
    )[name]


def _lack(settings: Kafka, address: str, what: str, name: str, operations: list[str]) -> Lack:
    asked = [word for each in operations for word in ("--operation", each)]
    command = shlex.join([
        *("kafka-acls", "--bootstrap-server", address, "--add"),
        *("--allow-principal", principal(settings), *asked, f"--{what}", name),
    ])  # fmt: skip
    return Lack(f"{what} {name}", tuple(operations), command)


def principal(settings: Kafka) -> str:
    """Who we are to Kafka's ACLs, as far as the configuration tells."""
    if settings.sasl_mechanism == "OAUTHBEARER":
        return f"User:{settings.sasl_oauth_client_id or '<the subject of the token>'}"
    if settings.sasl_mechanism is not None:
        return f"User:{settings.sasl_username}"
    if settings.ssl_certificate_location is not None:
        return "User:<the subject of the client certificate>"
    return "User:ANONYMOUS"
