"""The group coordinator: who is a member, which generation holds, who may commit.

Follows Apache Kafka's classic group protocol (KIP-62, 345, 394, 559, 814), state by state and code
by code. No I/O and no event loop: replies are callbacks, time and timers are passed in, and what
must survive goes to a `GroupStore`. Called by `handlers.groups`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nrtctl.local.broker.groups.group import Group, Member, Pending, Reply, State
from nrtctl.local.broker.groups.rebalance import CallLater, Rebalancing, join_error, sync_error
from nrtctl.local.broker.groups.store import Committed, GroupStore, Partition
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

MAX_SESSION_TIMEOUT_MS: Final = 1_800_000
MAX_MEMBERS: Final = 1_000
MAX_GROUPS: Final = 10_000
RESTORED_MS: Final = 6_000
"""After a restart, how long a member may take until it is heard of. A client that lives is back
within its longest pause between two tries and one heartbeat. Who has left meanwhile, or whose
session has ended and who joins under a new name, would hold up the others for a whole session.
Apache Kafka waits for it; a single broker's restart is nothing that a cluster of them knows."""


@dataclass(frozen=True, slots=True)
class Join:
    """A JoinGroup request, whatever its version."""

    group_id: str
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: list[tuple[str, bytes]]
    needs_member_id: bool = True
    can_skip_assignment: bool = True
    connection: object = None
    """What `Coordinator.disconnected` is told when nobody can hear the answer any more."""


