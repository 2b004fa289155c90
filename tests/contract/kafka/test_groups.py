"""The classic group protocol: error codes in each state, static members, rebalances, restarts."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.plugins.kafka_wire import Wire, batch, create_topic, produce, wait_for_topic
from tests.plugins.local_broker import LocalBroker
from tests.plugins.waiting import eventually

Connect = Callable[[str], Wire]


def subscription(*topics: str) -> bytes:
    body = struct.pack(">hi", 1, len(topics))
    for topic in topics:
        body += struct.pack(">h", len(topic)) + topic.encode()
    return body + struct.pack(">ii", -1, 0)


class Member:
    """A group member on its own connection, one request at a time."""

    def __init__(self, wire: Wire, group: str, instance_id: str | None = None) -> None:
        self.wire = wire
        self.group = group
        self.instance_id = instance_id
        self.member_id = ""
        self.generation = -1

    def join_request(self, **changes: Any) -> dict[str, Any]:
        return {
            "group_id": self.group,
            "session_timeout": 10_000,
            "rebalance_timeout": 10_000,
            "member_id": self.member_id,
            "group_instance_id": self.instance_id,
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": subscription("topic")}],
            "reason": None,
        } | changes

    def start_join(self, **changes: Any) -> int:
        return self.wire.send("join_group", 7, **self.join_request(**changes))

    def finish_join(self, correlation_id: int) -> Any:
        answer = self.wire.receive("join_group", 7, correlation_id)
        if answer.error_code == ErrorCode.none:
            self.member_id = answer.member_id
            self.generation = answer.generation_id
        return answer

    def ask_id(self) -> None:
        answer = self.wire.call("join_group", 7, **self.join_request())
        assert answer.error_code == ErrorCode.member_id_required
        self.member_id = answer.member_id

    def join(self, **changes: Any) -> Any:
        """Join to the end; a dynamic member asks for its id first."""
        if not self.member_id and self.instance_id is None:
            self.ask_id()
        return self.finish_join(self.start_join(**changes))

    def _identity(self) -> dict[str, Any]:
        return {
            "group_id": self.group,
            "generation_id": self.generation,
            "member_id": self.member_id,
            "group_instance_id": self.instance_id,
        }

    def start_sync(self, assignments: dict[str, bytes] | None = None, **changes: Any) -> int:
        values = self._identity() | {
            "protocol_type": "consumer",
            "protocol_name": "range",
            "assignments": [
                {"member_id": id_, "assignment": data} for id_, data in (assignments or {}).items()
            ],
        }
        return self.wire.send("sync_group", 5, **(values | changes))

    def sync(self, assignments: dict[str, bytes] | None = None, **changes: Any) -> Any:
        return self.wire.receive("sync_group", 5, self.start_sync(assignments, **changes))

    def heartbeat(self, **changes: Any) -> ErrorCode:
        answer = self.wire.call("heartbeat", 4, **(self._identity() | changes))
        return ErrorCode(answer.error_code)

    def leave(self) -> ErrorCode:
        member = {
            "member_id": self.member_id,
            "group_instance_id": self.instance_id,
            "reason": None,
        }
        answer = self.wire.call("leave_group", 5, group_id=self.group, members=[member])
        return ErrorCode(answer.error_code or answer.members[0].error_code)

    def commit(self, topic: str, offset: int, metadata: str = "", **changes: Any) -> ErrorCode:
        values = {
            "group_id": self.group,
            "generation_id_or_member_epoch": self.generation,
            "member_id": self.member_id,
            "group_instance_id": self.instance_id,
            "topics": [
                {
                    "name": topic,
                    "partitions": [
                        {
                            "partition_index": 0,
                            "committed_offset": offset,
                            "committed_leader_epoch": -1,
                            "committed_metadata": metadata,
                        }
                    ],
                }
            ],
        }
        answer = self.wire.call("offset_commit", 8, **(values | changes))
        return ErrorCode(answer.topics[0].partitions[0].error_code)


def stable(broker: Broker, wire: Connect, group: str, count: int = 1) -> list[Member]:
    """`count` members in a stable group, the leader first."""
    members = [Member(wire(broker.bootstrap), group) for _ in range(count)]
    for member in members:
        member.ask_id()
    rebalance(members)
    return members


def rebalance(members: list[Member]) -> None:
    """All join and sync; assignments are the members' ids. The leader comes first afterwards."""
    waiting = [(member, member.start_join()) for member in members]
    leaders = [member for member, id_ in waiting if member.finish_join(id_).members]
    assert len(leaders) == 1
    members.sort(key=lambda member: member is not leaders[0])
    assignments = {member.member_id: member.member_id.encode() for member in members}
    syncs = [
        (member, member.start_sync(assignments if member is leaders[0] else None))
        for member in reversed(members)
    ]
    for member, id_ in syncs:
        answer = member.wire.receive("sync_group", 5, id_)
        assert answer.error_code == ErrorCode.none
        assert answer.assignment == member.member_id.encode()


