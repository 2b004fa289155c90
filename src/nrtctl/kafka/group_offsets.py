"""One group from outside: its offsets, its members. Called by `nrtctl replay`; joins no group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.errors import NrtctlError, WaitTimeout
from nrtctl.kafka import positions
from nrtctl.kafka.admin import OffsetSpec
from nrtctl.kafka.error_codes import Meaning, meaning_of, translate, translated
from nrtctl.kafka.patience import answered

HAS_MEMBERS = frozenset({Meaning.NOT_EMPTY, Meaning.FENCED, Meaning.REBALANCING})
"""Answers to an offset commit from outside: the offsets are the members' to commit."""

ASK_AGAIN = 0.5
SAY_AGAIN = 10.0


@dataclass(frozen=True, slots=True)
class Member:
    member_id: str
    client_id: str
    host: str
    partitions: tuple[int, ...]

    def __str__(self) -> str:
        held = ",".join(map(str, self.partitions)) or "none"
        return f"{self.client_id} at {self.host} (partitions {held})"


@dataclass(frozen=True, slots=True)
class Description:
    """`state`: as Kafka names it, in lower case; a group that there is not is `dead`."""

    state: str
    members: tuple[Member, ...]


def describe(admin: Any, group: str, topic: str, *, address: str, timeout: float) -> Description:
    """The state of a group, and who has which partitions of the topic.

    Raises:
        ConnectError, WaitTimeout: no answer in time.
    """
    future = admin.describe_consumer_groups([group], request_timeout=timeout)[group]
    try:
        found = future.result(timeout + 1)
    except KafkaException as error:
        if meaning_of(error) is Meaning.UNKNOWN_GROUP:
            return Description("dead", ())
        raise translate(error, address=address) from error
    return Description(
        str(found.state.name).lower(),
        tuple(
            Member(
                each.member_id,
                each.client_id,
                each.host.removeprefix("/"),
                tuple(
                    sorted(
                        part.partition
                        for part in (each.assignment.topic_partitions if each.assignment else ())
                        if part.topic == topic
                    )
                ),
            )
            for each in found.members
        ),
    )


class GroupOffsets:
    """Args: timeout: seconds that Kafka may take for an answer."""

    def __init__(
        self, admin: Any, group: str, topic: str, *, address: str, timeout: float, clock: Clock
    ) -> None:
        self._admin = admin
        self.name = self._group = group
        self._topic = topic
        self._address = address
        self._timeout = timeout
        self._clock = clock

    def members(self) -> tuple[Member, ...]:
        """Who is in the group now. Raises ConnectError, WaitTimeout."""
        return describe(
            self._admin, self._group, self._topic, address=self._address, timeout=self._timeout
        ).members

    def refuse_members(self) -> None:
        """Raises NrtctlError: the group has members; it names them."""
        if members := self.members():
            raise NrtctlError(
                f"group {self._group} has {counted(len(members), 'member')}, and nothing was "
                "moved: " + "; ".join(map(str, members)),
                hint="stop them, or use --wait to wait until they have left; a killed member "
                "leaves when its session times out (consumer.session_timeout)",
            )

    def wait_for_members(
        self,
        note: Callable[[str], None],
        timeout: float | None,
        *,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Return when the group is empty, or at once when `stopped`.

        Raises:
            WaitTimeout: not within `timeout` seconds.
        """
        began = self._clock.monotonic()
        said: float | None = None
        while (members := self.members()) and not stopped():
            now = self._clock.monotonic()
            if timeout is not None and now - began > timeout:
                raise WaitTimeout(
                    f"group {self._group} still has {counted(len(members), 'member')}, and nothing "
                    "was moved: " + "; ".join(map(str, members))
                )
            if said is None or now - said > SAY_AGAIN:
                said = now
                note("waiting until they leave: " + "; ".join(map(str, members)))
            self._clock.sleep(ASK_AGAIN)

    def at_time(self, partitions: Sequence[int], milliseconds: int) -> dict[int, int | None]:
        """The first offset at or after a time; None: no record is that new."""
        spec = OffsetSpec.for_timestamp(milliseconds)
        asked = {TopicPartition(self._topic, number): spec for number in partitions}
        with translated(self._address, topic=self._topic):
            futures = self._admin.list_offsets(asked, request_timeout=self._timeout)
            found = {
                tp.partition: int(answered(future, self._timeout).offset)
                for tp, future in futures.items()
            }
        return {number: None if offset < 0 else offset for number, offset in found.items()}

    def committed(self, partitions: Sequence[int]) -> dict[int, tuple[int | None, str]]:
        """Committed offset (None: none) and metadata, by partition."""
        return positions.committed(
            self._admin,
            self._group,
            self._topic,
            partitions,
            address=self._address,
            timeout=self._timeout,
            clock=self._clock,
        )

    def forget(self) -> None:
        """Delete the group, if there is one. Raises NrtctlError: it has members."""
        futures = self._admin.delete_consumer_groups([self._group], request_timeout=self._timeout)
        try:
            answered(futures[self._group], self._timeout)
        except KafkaException as error:
            if meaning_of(error) is not Meaning.UNKNOWN_GROUP:
                raise translate(error, address=self._address) from error

    def commit_offsets(self, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Set (offset, metadata) by partition, all in one request.

        Raises:
            NrtctlError: Kafka refuses it, since the group has members, say.
        """
        asked = ConsumerGroupTopicPartitions(
            self._group,
            [
                TopicPartition(self._topic, number, offset, metadata)
                for number, (offset, metadata) in offsets.items()
            ],
        )
        try:
            with translated(self._address, topic=self._topic):
                futures = self._admin.alter_consumer_group_offsets(
                    [asked], request_timeout=self._timeout
                )
                for each in answered(futures[self._group], self._timeout).topic_partitions:
                    if each.error is not None:
                        raise KafkaException(each.error)
        except NrtctlError as error:
            if meaning_of(error) in HAS_MEMBERS:
                raise NrtctlError(
                    f"Kafka does not move group {self._group}, because a member has joined it",
                    hint="stop the consumers, and run the same command again",
                ) from error
            raise
