"""Kafka through confluent-kafka: configured clients, its errors as ours, and what a log holds.

The only module that makes clients. Called by the commands; `producer` and `consumer` get theirs
handed in. librdkafka's own log goes to the logger `nrtctl.librdkafka`, never to the terminal;
what it says about connections that fail is explained by `kafka_refusals`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from nrtctl.clock import Clock, SystemClock
from nrtctl.config.model import Kafka
from nrtctl.errors import ConfigError, ConnectError, NrtctlError, WaitTimeout
from nrtctl.kafka_properties import client_properties, with_login
from nrtctl.kafka_refusals import Heard
from nrtctl.notices import if_it_lasts

T = TypeVar("T")
_URL_SAFE = str.maketrans("+/", "-_")
NO_ID = "A" * 22
"""Kafka's zero UUID: the broker is from before topics had ids."""
OnError = Callable[[KafkaError], None]
Properties = Mapping[str, str | int | float | bool]

UNREACHABLE = frozenset({
    KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE,
    KafkaError._DESTROY_BROKER, KafkaError._UNKNOWN_BROKER, KafkaError._WAIT_COORD,
    KafkaError.BROKER_NOT_AVAILABLE, KafkaError.NETWORK_EXCEPTION, KafkaError.REBOOTSTRAP_REQUIRED,
})  # fmt: skip
"""Nobody answers. Kafka may come back: librdkafka goes on trying."""

REFUSED = frozenset({
    KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM, KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.SECURITY_DISABLED, KafkaError.UNACCEPTABLE_CREDENTIAL,
    KafkaError.PRINCIPAL_DESERIALIZATION_FAILURE, KafkaError.INVALID_PRINCIPAL_TYPE,
    KafkaError.DELEGATION_TOKEN_AUTH_DISABLED, KafkaError.DELEGATION_TOKEN_NOT_FOUND,
    KafkaError.DELEGATION_TOKEN_OWNER_MISMATCH, KafkaError.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
    KafkaError.DELEGATION_TOKEN_EXPIRED,
})  # fmt: skip
"""Kafka answers, and does not accept who we are."""

UNAUTHORISED = frozenset({
    KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
})  # fmt: skip
"""Kafka knows us, and does not allow this."""

UNKNOWN_TOPIC = frozenset({
    KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION, KafkaError.INCONSISTENT_TOPIC_ID,
})  # fmt: skip

WRONG_CALL = frozenset({
    KafkaError._INVALID_ARG, KafkaError._UNKNOWN_PROTOCOL, KafkaError._UNSUPPORTED_FEATURE,
    KafkaError._NOT_IMPLEMENTED, KafkaError._NOT_CONFIGURED, KafkaError._INVALID_TYPE,
    KafkaError.INVALID_CONFIG, KafkaError.INVALID_REQUIRED_ACKS, KafkaError.INVALID_GROUP_ID,
    KafkaError.INVALID_SESSION_TIMEOUT, KafkaError.INVALID_PARTITIONS, KafkaError.POLICY_VIOLATION,
    KafkaError.INVALID_REPLICATION_FACTOR, KafkaError.INVALID_REPLICA_ASSIGNMENT,
    KafkaError.TOPIC_EXCEPTION, KafkaError.UNSUPPORTED_ASSIGNOR,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE, KafkaError.INVALID_REGULAR_EXPRESSION,
})  # fmt: skip
"""A setting or an argument that Kafka or librdkafka does not take."""

TIMED_OUT = frozenset({
    KafkaError._TIMED_OUT, KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT_QUEUE,
    KafkaError.REQUEST_TIMED_OUT,
})  # fmt: skip

NOT_READY = frozenset({
    KafkaError._UNKNOWN_PARTITION, KafkaError._WAIT_COORD, KafkaError._WAIT_CACHE,
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError._TRANSPORT,
    KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
})  # fmt: skip
"""Answers that pass, as after a broker's restart: asked again while there is time."""

FIRST_SPAN = 1.5
"""Seconds after which a refused login is believed; other brokers of the list may answer before."""

PAUSE = 0.1
"""Between two questions of which the first has failed at once."""

LINGER_MS = 5
BULK_LINGER_MS = 50
"""While an idempotent producer waits for the answer to a partition's batch, and the next batch has
lingered long enough, librdkafka's thread asks without a pause whether it may go. Messages without
keys go to one partition for some milliseconds, and fill its batches without a wait."""

