"""What a look asks Kafka: the log, the group and its members, how old the lag is.

Used by `watcher`, and only by one thread; after an error it is closed and made anew. `connections`
asks for several pipelines with one client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nrtctl.config.model import Config
from nrtctl.kafka import clients, positions, topics
from nrtctl.kafka.admin import AdminClient
from nrtctl.kafka.group_offsets import describe
from nrtctl.kafka.oldest import OldestRecords, Place
from nrtctl.kafka.partitions import LogPartition
from nrtctl.kafka.pause import paused_since
from nrtctl.stats.snapshot import Group, Member
from nrtctl.store.intents import Incarnation


@dataclass(frozen=True, slots=True)
class KafkaLook:
    """`oldest`: partition to the time of its oldest record that is not committed, in seconds since
    the epoch; only partitions with a lag whose record could be read in time. `held`: partitions in
    which all is committed up to a transaction that is open, and the offset where that begins."""

    topic: str
    partitions: list[LogPartition]
    group: Group
    oldest: dict[int, float]
    held: Mapping[int, int] = field(default_factory=dict)

    def places(self) -> list[Place]:
        """Where the oldest records lie that are not committed, and can be read."""
        return [
            (self.topic, each.partition, max(each.log_start, each.committed or 0))
            for each in self.partitions
            if each.log_end > max(each.log_start, each.committed or 0)
            and each.partition not in self.held
        ]

    def with_oldest(self, known: Mapping[Place, float]) -> KafkaLook:
        """Args: known: the time of the record at each of `places`, where it could be read."""
        oldest = {place[1]: known[place] for place in self.places() if place in known}
        return replace(self, oldest=oldest)


class KafkaSide:
    """Args: timeout: seconds that one question may take."""

    def __init__(self, config: Config, address: str, *, timeout: float) -> None:
        self._config = config
        self._timeout = timeout
        self._admin = clients.make_admin(config.kafka, address=address)
        self._address = address
        self.oldest = OldestRecords(
            config.kafka, config.consumer.group + ".stats", address=address, patience=timeout / 2
        )

    def look(self) -> KafkaLook:
        """Raises ConnectError, WaitTimeout; NrtctlError: there is no such topic."""
        found = look(self._config, self._admin, address=self._address, timeout=self._timeout)
        return found.with_oldest(self.oldest.times(found.places()))

    def close(self) -> None:
        self.oldest.close()


def look(config: Config, admin: AdminClient, *, address: str, timeout: float) -> KafkaLook:
    """All but how old the lag is; from any thread.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
        NrtctlError: there is no such topic.
    """
    topic, group = config.pipeline.topic, config.consumer.group
    marks = positions.watermarks(admin, topic, address=address, timeout=timeout)
    offsets = positions.committed(
        admin, group, topic, sorted(marks), address=address, timeout=timeout
    )
    now = topics.topic_id(admin, topic, address=address, timeout=timeout)
    members = describe(admin, group, topic, address=address, timeout=timeout)
    partitions = [
        LogPartition.of(
            number, low_high, offsets.get(number, (None, "")), Incarnation(topic_id=now)
        )
        for number, low_high in sorted(marks.items())
    ]
    return KafkaLook(
        topic,
        partitions,
        Group(
            name=group,
            state=members.state,
            members=[
                Member(each.member_id, each.client_id, each.host, list(each.partitions))
                for each in members.members
            ],
            paused_since=paused_since(admin, config, address=address, timeout=timeout),
        ),
        {},
        _held(config, partitions, admin, address=address, timeout=timeout),
    )


def _held(
    config: Config,
    partitions: Sequence[LogPartition],
    admin: AdminClient,
    *,
    address: str,
    timeout: float,
) -> dict[int, int]:
    """Raises ConnectError, WaitTimeout."""
    behind = {
        each.partition: each.committed
        for each in partitions
        if each.committed is not None and each.committed < each.log_end
    }
    level = config.kafka.properties.get("isolation.level", "read_committed")
    if not behind or level != "read_committed":
        return {}
    topic = config.pipeline.topic
    ends = positions.stable_ends(admin, topic, list(behind), address=address, timeout=timeout)
    return {number: end for number, end in ends.items() if end <= behind[number]}