@pytest.fixture(autouse=True)
def _coordinator_is_there(broker: Broker, connection: Wire, group: str) -> None:
    wait_for_coordinator(connection, group)


def wait_for_coordinator(connection: Wire, group: str) -> None:
    """Apache Kafka makes its offsets topic when first asked, and loads it after a start."""

    def found() -> bool:
        answer = connection.call("find_coordinator", 2, key=group, key_type=0)
        if answer.error_code != ErrorCode.none:
            return False
        described = connection.call("describe_groups", 5, groups=(group,)).groups[0]
        return bool(described.error_code == ErrorCode.none)

    eventually(found, "the group's coordinator")


def state(connection: Wire, group: str) -> str:
    return str(connection.call("describe_groups", 5, groups=(group,)).groups[0].group_state)


def test_a_group_from_empty_to_stable_and_back(
    broker: Broker, connection: Wire, wire: Connect, group: str
) -> None:
    assert state(connection, group) == "Dead"
    members = stable(broker, wire, group, 2)
    assert state(connection, group) == "Stable"
    assert [member.heartbeat() for member in members] == [ErrorCode.none] * 2
    described = connection.call("describe_groups", 5, groups=(group,)).groups[0]
    assert described.protocol_type == "consumer"
    assert described.protocol_data == "range"
    assert {member.member_id for member in described.members} == {m.member_id for m in members}
    assert {member.member_assignment for member in described.members} == {
        m.member_id.encode() for m in members
    }
    assert described.members[0].client_id == "wire"
    assert described.members[0].client_host == "/127.0.0.1"
    assert described.authorized_operations == -(2**31)
    told = connection.call(
        "describe_groups", 5, groups=(group,), include_authorized_operations=True
    ).groups[0]
    assert told.authorized_operations == sum(1 << code for code in (3, 6, 8, 10, 11))
    listed = connection.call("list_groups", 5, states_filter=("Stable",), types_filter=())
    assert group in {found.group_id for found in listed.groups}
    assert [member.leave() for member in members] == [ErrorCode.none] * 2
    assert state(connection, group) == "Empty"


def test_join_errors(connection: Wire, group: str) -> None:
    member = Member(connection, group)

    def code(**changes: Any) -> ErrorCode:
        return ErrorCode(
            member.wire.call("join_group", 7, **member.join_request(**changes)).error_code
        )

    assert code(group_id="") == ErrorCode.invalid_group_id
    assert code(session_timeout=10) == ErrorCode.invalid_session_timeout
    assert code(session_timeout=2_000_000_000) == ErrorCode.invalid_session_timeout
    assert code(member_id="nobody") == ErrorCode.unknown_member_id
    assert code(protocols=()) == ErrorCode.inconsistent_group_protocol
    assert code(protocol_type="") == ErrorCode.inconsistent_group_protocol


def test_protocols_must_agree(broker: Broker, wire: Connect, group: str) -> None:
    stable(broker, wire, group)
    other = Member(wire(broker.bootstrap), group)
    refused = ErrorCode.inconsistent_group_protocol
    changed = [{"name": "roundrobin", "metadata": b""}]
    assert other.finish_join(other.start_join(protocols=changed)).error_code == refused
    assert other.finish_join(other.start_join(protocol_type="connect")).error_code == refused