METADATA_MS = 3000
"""How often a client asks for the partitions of its topics: one that was added is used within ten
seconds, a rebalance included. librdkafka's own 300,000 leaves it alone for five minutes."""

QUEUE_MESSAGES = 200_000
QUEUE_KILOBYTES = 256 * 1024
"""What a producer holds in memory at most."""


def make_producer(
    settings: Kafka,
    *,
    address: str,
    delivery_timeout: float = 120.0,
    only_failures: bool = False,
    linger_ms: int = LINGER_MS,
    on_error: OnError | None = None,
    statistics: tuple[int, Callable[[str], None]] | None = None,
) -> Producer:
    """An idempotent producer that keeps order and waits for all replicas.

    Keys choose partitions as the Java client's do (murmur2). `settings.properties` goes before
    every default here, except for the size of the queue.

    Args:
        delivery_timeout: seconds until a message that is not acknowledged has failed.
        only_failures: delivery callbacks are called for messages that failed only.
        linger_ms: how long a batch waits to be full; `flush` ends the wait.
        statistics: milliseconds between two, and what is given librdkafka's, from within `poll`.

    Raises:
        ConfigError: librdkafka does not take a property.
    """
    defaults: dict[str, Any] = {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": linger_ms,
        "message.max.bytes": 10 * 2**20,
        "partitioner": "murmur2_random",
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        "delivery.timeout.ms": max(1, int(delivery_timeout * 1000)),
    }
    fixed: dict[str, Any] = {
        "queue.buffering.max.messages": QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
        "delivery.report.only.error": only_failures,
    }
    if statistics is not None:
        defaults["statistics.interval.ms"], fixed["stats_cb"] = statistics
    return _make(Producer, settings, address, defaults, on_error, fixed)


def make_consumer(
    settings: Kafka,
    group: str,
    *,
    address: str,
    properties: Properties | None = None,
    on_error: OnError | None = None,
    on_commit: Callable[..., None] | None = None,
) -> Consumer:
    """A consumer of `group` that never commits offsets on its own, and checks checksums.

    Args:
        on_commit: told (error, partitions) what became of an offset commit, from within `poll`.

    Raises:
        ConfigError: librdkafka does not take a property.
    """
    return _make(Consumer, settings, address, {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "partition.assignment.strategy": "cooperative-sticky",
        "auto.offset.reset": "error",
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        **({"on_commit": on_commit} if on_commit is not None else {}),
        **(properties or {}),
    }, on_error, {"check.crcs": True})  # fmt: skip


def make_admin(settings: Kafka, *, address: str, on_error: OnError | None = None) -> AdminClient:
    """A client that asks about and changes topics and groups.

    Raises:
        ConfigError: librdkafka does not take a property.
    """
    return _make(AdminClient, settings, address, {}, on_error)


def _make(
    kind: type[Any],
    settings: Kafka,
    address: str,
    defaults: Mapping[str, Any],
    on_error: OnError | None,
    fixed: Mapping[str, Any] | None = None,
) -> Any:
    settings = with_login(settings)
    properties = {**defaults, **client_properties(settings, address=address), **(fixed or {})}
    heard = Heard(settings, on_error)
    properties["error_cb"] = heard
    with translated(address):
        client = type(kind.__name__, (kind,), {})(properties, logger=heard)
    client.heard = heard
    return client


def explained(
    client: Any, error: KafkaException, *, address: str, topic: str | None = None
) -> NrtctlError:
    """`translate`, with the cause where the client has heard why Kafka cannot be reached."""
    code = error.args[0].code() if error.args and isinstance(error.args[0], KafkaError) else None
    refusal = None
    if code in TIMED_OUT | UNREACHABLE | REFUSED:
        refusal = _refusal(client, address)
    return refusal or translate(error, address=address, topic=topic)


def translate(
    error: KafkaError | KafkaException, *, address: str, topic: str | None = None
) -> NrtctlError:
    """The error of `nrtctl.errors` that says what a Kafka error means, with what mends it."""
    if isinstance(error, KafkaException):
        inner = error.args[0] if error.args else None
        if not isinstance(inner, KafkaError):
            return NrtctlError(f"Kafka: {error}")
        error = inner
    code, reason = error.code(), error.str()
    if code in UNREACHABLE:
        return unreachable(address, reason)
    if code in REFUSED:
        return ConnectError(
            f"Kafka at {address} refuses the connection: {reason}",
            hint="see kafka.security_protocol and the kafka.sasl_… and kafka.ssl_… settings",
        )
    if code in UNAUTHORISED:
        return ConnectError(
            f"Kafka at {address} does not allow this: {reason}",
            hint="give the user the right (an ACL); `nrtctl doctor` names those that are missing",
        )
    if code in UNKNOWN_TOPIC:
        return unknown_topic(topic) if topic else NrtctlError(f"Kafka: {reason}")
    if code in WRONG_CALL:
        return ConfigError(f"Kafka does not take this: {reason}", hint="see [kafka.properties]")
    if code in TIMED_OUT:
        return WaitTimeout(
            f"Kafka at {address} did not answer in time: {reason}", hint="`nrtctl status`"
        )
    return NrtctlError(f"Kafka: {reason} ({error.name()})")


