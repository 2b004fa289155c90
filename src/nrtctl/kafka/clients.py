"""Kafka through confluent-kafka: configured clients, one way for each kind.

librdkafka's own log goes to the logger `nrtctl.librdkafka`, never to the terminal; what it says
about connections that fail is explained by `refusals`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import Consumer, KafkaError, Producer, libversion
from confluent_kafka.admin import AdminClient

from nrtctl.config.servers import Kafka
from nrtctl.kafka.error_codes import translated
from nrtctl.kafka.properties import client_properties, with_login
from nrtctl.kafka.refusals import ClientLog

if TYPE_CHECKING:
    from nrtctl.kafka.bulk import BulkClient

Client = TypeVar("Client", Consumer, Producer, AdminClient)
OnError = Callable[[KafkaError], None]
Properties = Mapping[str, str | int | float | bool]

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

_QUEUE: dict[str, Any] = {
    "queue.buffering.max.messages": QUEUE_MESSAGES,
    "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
}


def librdkafka_version() -> str:
    return libversion()[0]


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
    defaults = _of_a_producer(delivery_timeout, linger_ms)
    fixed = {**_QUEUE, "delivery.report.only.error": only_failures}
    if statistics is not None:
        defaults["statistics.interval.ms"], fixed["stats_cb"] = statistics
    return _make(Producer, settings, address, defaults, on_error, fixed)


def make_bulk_producer(
    settings: Kafka,
    plain: Producer,
    topic: str,
    *,
    address: str,
    delivery_timeout: float,
    linger_ms: int,
    statistics: tuple[int, Callable[[str], None]],
) -> BulkClient | None:
    """A producer as `make_producer`'s that tells of failures only, and takes many messages at once.

    Args:
        plain: the client for all others. Its brokers' errors are told by this one from now on.

    Returns:
        None where librdkafka's own functions cannot be used here, or the login needs more than
        properties.

    Raises:
        ConfigError: librdkafka does not take a property.
    """
    from nrtctl.kafka.librdkafka import functions
    from nrtctl.kafka.native import native

    library, ours = functions(), native()
    if library is None or ours is None or settings.sasl_mechanism == "OAUTHBEARER":
        return None
    from nrtctl.kafka.bulk import BulkClient

    heard: ClientLog = plain.heard.beside()  # type: ignore[attr-defined]
    properties = {
        **_of_a_producer(delivery_timeout, linger_ms),
        "statistics.interval.ms": statistics[0],
        **client_properties(with_login(settings), address=address),
        **_QUEUE,
    }
    return BulkClient(
        library, ours, plain, topic, properties,
        on_error=heard, on_statistics=statistics[1], on_log=lambda *said: heard.log(*said),
    )  # fmt: skip


def _of_a_producer(delivery_timeout: float, linger_ms: int) -> dict[str, Any]:
    return {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": linger_ms,
        "message.max.bytes": 10 * 2**20,
        "partitioner": "murmur2_random",
        "topic.metadata.refresh.interval.ms": METADATA_MS,
        "delivery.timeout.ms": max(1, int(delivery_timeout * 1000)),
    }


def make_consumer(
    settings: Kafka,
    group: str,
    *,
    address: str,
    properties: Properties | None = None,
    on_error: OnError | None = None,
    on_commit: Callable[..., None] | None = None,
    native: bool = False,
) -> Consumer:
    """A consumer of `group` that never commits offsets on its own, and checks checksums.

    Args:
        on_commit: told (error, partitions) what became of an offset commit, from within `poll`.
        native: its messages are fetched by `native_fetch`, where that can be.

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
    }, on_error, {"check.crcs": True}, handle=native)  # fmt: skip


def make_admin(settings: Kafka, *, address: str, on_error: OnError | None = None) -> AdminClient:
    """A client that asks about and changes topics and groups.

    Raises:
        ConfigError: librdkafka does not take a property.
    """
    return _make(AdminClient, settings, address, {}, on_error)


def _make(
    kind: type[Client],
    settings: Kafka,
    address: str,
    defaults: Mapping[str, Any],
    on_error: OnError | None,
    fixed: Mapping[str, Any] | None = None,
    *,
    handle: bool = False,
) -> Client:
    settings = with_login(settings)
    properties = {**defaults, **client_properties(settings, address=address), **(fixed or {})}
    heard = ClientLog(settings, on_error)
    properties["error_cb"] = heard
    # A class of our own, since theirs takes no attribute.
    make = partial(type(kind.__name__, (kind,), {}), logger=heard)
    with translated(address):
        if handle:
            from nrtctl.kafka.native_fetch import with_handle

            client: Any = with_handle(make, properties)
        else:
            client = make(properties)
    client.heard = heard
    made: Client = client
    return made