def test_unknown_groups_and_members(
    broker: Broker, connection: Wire, wire: Connect, group: str
) -> None:
    nobody = Member(connection, group)
    nobody.member_id, nobody.generation = "nobody", 1
    unknown = ErrorCode.unknown_member_id
    assert nobody.heartbeat() == unknown
    assert nobody.sync().error_code == unknown
    assert nobody.leave() == unknown
    stable(broker, wire, group)
    assert nobody.heartbeat() == unknown
    assert nobody.sync().error_code == unknown
    assert nobody.leave() == unknown


def test_generations_are_checked(broker: Broker, wire: Connect, group: str, topic: str) -> None:
    (member,) = stable(broker, wire, group)
    illegal = ErrorCode.illegal_generation
    for other in (member.generation - 1, member.generation + 1):
        assert member.heartbeat(generation_id=other) == illegal
        assert member.sync(generation_id=other).error_code == illegal
        assert member.commit(topic, 1, generation_id_or_member_epoch=other) == illegal
    assert member.sync(protocol_name="other").error_code == ErrorCode.inconsistent_group_protocol
    assert member.heartbeat() == ErrorCode.none


def test_commits_before_during_and_after_a_rebalance(
    broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
) -> None:
    """What exactly-once rests on: a member that lost its generation cannot commit."""
    (first,) = stable(broker, wire, group)
    assert first.commit(topic, 10) == ErrorCode.none
    second = Member(wire(broker.bootstrap), group)
    second.ask_id()
    second_joins = second.start_join()
    while first.heartbeat() == ErrorCode.none:
        pass
    assert first.heartbeat() == ErrorCode.rebalance_in_progress
    assert first.sync().error_code == ErrorCode.rebalance_in_progress
    assert first.commit(topic, 11) == ErrorCode.none
    old_generation = first.generation
    assert first.join().error_code == ErrorCode.none
    assert second.finish_join(second_joins).error_code == ErrorCode.none
    assert state(connection, group) == "CompletingRebalance"
    assert first.heartbeat() == ErrorCode.none
    assert first.commit(topic, 12) == ErrorCode.rebalance_in_progress
    assert first.commit(topic, 12, generation_id_or_member_epoch=old_generation) == (
        ErrorCode.illegal_generation
    )
    second_syncs = second.start_sync()
    assert first.sync({first.member_id: b"1", second.member_id: b"2"}).assignment == b"1"
    assert second.wire.receive("sync_group", 5, second_syncs).assignment == b"2"
    assert first.commit(topic, 13, generation_id_or_member_epoch=old_generation) == (
        ErrorCode.illegal_generation
    )
    assert first.commit(topic, 14) == ErrorCode.none
    assert second.leave() == ErrorCode.none
    assert second.commit(topic, 15) == ErrorCode.unknown_member_id
    assert committed(connection, group, topic) == (14, "")


def committed(connection: Wire, group: str, topic: str) -> tuple[int, str]:
    answer = connection.call(
        "offset_fetch",
        7,
        group_id=group,
        topics=[{"name": topic, "partition_indexes": (0,)}],
        require_stable=True,
    )
    assert answer.error_code == ErrorCode.none
    partition = answer.topics[0].partitions[0]
    return partition.committed_offset, partition.metadata


def test_commits_without_membership(
    broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
) -> None:
    """The administrator's commits: only while the group has no members."""
    admin = Member(connection, group)
    assert admin.commit(topic, 5, generation_id_or_member_epoch=3) == (ErrorCode.illegal_generation)
    assert admin.commit(topic, 5) == ErrorCode.none
    assert admin.commit(topic, 6, member_id="nobody") == ErrorCode.none
    (member,) = stable(broker, wire, group)
    assert admin.commit(topic, 7) == ErrorCode.unknown_member_id
    assert admin.commit(topic, 7, generation_id_or_member_epoch=member.generation) == (
        ErrorCode.unknown_member_id
    )
    assert committed(connection, group, topic)[0] == 6
    assert member.leave() == ErrorCode.none
    assert admin.commit(topic, 8) == ErrorCode.none
    assert committed(connection, group, topic)[0] == 8