def unreachable(address: str, reason: str) -> ConnectError:
    return ConnectError(
        f"Kafka does not answer at {address}: {reason}",
        hint="`nrtctl up` starts a local one; kafka.bootstrap_servers says where it is",
    )


def unknown_topic(topic: str) -> NrtctlError:
    return NrtctlError(
        f"topic {topic!r} does not exist, or may not be seen",
        hint="`nrtctl up` creates the pipeline's topic",
    )


@contextmanager
def translated(address: str, *, topic: str | None = None) -> Iterator[None]:
    """Raise a KafkaException from within as the error of `nrtctl.errors`."""
    try:
        yield
    except KafkaException as error:
        raise translate(error, address=address, topic=topic) from error


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a metadata answer says. `topics`: name → number of partitions, internal ones too."""

    cluster_id: str | None
    controller: int
    brokers: tuple[str, ...]
    topics: Mapping[str, int]


def cluster_metadata(client: Any, *, address: str, timeout: float) -> Cluster:
    """Ask any client's brokers who they are and which topics there are; creates none.

    Raises:
        ConnectError: no answer within `timeout` seconds, or we are refused.
    """
    answer = _metadata(client, address, timeout)
    return Cluster(
        cluster_id=answer.cluster_id,
        controller=answer.controller_id,
        brokers=tuple(f"{each.host}:{each.port}" for each in answer.brokers.values()),
        topics={
            name: len(each.partitions)
            for name, each in answer.topics.items()
            if each.error is None or each.error.code() == KafkaError.LEADER_NOT_AVAILABLE
        },
    )


def _metadata(client: Any, address: str, timeout: float) -> Any:
    """Ask in growing spans of time, so that a refusal is told when it is known, and not only at
    the end: librdkafka tries again whatever the cause."""
    with if_it_lasts(lambda: _waited_for(client, address, timeout)):
        return _metadata_in_time(client, address, timeout)


def _waited_for(client: Any, address: str, timeout: float) -> str:
    heard: Heard | None = getattr(client, "heard", None)
    said = heard.last() if heard is not None else None
    return f"waiting for Kafka at {address}, {timeout:g} s at most: {said or 'no answer yet'}"


def _metadata_in_time(client: Any, address: str, timeout: float) -> Any:
    clock = SystemClock()
    deadline = clock.monotonic() + timeout
    span = FIRST_SPAN
    heard: Heard | None = getattr(client, "heard", None)
    while True:
        left = deadline - clock.monotonic()
        try:
            answer = client.list_topics(timeout=max(0.1, left if left < 2 * span else span))
        except KafkaException as error:
            if error.args[0].code() not in TIMED_OUT | UNREACHABLE:
                raise explained(client, error, address=address) from error
            if (refusal := _refusal(client, address)) is not None:
                raise refusal from error
            if clock.monotonic() + PAUSE >= deadline:
                said = heard.last() if heard is not None else None
                why = f"no answer within {timeout:g} s" + (f" ({said})" if said else "")
                raise unreachable(address, why) from error
        else:
            with translated(address):
                client.poll(0)
            if heard is not None:
                heard.answered()
            return answer
        clock.sleep(PAUSE)
        span *= 2


def _refusal(client: Any, address: str) -> ConnectError | None:
    """Why the client is refused, as far as it has heard. Its callbacks come from within `poll`,
    which raises what it cannot live on with."""
    heard: Heard | None = getattr(client, "heard", None)
    with translated(address):
        client.poll(0)
    return heard.refusal(address) if heard is not None else None


def partition_count(client: Any, topic: str, *, address: str, timeout: float) -> int:
    """How many partitions `topic` has.

    Raises:
        ConnectError: no answer in time.
        NrtctlError: there is no such topic.
    """
    found = cluster_metadata(client, address=address, timeout=timeout).topics.get(topic)
    if not found:
        raise unknown_topic(topic)
    return found


def watermarks(
    admin: AdminClient,
    topic: str,
    *,
    address: str,
    timeout: float,
    clock: Clock | None = None,
    stable: bool = False,
) -> dict[int, tuple[int, int]]:
    """(log start, log end) of every partition of `topic`.

    Args:
        stable: the end of what can be read now: a transaction that is open lies beyond it.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
        NrtctlError: there is no such topic.
    """
    count = partition_count(admin, topic, address=address, timeout=timeout)
    partitions = [TopicPartition(topic, number) for number in range(count)]

    def ask(left: float) -> dict[int, tuple[int, int]]:
        level = IsolationLevel.READ_COMMITTED if stable else IsolationLevel.READ_UNCOMMITTED
        low, high = (
            admin.list_offsets(
                dict.fromkeys(partitions, spec), request_timeout=left, isolation_level=level
            )
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )
        starts = {tp.partition: int(future.result().offset) for tp, future in low.items()}
        ends = {tp.partition: int(future.result().offset) for tp, future in high.items()}
        return {number: (starts[number], ends[number]) for number in sorted(ends)}

    return patiently(ask, admin, address, topic, timeout, clock or SystemClock())


def ask_topic_id(admin: AdminClient, topic: str, *, timeout: float) -> Future[Any]:
    """Ask which topic has the name now; the answer is for `topic_id_of`."""
    futures = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout)
    future: Future[Any] = futures[topic]
    return future


def topic_id_of(answer: Any) -> str:
    """The id of the described topic, as Kafka's tools print it; empty: the broker gives none."""
    found = "" if answer.topic_id is None else str(answer.topic_id)
    return "" if found == NO_ID else found.translate(_URL_SAFE)


