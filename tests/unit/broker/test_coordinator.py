"""The coordinator by itself: time is a number, timers are a list, replies are collected."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nrtctl.local.broker.groups.coordinator import Coordinator, Join
from nrtctl.local.broker.groups.group import State
from nrtctl.local.broker.groups.store import Committed, GroupStore
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

Answer = dict[str, Any]


class Time:
    """A clock that moves when told to, and runs the timers that come due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + delay, next(self._order), timer))
        return timer

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.callback()
        self.now = end

    def live_timers(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._timers)


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """A coordinator with its store; `reopen` is a restart of the broker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.time = Time()
        self._open()

    def _open(self) -> None:
        self.store = GroupStore(self.path / "journal", always_sync=False)
        self.coordinator = Coordinator(
            self.store,
            clock=lambda: self.time.now,
            call_later=self.time.call_later,
            initial_delay_ms=50,
            min_session_timeout_ms=6_000,
        )

    def reopen(self) -> None:
        self.store.close()
        self.time = Time()
        self._open()

    def join(self, member_id: str = "", **changes: Any) -> list[Answer]:
        answers: list[Answer] = []
        values: dict[str, Any] = {
            "group_id": "g",
            "member_id": member_id,
            "instance_id": None,
            "client_id": "c",
            "client_host": "/127.0.0.1",
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 30_000,
            "protocol_type": "consumer",
            "protocols": [("range", b"")],
        }
        self.coordinator.join(Join(**(values | changes)), answers.append)
        return answers

    def new_id(self) -> str:
        (answer,) = self.join()
        assert answer["error_code"] == ErrorCode.member_id_required
        return str(answer["member_id"])

    def sync(
        self, member_id: str, generation: int, assignments: dict[str, bytes] | None = None
    ) -> list[Answer]:
        answers: list[Answer] = []
        self.coordinator.sync(
            "g", generation, member_id, None, (None, None), assignments or {}, answers.append
        )
        return answers

    def heartbeat(self, member_id: str, generation: int) -> ErrorCode:
        return self.coordinator.heartbeat("g", generation, member_id, None)

    def commit(self, member_id: str, generation: int, offset: int) -> ErrorCode:
        try:
            offsets = {("t", 0): Committed(offset, -1, "", 0)}
            self.coordinator.commit("g", generation, member_id, None, offsets)
        except Refused as refused:
            return refused.code
        return ErrorCode.none

    def stable(self, count: int) -> tuple[list[str], int]:
        """`count` members with their assignments, the leader first; and the generation."""
        ids = [self.new_id() for _ in range(count)]
        answers = [self.join(id_) for id_ in ids]
        self.time.pass_by(0.2)
        leader = next(answer[0] for answer in answers if answer[0]["members"])
        generation = leader["generation_id"]
        ids.sort(key=lambda id_: id_ != leader["leader"])
        for id_ in ids:
            self.sync(id_, generation, {each: each.encode() for each in ids})
        return ids, generation

    @property
    def state(self) -> State:
        return self.coordinator.groups["g"].state


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_empty_group_gathers_members_before_its_first_generation(world: World) -> None:
    first, second = world.new_id(), world.new_id()
    answers = world.join(first)
    world.time.pass_by(0.04)
    assert answers == []
    more = world.join(second)
    world.time.pass_by(0.04)
    assert (answers, more) == ([], [])
    world.time.pass_by(0.03)
    assert answers[0]["generation_id"] == more[0]["generation_id"] == 1
    assert len(answers[0]["members"]) == 2


def test_gathering_ends_with_the_rebalance_timeout(world: World) -> None:
    answers = world.join(world.new_id(), rebalance_timeout_ms=200)
    joined = 1
    while not answers:
        world.join(world.new_id(), rebalance_timeout_ms=200)
        joined += 1
        world.time.pass_by(0.01)
        assert joined < 50
    assert len(answers[0]["members"]) == joined


def test_who_does_not_join_again_in_time_is_removed(world: World) -> None:
    (leader, _), generation = world.stable(2)
    answers = world.join(leader, rebalance_timeout_ms=5_000)
    world.time.pass_by(9)
    assert answers == []
    world.time.pass_by(22)
    assert answers[0]["generation_id"] == generation + 1
    assert [member["member_id"] for member in answers[0]["members"]] == [leader]


def test_who_does_not_sync_in_time_is_removed(world: World) -> None:
    first, second = world.new_id(), world.new_id()
    answers = {first: world.join(first), second: world.join(second)}
    world.time.pass_by(0.2)
    leader = answers[first][0]["leader"]
    follower = second if leader == first else first
    waiting = world.sync(follower, 1)
    for _ in range(6):
        world.heartbeat(leader, 1)
        world.time.pass_by(5.1)
    assert waiting[0]["error_code"] == ErrorCode.rebalance_in_progress
    assert world.heartbeat(leader, 1) == ErrorCode.unknown_member_id
    assert world.heartbeat(follower, 1) == ErrorCode.rebalance_in_progress


def test_a_session_ends_only_without_life(world: World) -> None:
    (one, other), generation = world.stable(2)
    for _ in range(5):
        world.time.pass_by(4)
        assert world.heartbeat(one, generation) == ErrorCode.none
        assert world.commit(other, generation, 1) == ErrorCode.none
    world.time.pass_by(8)
    assert world.heartbeat(one, generation) == ErrorCode.none
    world.time.pass_by(3)
    assert world.heartbeat(one, generation) == ErrorCode.rebalance_in_progress
    assert world.commit(other, generation, 2) == ErrorCode.unknown_member_id


def test_who_asks_for_its_assignment_again_shows_life(world: World) -> None:
    (member,), generation = world.stable(1)
    world.time.pass_by(8)
    (answer,) = world.sync(member, generation)
    assert answer["error_code"] == ErrorCode.none
    world.time.pass_by(8)
    assert world.heartbeat(member, generation) == ErrorCode.none


def test_who_is_no_member_commits_only_where_there_are_none(world: World) -> None:
    assert world.commit("", -1, 5) == ErrorCode.none
    world.stable(1)
    assert world.commit("", -1, 6) == ErrorCode.unknown_member_id


def test_a_member_id_that_is_not_used_is_taken_back(world: World) -> None:
    (member,), _ = world.stable(1)
    unused = world.new_id()
    answers = world.join(member)
    assert answers == []
    world.time.pass_by(11)
    assert answers[0]["error_code"] == ErrorCode.none
    assert world.join(unused)[0]["error_code"] == ErrorCode.unknown_member_id


def test_static_members_outlive_a_rebalance_they_miss(world: World) -> None:
    answers = world.join(instance_id="a", session_timeout_ms=60_000)
    world.join(instance_id="b", session_timeout_ms=60_000)
    world.time.pass_by(0.2)
    leader = answers[0]["member_id"]
    group = world.coordinator.groups["g"]
    world.coordinator.sync("g", 1, leader, "a", (None, None), {}, lambda _: None)
    again = world.join(leader, instance_id="a", session_timeout_ms=60_000)
    world.time.pass_by(31)
    assert again[0]["generation_id"] == 2
    assert set(group.static_ids) == {"a", "b"}
    world.time.pass_by(60)
    assert set(group.static_ids) != {"a", "b"}


def test_the_protocol_most_members_prefer_is_chosen(world: World) -> None:
    ids = [world.new_id() for _ in range(3)]
    preferences = [["x", "y"], ["y", "x"], ["y", "x"]]
    answers = [
        world.join(id_, protocols=[(name, name.encode()) for name in names])
        for id_, names in zip(ids, preferences, strict=True)
    ]
    world.time.pass_by(0.2)
    assert {answer[0]["protocol_name"] for answer in answers} == {"y"}
    leader = next(answer[0] for answer in answers if answer[0]["members"])
    assert {member["metadata"] for member in leader["members"]} == {b"y"}


def test_a_restart_keeps_stable_groups_and_their_offsets(world: World) -> None:
    ids, generation = world.stable(3)
    assert world.commit(ids[1], generation, 7) == ErrorCode.none
    world.reopen()
    assert world.state is State.STABLE
    assert [world.heartbeat(id_, generation) for id_ in ids] == [ErrorCode.none] * 3
    assert [world.sync(id_, generation)[0]["assignment"] for id_ in ids] == [
        id_.encode() for id_ in ids
    ]
    assert world.store.offsets["g"]["t", 0].offset == 7
    assert world.commit(ids[2], generation, 8) == ErrorCode.none
    world.time.pass_by(20)
    assert world.heartbeat(ids[0], generation) == ErrorCode.unknown_member_id


def test_a_store_that_cannot_be_written_costs_no_rebalance(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(world.store, "save_group", full)
    ids, generation = world.stable(2)
    assert [world.heartbeat(id_, generation) for id_ in ids] == [ErrorCode.none] * 2


def test_deleting_a_group_leaves_no_timers(world: World) -> None:
    world.new_id()
    world.coordinator.groups["g"].state = State.EMPTY
    world.coordinator.delete("g")
    assert world.time.live_timers() == 0


class Groups(RuleBasedStateMachine):
    """Members that join, sync, stall, leave and commit in any order, with restarts between.

    What must hold: a commit is accepted only from a member of the present generation, and no
    generation number is ever given to two different sets of assignments.
    """

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.world = World(Path(self.directory.name))
        self.members: dict[str, int] = {}
        self.joining: dict[str, list[Answer]] = {}
        self.assigned: dict[int, dict[str, bytes]] = {}
        self.stamp = itertools.count()

    def teardown(self) -> None:
        self.world.store.close()
        self.directory.cleanup()

    def collect(self) -> None:
        for member_id, answers in list(self.joining.items()):
            if answers:
                del self.joining[member_id]
                if answers[0]["error_code"] == ErrorCode.none:
                    self.members[member_id] = answers[0]["generation_id"]
                else:
                    self.members.pop(member_id, None)

    @rule()
    def a_new_member(self) -> None:
        if len(self.members) < 5:
            member_id = self.world.new_id()
            self.members[member_id] = -1
            self.joining[member_id] = self.world.join(member_id)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def join_again(self, data: st.DataObject) -> None:
        member_id = data.draw(st.sampled_from(list(self.members)))
        if member_id not in self.joining:
            self.joining[member_id] = self.world.join(member_id)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def sync(self, data: st.DataObject) -> None:
        member_id = data.draw(st.sampled_from(list(self.members)))
        generation = self.members[member_id]
        stamp = b"%d" % next(self.stamp)

        def synced(answer: Answer) -> None:
            if answer["error_code"] == ErrorCode.none:
                seen = self.assigned.setdefault(generation, {})
                assert seen.setdefault(member_id, answer["assignment"]) == answer["assignment"]

        self.world.coordinator.sync(
            "g",
            generation,
            member_id,
            None,
            (None, None),
            dict.fromkeys(self.members, stamp),
            synced,
        )

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        member_id = data.draw(st.sampled_from(list(self.members)))
        self.world.coordinator.leave("g", member_id, None)
        self.members.pop(member_id)
        self.joining.pop(member_id, None)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), back=st.integers(0, 2))
    def commit(self, data: st.DataObject, back: int) -> None:
        member_id = data.draw(st.sampled_from(list(self.members)))
        generation = self.members[member_id] - back
        group = self.world.coordinator.groups.get("g")
        code = self.world.commit(member_id, generation, 1)
        if code is ErrorCode.none and generation >= 0:
            assert group is not None
            assert member_id in group.members
            assert generation == group.generation
            assert group.state in (State.STABLE, State.PREPARING)

    @rule(seconds=st.sampled_from([0.1, 3.0, 12.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time.pass_by(seconds)

    @rule()
    def restart(self) -> None:
        """Assignments of generations that were not persisted were never handed out."""
        self.world.reopen()
        self.joining.clear()

    @invariant()
    def replies_are_given_once(self) -> None:
        assert all(len(answers) <= 1 for answers in self.joining.values())
        self.collect()

    @invariant()
    def a_stable_group_has_a_leader_among_its_members(self) -> None:
        for group in self.world.coordinator.groups.values():
            if group.state in (State.STABLE, State.COMPLETING):
                assert group.leader in group.members
            if group.state is State.EMPTY:
                assert not group.members


TestGroups = Groups.TestCase
TestGroups.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_client_that_is_gone_before_it_has_joined_holds_nobody_up(world: World) -> None:
    (member,), generation = world.stable(1)
    here, gone = object(), object()
    (asked,) = world.join(connection=gone)
    joining = world.join(connection=here)[0]["member_id"]
    waiting = world.join(joining, connection=here)
    answers = world.join(member)
    assert (waiting, answers) == ([], [])
    world.coordinator.disconnected(here)
    assert answers == []
    world.coordinator.disconnected(gone)
    assert answers[0]["generation_id"] == generation + 1
    assert [each["member_id"] for each in answers[0]["members"]] == [member]
    assert world.join(asked["member_id"])[0]["error_code"] == ErrorCode.unknown_member_id


def test_a_member_of_a_generation_outlives_its_connection(world: World) -> None:
    here = object()
    joined = world.join(world.join(connection=here)[0]["member_id"], connection=here)
    world.time.pass_by(0.2)
    member, generation = joined[0]["member_id"], joined[0]["generation_id"]
    world.sync(member, generation, {member: b"mine"})
    world.coordinator.disconnected(here)
    assert world.heartbeat(member, generation) == ErrorCode.none


def test_who_is_not_heard_of_after_a_restart_holds_the_others_up_for_seconds_only(
    world: World,
) -> None:
    """Its session ended while the broker was away, and it joins under a new name."""
    long: dict[str, Any] = {"session_timeout_ms": 45_000, "rebalance_timeout_ms": 300_000}
    gone, stays = world.new_id(), world.new_id()
    answers = [world.join(each, **long) for each in (gone, stays)]
    world.time.pass_by(0.2)
    leader = answers[0][0]["leader"]
    world.sync(leader, 1, {gone: b"0", stays: b"1"})
    world.sync(next(each for each in (gone, stays) if each != leader), 1)
    world.reopen()
    assert world.heartbeat(stays, 1) == ErrorCode.none
    new = world.join(world.join(**long)[0]["member_id"], **long)
    again = world.join(stays, **long)
    world.time.pass_by(5)
    assert (new, again) == ([], [])
    world.time.pass_by(2)
    assert new[0]["generation_id"] == again[0]["generation_id"] == 2
    world.time.pass_by(7)
    assert world.heartbeat(stays, 2) == ErrorCode.none


def test_a_static_member_has_its_session_to_come_back_after_a_restart(world: World) -> None:
    (joined,) = (world.join(instance_id="a", session_timeout_ms=45_000),)
    world.time.pass_by(0.2)
    member = joined[0]["member_id"]
    world.coordinator.sync("g", 1, member, "a", (None, None), {member: b"0"}, lambda _: None)
    world.reopen()
    world.time.pass_by(40)
    assert world.coordinator.heartbeat("g", 1, member, "a") == ErrorCode.none
