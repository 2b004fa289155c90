"""What a cluster holds: its brokers, its topics, what a topic is."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock, SystemClock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.kafka.admin import ConfigResource
from nrtctl.kafka.error_codes import (
    AWAY,
    Meaning,
    explained,
    hear,
    meaning_of,
    refusal,
    translated,
    unknown_topic,
    unreachable,
)
from nrtctl.kafka.patience import answered, patiently, waited_for
from nrtctl.kafka.refusals import ClientLog

_URL_SAFE = str.maketrans("+/", "-_")
NO_ID = "A" * 22
"""Kafka's zero UUID: the broker is from before topics had ids."""

FIRST_SPAN = 1.5
"""Seconds after which a refused login is believed; other brokers of the list may answer before."""

PAUSE = 0.1
"""Between two questions of which the first has failed at once."""


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
            if meaning_of(each.error) in {None, Meaning.RETRIABLE}
        },
    )


def described(client: Any, *, address: str, timeout: float) -> Any:
    """confluent-kafka's ClusterMetadata, with the topics that can be told of; creates none.

    Raises:
        ConnectError: no answer within `timeout` seconds, or we are refused.
    """
    answer = _metadata(client, address, timeout)
    for name, each in list(answer.topics.items()):
        if meaning_of(each.error) not in {None, Meaning.RETRIABLE}:
            del answer.topics[name]
    return answer


def _metadata(client: Any, address: str, timeout: float) -> Any:
    """Ask in growing spans of time, so that a refusal is told when it is known, and not only at
    the end: librdkafka tries again whatever the cause."""
    with if_it_lasts(lambda: waited_for(client, address, timeout)):
        return _metadata_in_time(client, address, timeout)


def _metadata_in_time(client: Any, address: str, timeout: float) -> Any:
    clock = SystemClock()
    deadline = clock.monotonic() + timeout
    span = FIRST_SPAN
    heard: ClientLog | None = getattr(client, "heard", None)
    while True:
        left = deadline - clock.monotonic()
        try:
            answer = client.list_topics(timeout=max(0.1, left if left < 2 * span else span))
        except KafkaException as error:
            if meaning_of(error) not in AWAY:
                raise explained(client, error, address=address) from error
            if (cause := refusal(client, address)) is not None:
                raise cause from error
            if clock.monotonic() + PAUSE >= deadline:
                said = heard.last() if heard is not None else None
                why = f"no answer within {timeout:g} s" + (f" ({said})" if said else "")
                raise unreachable(address, why) from error
        else:
            hear(client, address)
            if heard is not None:
                heard.answered()
            return answer
        clock.sleep(PAUSE)
        span *= 2


def partition_count(client: Any, topic: str, *, address: str, timeout: float) -> int:
    """How many partitions `topic` has.

    Raises:
        ConnectError: no answer in time.
        NrtctlError: there is no such topic.
    """
    return cluster_of(client, topic, address=address, timeout=timeout).topics[topic]


def cluster_of(client: Any, topic: str, *, address: str, timeout: float) -> Cluster:
    """The cluster that `topic` is in. Raises as `partition_count`."""
    cluster = cluster_metadata(client, address=address, timeout=timeout)
    if not cluster.topics.get(topic):
        raise unknown_topic(topic, cluster.topics)
    return cluster


def ask_topic_id(admin: AdminClient, topic: str, *, timeout: float) -> Future[Any]:
    """Ask which topic has the name now; the answer is for `topic_id_of`."""
    futures = admin.describe_topics(TopicCollection([topic]), request_timeout=timeout)
    future: Future[Any] = futures[topic]
    return future


def exists(admin: AdminClient, topic: str, *, timeout: float) -> bool:
    """Whether Kafka says that there is such a topic; no answer is a no."""
    try:
        answered(ask_topic_id(admin, topic, timeout=timeout), timeout)
    except KafkaException:
        return False
    return True


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
        return topic_id_of(answered(ask_topic_id(admin, topic, timeout=left), left))

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
        asked = admin.describe_configs([resource], request_timeout=timeout)[resource]
        found = answered(asked, timeout)
    entry = found.get(name)
    return "" if entry is None else str(entry.value or "")