def topic_id(
    admin: AdminClient, topic: str, *, address: str, timeout: float, clock: Clock | None = None
) -> str:
    """The id of the topic that has the name now (KIP-516); empty: the broker gives none.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
        NrtctlError: there is no such topic.
    """

    def ask(left: float) -> str:
        return topic_id_of(ask_topic_id(admin, topic, timeout=left).result())

    return patiently(ask, admin, address, topic, timeout, clock or SystemClock())


def topic_setting(
    admin: AdminClient, topic: str, name: str, *, address: str, timeout: float
) -> str:
    """A setting of the topic as the broker has it; empty where it has none.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
    """
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    with translated(address, topic=topic):
        found = admin.describe_configs([resource], request_timeout=timeout)[resource].result()
    entry = found.get(name)
    return "" if entry is None else str(entry.value or "")


def committed(
    admin: AdminClient,
    group: str,
    topic: str,
    partitions: Sequence[int],
    *,
    address: str,
    timeout: float,
    clock: Clock | None = None,
) -> dict[int, tuple[int | None, str]]:
    """Committed offset (None: none) and its metadata, by partition. A new group has neither.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
    """
    asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, n) for n in partitions])

    def ask(left: float) -> dict[int, tuple[int | None, str]]:
        future = admin.list_consumer_group_offsets([asked], request_timeout=left)[group]
        found: dict[int, tuple[int | None, str]] = {}
        for each in future.result().topic_partitions:
            if each.error is not None:
                raise KafkaException(each.error)
            offset = None if each.offset == OFFSET_INVALID else int(each.offset)
            found[each.partition] = (offset, each.metadata or "")
        return found

    return patiently(ask, admin, address, topic, timeout, clock or SystemClock())


def patiently(
    ask: Callable[[float], T],
    client: Any,
    address: str,
    topic: str,
    timeout: float,
    clock: Clock,
) -> T:
    """Ask again for `timeout` seconds while the answer is one of NOT_READY."""
    with if_it_lasts(lambda: _waited_for(client, address, timeout)):
        return _patiently(ask, client, address, topic, timeout, clock)


def _patiently(
    ask: Callable[[float], T],
    client: Any,
    address: str,
    topic: str,
    timeout: float,
    clock: Clock,
) -> T:
    deadline = clock.monotonic() + timeout
    pause = 0.05
    left = timeout
    while True:
        try:
            return ask(math.ceil(left * 1000) / 1000)
        except KafkaException as error:
            left = deadline - clock.monotonic() - pause
            if error.args[0].code() not in NOT_READY or left <= 0:
                raise explained(client, error, address=address, topic=topic) from error
        clock.sleep(pause)
        pause = min(0.5, pause * 2)
