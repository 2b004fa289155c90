"""What exactly-once rests on: whoever may have lost its partitions cannot commit an offset."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kio.schema.errors import ErrorCode

from tests.contract.kafka.conftest import Broker, dear_on_apache
from tests.contract.kafka.test_groups import (
    Member,
    committed,
    rebalance,
    stable,
    state,
    wait_for_coordinator,
)
from tests.plugins.kafka_wire import Wire, wait_for_topic
from tests.plugins.waiting import eventually

Connect = Callable[[str], Wire]


@pytest.fixture(autouse=True)
def _coordinator_is_there(broker: Broker, connection: Wire, group: str) -> None:
    wait_for_coordinator(connection, group)


def test_a_member_whose_session_ended_cannot_commit(
    broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
) -> None:
    member = Member(wire(broker.bootstrap), group)
    member.join(session_timeout=1_000)
    member.sync({member.member_id: b"a"})
    assert member.commit(topic, 1) == ErrorCode.none
    eventually(lambda: state(connection, group) == "Empty", "an empty group")
    assert member.commit(topic, 2) == ErrorCode.unknown_member_id
    (successor,) = stable(broker, wire, group)
    assert member.commit(topic, 3) == ErrorCode.unknown_member_id
    assert member.commit(topic, 3, generation_id_or_member_epoch=successor.generation) == (
        ErrorCode.unknown_member_id
    )
    assert committed(connection, group, topic) == (1, "")


def test_a_member_that_missed_the_rebalance_cannot_commit(
    broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
) -> None:
    stays, stalls = (Member(wire(broker.bootstrap), group) for _ in range(2))
    for member in (stays, stalls):
        member.ask_id()
    waiting = [(member, member.start_join(rebalance_timeout=1_000)) for member in (stays, stalls)]
    leaders = [member for member, id_ in waiting if member.finish_join(id_).members]
    first = leaders[0].start_sync({stays.member_id: b"1", stalls.member_id: b"2"})
    for member in (stays, stalls):
        id_ = first if member is leaders[0] else member.start_sync()
        assert member.wire.receive("sync_group", 5, id_).error_code == ErrorCode.none
    assert stalls.commit(topic, 1) == ErrorCode.none
    joiner = Member(wire(broker.bootstrap), group)
    joiner.ask_id()
    joining = joiner.start_join(rebalance_timeout=1_000)
    while stays.heartbeat() == ErrorCode.none:
        pass
    rejoining = stays.start_join(rebalance_timeout=1_000)
    assert stays.finish_join(rejoining).error_code == ErrorCode.none
    assert joiner.finish_join(joining).error_code == ErrorCode.none
    assert state(connection, group) == "CompletingRebalance"
    for generation in (stalls.generation, stays.generation):
        assert stalls.commit(topic, 2, generation_id_or_member_epoch=generation) == (
            ErrorCode.unknown_member_id
        )
    assert committed(connection, group, topic) == (1, "")


@dear_on_apache
def test_who_was_fenced_before_a_restart_is_fenced_after_it(
    broker: Broker, connection: Wire, wire: Connect, group: str, topic: str
) -> None:
    stays, leaves = stable(broker, wire, group, 2)
    before = stays.generation
    assert leaves.commit(topic, 1) == ErrorCode.none
    assert leaves.leave() == ErrorCode.none
    rebalance([stays])
    assert stays.generation > before
    emptied = group + "-emptied"
    (gone,) = stable(broker, wire, emptied)
    assert gone.commit(topic, 5) == ErrorCode.none
    assert gone.leave() == ErrorCode.none
    if broker.name == "embedded":
        broker.kill()
    else:
        broker.stop()
    broker.start()
    again = wire(broker.bootstrap)
    wait_for_topic(again, topic)
    wait_for_coordinator(again, group)
    wait_for_coordinator(again, emptied)
    for member in (stays, leaves, gone):
        member.wire = wire(broker.bootstrap)
    assert leaves.commit(topic, 2) == ErrorCode.unknown_member_id
    assert leaves.commit(topic, 2, generation_id_or_member_epoch=stays.generation) == (
        ErrorCode.unknown_member_id
    )
    assert stays.commit(topic, 2, generation_id_or_member_epoch=before) == (
        ErrorCode.illegal_generation
    )
    assert gone.commit(topic, 6) == ErrorCode.unknown_member_id
    assert committed(again, group, topic) == (1, "")
    assert committed(again, emptied, topic) == (5, "")
    assert stays.commit(topic, 3) == ErrorCode.none