def test_commit_metadata_comes_back(connection: Wire, group: str, topic: str) -> None:
    admin = Member(connection, group)
    for metadata in ('{"v":1,"end":123456}', "", "žluťoučký €", "x" * 4096, "é" * 4096):
        assert admin.commit(topic, 1, metadata) == ErrorCode.none
        assert committed(connection, group, topic) == (1, metadata)
    for metadata in ("x" * 4097, "é" * 4097, "😀" * 2049):
        assert admin.commit(topic, 2, metadata) == ErrorCode.offset_metadata_too_large
    assert committed(connection, group, topic)[0] == 1
    assert admin.commit("no-such-topic", 1) == ErrorCode.unknown_topic_or_partition


def test_nothing_committed_is_minus_1(connection: Wire, group: str, topic: str) -> None:
    assert committed(connection, group, topic) == (-1, "")


def test_all_committed_offsets_of_several_groups(connection: Wire, group: str, topic: str) -> None:
    Member(connection, group).commit(topic, 3, "m")
    answer = connection.call(
        "offset_fetch",
        8,
        groups=[
            {"group_id": group, "topics": None},
            {"group_id": group + "-none", "topics": None},
        ],
        require_stable=False,
    )
    found = {one.group_id: one for one in answer.groups}
    partition = found[group].topics[0].partitions[0]
    assert (found[group].topics[0].name, partition.committed_offset) == (topic, 3)
    assert partition.metadata == "m"
    assert found[group + "-none"].topics == ()


def test_a_follower_that_joins_again_changes_nothing_the_leader_does(
    broker: Broker, wire: Connect, group: str
) -> None:
    leader, follower = stable(broker, wire, group, 2)
    before = follower.generation
    answer = follower.join()
    assert (answer.error_code, answer.generation_id) == (ErrorCode.none, before)
    assert answer.leader == leader.member_id
    assert follower.sync().assignment == follower.member_id.encode()
    joining = leader.start_join()
    while follower.heartbeat() == ErrorCode.none:
        pass
    follower_joins = follower.start_join()
    assert leader.finish_join(joining).generation_id == before + 1
    assert follower.finish_join(follower_joins).generation_id == before + 1


def test_a_joined_member_that_asks_again_before_the_sync_gets_the_same_answer(
    broker: Broker, wire: Connect, group: str
) -> None:
    member = Member(wire(broker.bootstrap), group)
    first = member.join()
    again = member.join()
    assert again.generation_id == first.generation_id
    assert [found.member_id for found in again.members] == [member.member_id]


def test_a_member_whose_session_ends_is_removed(
    broker: Broker, connection: Wire, wire: Connect, group: str
) -> None:
    member = Member(wire(broker.bootstrap), group)
    assert member.join(session_timeout=1_000).error_code == ErrorCode.none
    member.sync({member.member_id: b"a"})  # where this machine is slow, it is over by then
    eventually(lambda: state(connection, group) == "Empty", "an empty group")
    assert member.heartbeat() == ErrorCode.unknown_member_id


def join_until_alone(member: Member) -> None:
    """Follow rebalances until nobody else is in the group."""

    def alone() -> bool:
        if member.heartbeat() == ErrorCode.none:
            return False
        answer = member.join()
        assert answer.error_code == ErrorCode.none
        member.sync({member.member_id: b"all"})
        return [each.member_id for each in answer.members] == [member.member_id]

    eventually(alone, "a group without the member that has left")


def test_leaving_while_the_join_waits_for_others(broker: Broker, wire: Connect, group: str) -> None:
    """As a consumer that is stopped just after its start. Its session would last for minutes."""
    (stays,) = stable(broker, wire, group)
    leaves = Member(wire(broker.bootstrap), group)
    leaves.ask_id()
    leaves.start_join(session_timeout=300_000)
    member = {"member_id": leaves.member_id, "group_instance_id": None, "reason": None}
    leaves.wire.send("leave_group", 5, group_id=group, members=[member])
    leaves.wire.close()
    join_until_alone(stays)