class Coordinator(Rebalancing):
    """`clock` and `call_later` count seconds; `initial_delay_ms` is how long a group that was empty
    waits for more members to join."""

    def __init__(
        self,
        store: GroupStore,
        *,
        clock: Callable[[], float],
        call_later: CallLater,
        initial_delay_ms: int,
        min_session_timeout_ms: int,
    ) -> None:
        super().__init__(store, clock, call_later, initial_delay_ms)
        self._session_timeouts = range(min_session_timeout_ms, MAX_SESSION_TIMEOUT_MS + 1)
        for group_id, snapshot in store.groups.items():
            self.groups[group_id] = Group.restore(group_id, snapshot)
        for group_id in (*store.offsets, *store.pending):
            self.groups.setdefault(group_id, Group(group_id))
        for group in self.groups.values():
            for member in group.members.values():
                self._restored(group, member)

    def _restored(self, group: Group, member: Member) -> None:
        """Its first session after a restart; a static member has the whole of it to come back."""
        session = member.session_timeout_ms
        if member.instance_id is None:
            session = min(session, RESTORED_MS)
        member.deadline = self._clock() + session / 1000
        self._arm(group, member)

    # ------------------------------------------------------------------ JoinGroup

    def join(self, request: Join, reply: Reply) -> None:
        """Answers at once with an error, or when the generation is agreed on."""
        try:
            self._join(request, reply)
        except Refused as refused:
            reply(join_error(refused.code, request.member_id))

    def _join(self, request: Join, reply: Reply) -> None:
        if not request.group_id:
            raise Refused(ErrorCode.invalid_group_id)
        if request.session_timeout_ms not in self._session_timeouts:
            raise Refused(ErrorCode.invalid_session_timeout)
        group = self.groups.get(request.group_id)
        if group is None:
            if request.member_id:
                raise Refused(ErrorCode.unknown_member_id)
            if len(self.groups) >= MAX_GROUPS:
                raise Refused(ErrorCode.group_max_size_reached)
            group = Group(request.group_id)
        known = group.members.get(request.member_id)
        if not request.member_id and request.instance_id is not None:
            known = group.members.get(group.static_ids.get(request.instance_id, ""))
        if not group.accepts(request.protocol_type, request.protocols, known):
            raise Refused(ErrorCode.inconsistent_group_protocol)
        if known is None and len(group.members) >= MAX_MEMBERS:
            raise Refused(ErrorCode.group_max_size_reached)
        self.groups[request.group_id] = group
        if request.connection is not None:
            self._joining_over.add(request.connection)
        if request.member_id:
            self._join_known(group, request, reply)
        else:
            self._join_new(group, request, reply)

    def _join_new(self, group: Group, request: Join, reply: Reply) -> None:
        prefix = request.instance_id if request.instance_id is not None else request.client_id
        member_id = f"{prefix}-{uuid.uuid4()}"
        if request.instance_id is not None:
            old_id = group.static_ids.get(request.instance_id)
            if old_id is None:
                self._add(group, request, member_id, reply)
            else:
                self._replace_static(group, request, old_id, member_id, reply)
        elif request.needs_member_id:
            timer = self._call_later(
                request.session_timeout_ms / 1000, lambda: self._drop_pending(group, member_id)
            )
            group.pending[member_id] = Pending(timer, request.connection)
            reply(join_error(ErrorCode.member_id_required, member_id))
        else:
            self._add(group, request, member_id, reply)

    def _join_known(self, group: Group, request: Join, reply: Reply) -> None:
        pending = group.pending.pop(request.member_id, None)
        if pending is not None:
            pending.timer.cancel()
            if request.instance_id is not None:
                raise Refused(ErrorCode.unknown_member_id)
            self._add(group, request, request.member_id, reply)
            return
        member = _validated(group, request.member_id, request.instance_id)
        same = member.protocols == request.protocols
        if group.state is State.PREPARING:
            self._rejoin(group, member, request, reply)
            self._maybe_complete_join(group)
        elif same and (
            group.state is State.COMPLETING
            or (group.state is State.STABLE and group.leader != member.member_id)
        ):
            self._touch(group, member)
            reply(self._joined(group, member))
        elif group.state is State.EMPTY:
            raise Refused(ErrorCode.unknown_member_id)
        else:
            self._rejoin(group, member, request, reply)
            self._prepare(group)

    def _add(self, group: Group, request: Join, member_id: str, reply: Reply) -> None:
        if not group.members:
            group.protocol_type = request.protocol_type
        member = Member(
            member_id,
            request.instance_id,
            request.client_id,
            request.client_host,
            request.session_timeout_ms,
            request.rebalance_timeout_ms,
            request.protocols,
        )
        group.add(member)
        group.has_new_members = True
        member.join_reply = reply
        member.joining_over = request.connection
        self._touch(group, member)
        if group.state is State.PREPARING:
            self._maybe_complete_join(group)
        else:
            self._prepare(group)

    @staticmethod
    def _rejoin(group: Group, member: Member, request: Join, reply: Reply) -> None:
        member.protocols = request.protocols
        member.session_timeout_ms = request.session_timeout_ms
        member.rebalance_timeout_ms = request.rebalance_timeout_ms
        member.join_reply = reply

    def _replace_static(
        self, group: Group, request: Join, old_id: str, new_id: str, reply: Reply
    ) -> None:
        """A static member has come back without its id; whoever still has the old one is fenced."""
        old_leader = group.leader
        member = group.rename(old_id, new_id)
        if member.join_reply is not None:
            member.join_reply(join_error(ErrorCode.fenced_instance_id, old_id))
            member.join_reply = None
        if member.sync_reply is not None:
            member.sync_reply(sync_error(ErrorCode.fenced_instance_id))
            member.sync_reply = None
        member.client_id, member.client_host = request.client_id, request.client_host
        if group.state is not State.STABLE:
            self._rejoin(group, member, request, reply)
            if group.state is State.PREPARING:
                self._maybe_complete_join(group)
            else:
                self._prepare(group)
            return
        self._rejoin(group, member, request, reply)
        if group.vote() != group.protocol:
            self._prepare(group)
            return
        member.join_reply = None
        self._touch(group, member)
        self._save(group)
        answer = self._joined(group, member)
        if not request.can_skip_assignment:
            answer |= {"leader": old_leader, "members": ()}
        else:
            answer["skip_assignment"] = group.leader == member.member_id
        reply(answer)

    # ------------------------------------------------------------------ SyncGroup

    def sync(
        self,
        group_id: str,
        generation: int,
        member_id: str,
        instance_id: str | None,
        protocol: tuple[str | None, str | None],
        assignments: dict[str, bytes],
        reply: Reply,
    ) -> None:
        """Answers at once, or when the leader has sent the assignments."""
        try:
            group = self._group_of_member(group_id)
            member = _validated(group, member_id, instance_id)
            if generation != group.generation:
                raise Refused(ErrorCode.illegal_generation)
            ours = (group.protocol_type, group.protocol)
            if any(
                name is not None and name != own for name, own in zip(protocol, ours, strict=True)
            ):
                raise Refused(ErrorCode.inconsistent_group_protocol)
            if group.state is State.EMPTY:
                raise Refused(ErrorCode.unknown_member_id)
            if group.state is State.PREPARING:
                raise Refused(ErrorCode.rebalance_in_progress)
        except Refused as refused:
            reply(sync_error(refused.code))
            return
        member.has_synced = True
        if group.state is State.STABLE:
            self._touch(group, member)
            reply(self._synced(group, member))
            return
        member.sync_reply = reply
        if group.leader == member_id:
            for other in group.members.values():
                other.assignment = assignments.get(other.member_id, b"")
            group.state = State.STABLE
            self._save(group)
            for other in group.members.values():
                if other.sync_reply is not None:
                    answer, other.sync_reply = other.sync_reply, None
                    self._touch(group, other)
                    answer(self._synced(group, other))
            group.stop_sync_timer()

    @staticmethod
    def _synced(group: Group, member: Member) -> dict[str, Any]:
        return {
            "error_code": ErrorCode.none,
            "protocol_type": group.protocol_type,
            "protocol_name": group.protocol,
            "assignment": member.assignment,
        }

    # ------------------------------------------------------------------ Heartbeat, LeaveGroup

    def heartbeat(
        self, group_id: str, generation: int, member_id: str, instance_id: str | None
    ) -> ErrorCode:
        try:
            group = self._group_of_member(group_id)
            member = _validated(group, member_id, instance_id)
        except Refused as refused:
            return refused.code
        if generation != group.generation:
            return ErrorCode.illegal_generation
        if group.state is State.EMPTY:
            return ErrorCode.unknown_member_id
        self._touch(group, member)
        if group.state is State.PREPARING:
            return ErrorCode.rebalance_in_progress
        return ErrorCode.none

    def leave(self, group_id: str, member_id: str, instance_id: str | None) -> ErrorCode:
        """One member leaves; an empty `member_id` with an instance id means whoever has that."""
        try:
            group = self._group_of_member(group_id)
            pending = group.pending.pop(member_id, None)
            if pending is not None:
                pending.timer.cancel()
                self._maybe_complete_join(group)
                return ErrorCode.none
            if instance_id is not None and not member_id:
                member_id = group.static_ids.get(instance_id, "")
            member = _validated(group, member_id, instance_id)
        except Refused as refused:
            return refused.code
        self._remove(group, member, "left")
        return ErrorCode.none

    def has_group(self, group_id: str) -> bool:
        return group_id in self.groups

    def _group_of_member(self, group_id: str) -> Group:
        if not group_id:
            raise Refused(ErrorCode.invalid_group_id)
        group = self.groups.get(group_id)
        if group is None:
            raise Refused(ErrorCode.unknown_member_id)
        return group

    # ------------------------------------------------------------------ committed offsets

    def commit(
        self,
        group_id: str,
        generation: int,
        member_id: str,
        instance_id: str | None,
        offsets: dict[Partition, Committed],
    ) -> None:
        """Commit `offsets`, if the member and its generation are the present ones.

        Raises:
            Refused: ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or
                REBALANCE_IN_PROGRESS: the caller may not own its partitions any more.
            OSError: the journal cannot be written; nothing is committed.
        """
        group = self._group_that_commits(group_id, generation)
        if generation >= 0 or group.state is not State.EMPTY:
            member = _validated(group, member_id, instance_id)
            if generation != group.generation:
                raise Refused(ErrorCode.illegal_generation)
            if group.state is State.COMPLETING:
                raise Refused(ErrorCode.rebalance_in_progress)
            self._touch(group, member)
        self._store.commit(group_id, offsets)

    def commit_with(
        self,
        producer_id: int,
        group_id: str,
        generation: int,
        member_id: str,
        instance_id: str | None,
        offsets: dict[Partition, Committed],
    ) -> None:
        """Commit `offsets` once the producer's transaction is committed.

        Clients before KIP-447 say neither generation nor member: their transactional id fences.

        Raises:
            Refused, OSError: as `commit`.
        """
        group = self._group_that_commits(group_id, generation)
        is_outside = generation < 0 and group.state is State.EMPTY
        if not is_outside and (generation >= 0 or member_id or instance_id is not None):
            _validated(group, member_id, instance_id)
            if generation != group.generation:
                raise Refused(ErrorCode.illegal_generation)
        self._store.commit_with(group_id, producer_id, offsets)

    def _group_that_commits(self, group_id: str, generation: int) -> Group:
        """Made, where it is not there and nobody claims to be its member. Raises Refused."""
        group = self.groups.get(group_id)
        if group is None:
            if generation >= 0:
                raise Refused(ErrorCode.illegal_generation)
            if len(self.groups) >= MAX_GROUPS:
                raise Refused(ErrorCode.group_max_size_reached)
            group = self.groups[group_id] = Group(group_id)
        return group

    def delete(self, group_id: str) -> None:
        """Raises Refused: GROUP_ID_NOT_FOUND or NON_EMPTY_GROUP; OSError."""
        group = self.groups.get(group_id)
        if group is None:
            raise Refused(ErrorCode.group_id_not_found)
        if group.state is not State.EMPTY:
            raise Refused(ErrorCode.non_empty_group)
        self._store.delete_group(group_id)
        for pending in group.pending.values():
            pending.timer.cancel()
        del self.groups[group_id]

    def deletable_offsets(self, group_id: str) -> set[str]:
        """The subscribed topics, whose offsets may not be deleted.

        Raises:
            Refused: GROUP_ID_NOT_FOUND or NON_EMPTY_GROUP.
        """
        group = self.groups.get(group_id)
        if group is None:
            raise Refused(ErrorCode.group_id_not_found)
        if group.state is State.EMPTY:
            return set()
        subscribed = group.subscribed_topics()
        if subscribed is None:
            raise Refused(ErrorCode.non_empty_group)
        return subscribed


def _validated(group: Group, member_id: str, instance_id: str | None) -> Member:
    """Raises Refused: UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID."""
    if instance_id is not None:
        owner = group.static_ids.get(instance_id)
        if owner is None:
            raise Refused(ErrorCode.unknown_member_id)
        if owner != member_id:
            raise Refused(ErrorCode.fenced_instance_id)
    member = group.members.get(member_id)
    if member is None:
        raise Refused(ErrorCode.unknown_member_id)
    return member
