"""What a look asks Kafka: the log, the group and its members, how old the lag is.

Used by `watcher`, and only by one thread. After an error it is closed and made anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from nrtctl.config.model import Config
from nrtctl.kafka import clients, positions, topics
from nrtctl.kafka.group import describe
from nrtctl.kafka.oldest import OldestRecords
from nrtctl.kafka.partitions import LogPartition
from nrtctl.stats.snapshot import Group, Member
from nrtctl.store.intents import Incarnation


@dataclass(frozen=True, slots=True)
class KafkaLook:
    """`oldest`: partition to the time of its oldest record that is not committed, in seconds since
    the epoch; only partitions with a lag whose record could be read in time."""

    partitions: list[LogPartition]
    group: Group
    oldest: dict[int, float]


class KafkaSide:
    """Args: timeout: seconds that one question may take."""

    def __init__(self, config: Config, address: str, *, timeout: float) -> None:
        self._config = config
        self.address = address
        self._timeout = timeout
        self._admin = clients.make_admin(config.kafka, address=self.address)
        self.oldest = OldestRecords(
            config.kafka,
            config.pipeline.topic,
            config.consumer.group + ".stats",
            address=address,
            patience=timeout / 2,
        )

    def look(self) -> KafkaLook:
        """Raises ConnectError, WaitTimeout; NrtctlError: there is no such topic."""
        topic, group = self._config.pipeline.topic, self._config.consumer.group
        marks = positions.watermarks(
            self._admin, topic, address=self.address, timeout=self._timeout
        )
        offsets = positions.committed(
            self._admin,
            group,
            topic,
            sorted(marks),
            address=self.address,
            timeout=self._timeout,
        )
        now = topics.topic_id(self._admin, topic, address=self.address, timeout=self._timeout)
        partitions = [
            LogPartition.of(
                number, low_high, offsets.get(number, (None, "")), Incarnation(topic_id=now)
            )
            for number, low_high in sorted(marks.items())
        ]
        members = describe(self._admin, group, topic, address=self.address, timeout=self._timeout)
        wanted = {
            each.partition: max(each.log_start, each.committed or 0)
            for each in partitions
            if each.log_end > max(each.log_start, each.committed or 0)
        }
        return KafkaLook(
            partitions,
            Group(
                name=group,
                state=members.state,
                members=[
                    Member(each.member_id, each.client_id, each.host, list(each.partitions))
                    for each in members.members
                ],
            ),
            self.oldest.times(wanted),
        )

    def close(self) -> None:
        self.oldest.close()