def test_a_client_that_is_gone_while_its_join_waits_is_not_waited_for(
    local_broker: LocalBroker, wire: Connect, group: str
) -> None:
    """Apache Kafka lets it in, and waits for its session to end."""
    (stays,) = stable(local_broker, wire, group)
    gone = Member(wire(local_broker.bootstrap), group)
    gone.ask_id()
    gone.start_join(session_timeout=300_000)
    other = wire(local_broker.bootstrap)
    eventually(lambda: state(other, group) == "PreparingRebalance", "the join has begun")
    gone.wire.close()
    join_until_alone(stays)


class TestStaticMembership:
    def test_a_restarted_member_keeps_its_assignment(
        self, broker: Broker, wire: Connect, group: str
    ) -> None:
        old = Member(wire(broker.bootstrap), group, "one")
        assert old.join().error_code == ErrorCode.none
        assert old.sync({old.member_id: b"mine"}).assignment == b"mine"
        new = Member(wire(broker.bootstrap), group, "one")
        answer = new.join()
        assert (answer.error_code, answer.generation_id) == (ErrorCode.none, old.generation)
        assert new.member_id != old.member_id
        assert new.sync().assignment == b"mine"
        assert new.heartbeat() == ErrorCode.none

    def test_the_one_it_replaced_is_fenced(
        self, broker: Broker, wire: Connect, group: str, topic: str
    ) -> None:
        old = Member(wire(broker.bootstrap), group, "one")
        old.join()
        old.sync({old.member_id: b"mine"})
        Member(wire(broker.bootstrap), group, "one").join()
        fenced = ErrorCode.fenced_instance_id
        assert old.heartbeat() == fenced
        assert old.sync().error_code == fenced
        assert old.commit(topic, 1) == fenced
        assert old.finish_join(old.start_join()).error_code == fenced
        assert old.leave() == fenced

    def test_the_leader_that_comes_back_may_skip_the_assignment(
        self, broker: Broker, wire: Connect, group: str
    ) -> None:
        old = Member(wire(broker.bootstrap), group, "one")
        old.join()
        old.sync({old.member_id: b"mine"})
        connection = wire(broker.bootstrap)
        request = Member(connection, group, "one").join_request()
        answer = connection.call("join_group", 9, **request)
        assert answer.skip_assignment
        assert answer.leader == answer.member_id
        assert [found.group_instance_id for found in answer.members] == ["one"]

    def test_unknown_instances(self, broker: Broker, wire: Connect, group: str) -> None:
        stable(broker, wire, group)
        stranger = Member(wire(broker.bootstrap), group, "nobody")
        stranger.member_id, stranger.generation = "x", 1
        assert stranger.heartbeat() == ErrorCode.unknown_member_id
        assert stranger.leave() == ErrorCode.unknown_member_id

    def test_an_administrator_removes_it_by_instance(
        self, broker: Broker, connection: Wire, wire: Connect, group: str
    ) -> None:
        member = Member(wire(broker.bootstrap), group, "one")
        member.join()
        member.sync({member.member_id: b"mine"})
        answer = connection.call(
            "leave_group",
            5,
            group_id=group,
            members=[{"member_id": "", "group_instance_id": "one", "reason": "test"}],
        )
        assert answer.members[0].error_code == ErrorCode.none
        assert state(connection, group) == "Empty"
        assert member.heartbeat() == ErrorCode.unknown_member_id


