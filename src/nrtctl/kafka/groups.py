"""Consumer groups from outside: listed, described, deleted. Called by `nrtctl groups`.

`group_offsets` has what moves the offsets of the pipeline's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
)
from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock
from nrtctl.config.servers import Kafka
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients
from nrtctl.kafka.error_codes import Meaning, explained, meaning_of
from nrtctl.kafka.foreign_groups import foreign_state
from nrtctl.kafka.group_states import GroupMember, GroupState, GroupSummary, offsets_of
from nrtctl.kafka.patience import answered, patiently
from nrtctl.kafka.positions import await_coordinator, marks_of

T = TypeVar("T")
At = tuple[str, int]

LIST = "`nrtctl groups list` shows the groups"


class GroupsAdmin:
    """Every method may raise ConnectError and WaitTimeout: Kafka does not answer, or not in time;
    and NrtctlError where Kafka refuses what is asked."""

    def __init__(self, settings: Kafka, *, address: str, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._timeout = settings.connect_timeout
        self.client: AdminClient = clients.make_admin(settings, address=address)

    def list(self, wanted: Callable[[str], bool]) -> tuple[list[GroupSummary], list[str]]:
        """Groups by name, and what brokers have against telling theirs.

        None of them is described: that would be a request for each (`foreign_groups` says why).
        """

        answer = self._listed()
        known = {each.group_id: each for each in answer.valid if wanted(each.group_id)}
        return [
            GroupSummary(name, _word(each.state), _word(each.type))
            for name, each in sorted(known.items())
        ], [_error(each).str() for each in answer.errors]

    def _listed(self) -> Any:
        def ask(left: float) -> Any:
            answer = answered(self.client.list_consumer_groups(request_timeout=left), left)
            if answer.errors and not answer.valid:
                raise KafkaException(_error(answer.errors[0]))
            return answer

        return self._patiently(ask)

    def state(self, name: str) -> GroupState:
        """Raises NrtctlError: there is no such group."""
        foreign = self._patiently(lambda left: foreign_state(self.client, name, timeout=left))
        if foreign is not None:
            return foreign

        def ask(left: float) -> Any:
            futures = self.client.describe_consumer_groups([name], request_timeout=left)
            try:
                return answered(futures[name], left)
            except KafkaException as error:
                if meaning_of(error) is Meaning.UNKNOWN_GROUP:
                    raise self.unknown(name) from error
                raise

        found = self._patiently(ask)
        members = tuple(map(_member, found.members))
        committed = self._patiently(lambda left: self._committed(name, left))
        if _word(found.state) == "dead" and not committed:
            raise self.unknown(name)
        held = {at for member in members for at in member.partitions}
        marks = self._patiently(
            lambda left: marks_of(self.client, sorted(committed.keys() | held), timeout=left)
        )
        at = found.coordinator
        return GroupState(
            name,
            _word(found.state),
            _word(found.type),
            found.partition_assignor or "",
            f"{at.host}:{at.port}" if at is not None else "",
            members,
            offsets_of(committed, marks, members),
        )

    def _committed(self, name: str, left: float) -> dict[At, tuple[int | None, str]]:
        await_coordinator(self.client, name, timeout=left)
        asked = ConsumerGroupTopicPartitions(name)
        future = self.client.list_consumer_group_offsets([asked], request_timeout=left)[name]
        found: dict[At, tuple[int | None, str]] = {}
        for each in answered(future, left).topic_partitions or ():
            if each.error is not None:
                raise KafkaException(each.error)
            offset = None if each.offset == OFFSET_INVALID else int(each.offset)
            found[each.topic, each.partition] = (offset, each.metadata or "")
        return found

    def delete(self, name: str) -> None:
        """With its offsets. Raises NrtctlError: it has members, or there is no such group."""
        futures = self.client.delete_consumer_groups([name], request_timeout=self._timeout)
        try:
            answered(futures[name], self._timeout)
        except KafkaException as error:
            if meaning_of(error) is Meaning.UNKNOWN_GROUP:
                raise self.unknown(name) from error
            doing = f"group {name!r} cannot be deleted"
            raise explained(self.client, error, address=self._address, doing=doing) from error

    def unknown(self, name: str) -> NrtctlError:
        """That there is no such group, with one that is written nearly so."""
        import difflib

        names = [each.group_id for each in self._listed().valid]
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}? {LIST}" if near else LIST
        return NrtctlError(f"there is no consumer group {name!r}", hint=hint)

    def _patiently(self, ask: Callable[[float], T]) -> T:
        return patiently(ask, self.client, self._address, None, self._timeout, self._clock)


def _error(given: KafkaError | KafkaException) -> KafkaError:
    found: KafkaError = given.args[0] if isinstance(given, KafkaException) else given
    return found


def _member(found: Any) -> GroupMember:
    return GroupMember(
        found.client_id,
        found.host.lstrip("/"),
        found.member_id,
        found.group_instance_id,
        tuple(sorted((tp.topic, tp.partition) for tp in found.assignment.topic_partitions)),
    )


def _word(state: Any) -> str:
    """An enum of confluent-kafka's as text: `stable`, `preparing rebalance`."""
    name = getattr(state, "name", "")
    return name.lower().replace("_", " ").replace("rebalancing", "rebalance") or "unknown"