class TestAdministration:
    def delete(self, connection: Wire, group: str) -> ErrorCode:
        answer = connection.call("delete_groups", 2, groups_names=(group,))
        return ErrorCode(answer.results[0].error_code)

    def delete_offset(self, connection: Wire, group: str, topic: str) -> tuple[ErrorCode, Any]:
        answer = connection.call(
            "offset_delete",
            0,
            group_id=group,
            topics=[{"name": topic, "partitions": [{"partition_index": 0}]}],
        )
        if not answer.topics:
            return ErrorCode(answer.error_code), None
        return ErrorCode(answer.error_code), answer.topics[0].partitions[0].error_code

    def test_a_group_with_members_is_not_deleted(
        self, broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
    ) -> None:
        assert self.delete(connection, group) == ErrorCode.group_id_not_found
        (member,) = stable(broker, wire, group)
        member.commit(topic, 4)
        assert self.delete(connection, group) == ErrorCode.non_empty_group
        member.leave()
        assert self.delete(connection, group) == ErrorCode.none
        assert state(connection, group) == "Dead"
        assert committed(connection, group, topic) == (-1, "")

    def test_offsets_of_subscribed_topics_are_not_deleted(
        self,
        broker: Broker,
        connection: Wire,
        wire: Connect,
        group: str,
        new_topic: Callable[..., str],
    ) -> None:
        topic, other = new_topic(), new_topic()
        assert self.delete_offset(connection, group, topic)[0] == ErrorCode.group_id_not_found
        member = Member(wire(broker.bootstrap), group)
        member.ask_id()
        protocols = [{"name": "range", "metadata": subscription(topic)}]
        member.finish_join(member.start_join(protocols=protocols))
        member.sync({member.member_id: b"a"})
        member.commit(topic, 4)
        member.commit(other, 4)
        subscribed = (ErrorCode.none, ErrorCode.group_subscribed_to_topic)
        assert self.delete_offset(connection, group, topic) == subscribed
        assert self.delete_offset(connection, group, other) == (ErrorCode.none, ErrorCode.none)
        assert committed(connection, group, other)[0] == -1
        assert committed(connection, group, topic)[0] == 4

    def test_a_topic_changed_and_deleted_under_a_live_group(
        self, broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
    ) -> None:
        """The members stay what they were; the offsets go, and do not come back with the name."""
        (member,) = stable(broker, wire, group)
        assert member.commit(topic, 4) == ErrorCode.none
        config = {"name": "max.message.bytes", "config_operation": 0, "value": "1000"}
        resource = {"resource_type": 2, "resource_name": topic, "configs": [config]}
        connection.call("incremental_alter_configs", 1, resources=[resource], validate_only=False)
        too_large = batch([b"x" * 2000])
        eventually(
            lambda: produce(connection, topic, too_large).error_code == ErrorCode.message_too_large,
            "the topic's limit",
        )
        assert member.heartbeat() == ErrorCode.none
        assert member.commit(topic, 5) == ErrorCode.none
        connection.call(
            "delete_topics", 6, topics=[{"name": topic, "topic_id": None}], timeout=10_000
        )
        eventually(lambda: committed(connection, group, topic)[0] == -1, "the offset is forgotten")
        assert member.heartbeat() == ErrorCode.none
        assert member.sync().assignment == member.member_id.encode()
        assert member.commit(topic, 6) == ErrorCode.unknown_topic_or_partition
        assert create_topic(connection, topic).error_code == ErrorCode.none
        wait_for_topic(connection, topic)
        assert committed(connection, group, topic)[0] == -1
        assert member.commit(topic, 7) == ErrorCode.none
        assert committed(connection, group, topic)[0] == 7


@dear_on_apache
def test_a_restart_in_mid_generation_costs_nobody_their_assignment(
    broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
) -> None:
    members = stable(broker, wire, group, 2)
    static = Member(wire(broker.bootstrap), group + "-static", "one")
    static.join()
    static.sync({static.member_id: b"mine"})
    assert members[0].commit(topic, 42, '{"end":50}') == ErrorCode.none
    if broker.name == "embedded":
        broker.kill()
    else:
        broker.stop()
    broker.start()
    again = wire(broker.bootstrap)
    wait_for_topic(again, topic)
    wait_for_coordinator(again, group)
    assert committed(again, group, topic) == (42, '{"end":50}')
    for member in (*members, static):
        member.wire = wire(broker.bootstrap)
        assert member.heartbeat() == ErrorCode.none
    assert [member.sync().assignment for member in members] == [
        member.member_id.encode() for member in members
    ]
    assert members[1].commit(topic, 43) == ErrorCode.none
    assert static.sync().assignment == b"mine"
