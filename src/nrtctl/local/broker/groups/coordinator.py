"""The group coordinator: who is a member, which generation holds, who may commit.

Follows Apache Kafka's classic group protocol (KIP-62, 345, 394, 559, 814), state by state and code
by code. No I/O and no event loop: replies are callbacks, time and timers are passed in, and what
must survive goes to a `GroupStore`. Called by `handlers.groups`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nrtctl.local.broker.groups.group import Cancellable, Group, Member, Reply, State
from nrtctl.local.broker.groups.store import Committed, GroupStore, Partition
from nrtctl.local.broker.wire.errors import ErrorCode, Refused

logger = logging.getLogger(__name__)

MAX_SESSION_TIMEOUT_MS: Final = 1_800_000
MAX_MEMBERS: Final = 1_000
MAX_GROUPS: Final = 10_000
CallLater = Callable[[float, Callable[[], None]], Cancellable]


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


class Coordinator:
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
        self._store = store
        self._clock = clock
        self._call_later = call_later
        self._initial_delay_ms = initial_delay_ms
        self._session_timeouts = range(min_session_timeout_ms, MAX_SESSION_TIMEOUT_MS + 1)
        self.groups = {
            group_id: Group.restore(group_id, snapshot)
            for group_id, snapshot in store.groups.items()
        }
        for group_id in store.offsets:
            self.groups.setdefault(group_id, Group(group_id))
        for group in self.groups.values():
            for member in group.members.values():
                self._touch(group, member)

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
            group.pending[member_id] = self._call_later(
                request.session_timeout_ms / 1000, lambda: self._drop_pending(group, member_id)
            )
            reply(join_error(ErrorCode.member_id_required, member_id))
        else:
            self._add(group, request, member_id, reply)

    def _join_known(self, group: Group, request: Join, reply: Reply) -> None:
        pending = group.pending.pop(request.member_id, None)
        if pending is not None:
            pending.cancel()
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

    # ------------------------------------------------------------------ the rebalance

    def _prepare(self, group: Group) -> None:
        """Begin a rebalance: everybody has to join again."""
        if group.sync_timer is not None:
            group.sync_timer.cancel()
            group.sync_timer = None
        for member in group.members.values():
            if group.state is State.COMPLETING:
                member.assignment = b""
            if member.sync_reply is not None:
                answer, member.sync_reply = member.sync_reply, None
                answer(sync_error(ErrorCode.rebalance_in_progress))
        was_empty = group.state is State.EMPTY
        group.state = State.PREPARING
        if was_empty:
            group.is_gathering = True
            delay = min(self._initial_delay_ms, group.rebalance_timeout_ms)
            group.gathering_left_ms = group.rebalance_timeout_ms - delay
            self._gather(group, delay)
        else:
            self._await_joins(group)
            self._maybe_complete_join(group)

    def _gather(self, group: Group, delay_ms: int) -> None:
        group.has_new_members = False
        group.join_timer = self._call_later(delay_ms / 1000, lambda: self._gathered(group))

    def _gathered(self, group: Group) -> None:
        if group.has_new_members and group.gathering_left_ms > 0:
            delay = min(self._initial_delay_ms, group.gathering_left_ms)
            group.gathering_left_ms -= delay
            self._gather(group, delay)
        else:
            self._complete_join(group)

    def _await_joins(self, group: Group) -> None:
        if group.join_timer is not None:
            group.join_timer.cancel()
        group.join_timer = self._call_later(
            group.rebalance_timeout_ms / 1000, lambda: self._complete_join(group)
        )

    def _maybe_complete_join(self, group: Group) -> None:
        if (
            group.state is State.PREPARING
            and not group.is_gathering
            and not group.pending
            and all(member.join_reply is not None for member in group.members.values())
        ):
            self._complete_join(group)

    def _complete_join(self, group: Group) -> None:
        """All have joined, or the time is over: the next generation begins."""
        if group.join_timer is not None:
            group.join_timer.cancel()
            group.join_timer = None
        group.is_gathering = False
        for member in [m for m in group.members.values() if m.join_reply is None]:
            if member.instance_id is None:
                group.remove(member)
        joined = [member for member in group.members.values() if member.join_reply is not None]
        if group.members and not joined:
            self._await_joins(group)
            return
        group.generation += 1
        if not joined:
            self._become_empty(group)
            return
        if group.leader not in {member.member_id for member in joined}:
            group.leader = joined[0].member_id
        group.protocol = group.vote()
        group.state = State.COMPLETING
        for member in group.members.values():
            member.has_synced = False
        group.sync_timer = self._call_later(
            group.rebalance_timeout_ms / 1000, lambda: self._sync_expired(group)
        )
        for member in joined:
            answer, member.join_reply = member.join_reply, None
            self._touch(group, member)
            if answer is not None:
                answer(self._joined(group, member))

    def _become_empty(self, group: Group) -> None:
        group.state = State.EMPTY
        group.protocol = group.leader = None
        self._save(group)

    @staticmethod
    def _joined(group: Group, member: Member) -> dict[str, Any]:
        is_leader = group.leader == member.member_id
        return {
            "error_code": ErrorCode.none,
            "generation_id": group.generation,
            "protocol_type": group.protocol_type,
            "protocol_name": group.protocol,
            "leader": group.leader,
            "member_id": member.member_id,
            "members": [
                {
                    "member_id": other.member_id,
                    "group_instance_id": other.instance_id,
                    "metadata": other.metadata(group.protocol),
                }
                for other in group.members.values()
                if is_leader
            ],
        }

    def _sync_expired(self, group: Group) -> None:
        if group.state is not State.COMPLETING:
            return
        for member in [m for m in group.members.values() if not m.has_synced]:
            logger.info("group %s: %s did not sync in time", group.group_id, member.member_id)
            group.remove(member)
        self._after_removal(group)

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
            self._maybe_all_synced(group)

    @staticmethod
    def _maybe_all_synced(group: Group) -> None:
        if group.sync_timer is not None:
            group.sync_timer.cancel()
            group.sync_timer = None

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
                pending.cancel()
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

    # ------------------------------------------------------------------ sessions

    def _touch(self, group: Group, member: Member) -> None:
        """The member has shown life; its session begins anew."""
        member.deadline = self._clock() + member.session_timeout_ms / 1000
        if member.timer is None:
            self._arm(group, member)

    def _arm(self, group: Group, member: Member) -> None:
        left = max(member.deadline - self._clock(), 0.0)
        member.timer = self._call_later(left, lambda: self._session_ended(group, member))

    def _session_ended(self, group: Group, member: Member) -> None:
        member.timer = None
        if group.members.get(member.member_id) is not member:
            return
        if member.is_waiting:
            self._touch(group, member)
        elif member.deadline > self._clock():
            self._arm(group, member)
        else:
            self._remove(group, member, "was not heard of in its session timeout")

    def _remove(self, group: Group, member: Member, why: str) -> None:
        logger.info("group %s: %s %s", group.group_id, member.member_id, why)
        for answer, error in (
            (member.join_reply, join_error(ErrorCode.unknown_member_id, member.member_id)),
            (member.sync_reply, sync_error(ErrorCode.unknown_member_id)),
        ):
            if answer is not None:
                answer(error)
        group.remove(member)
        self._after_removal(group)

    def _after_removal(self, group: Group) -> None:
        if group.state in (State.STABLE, State.COMPLETING):
            self._prepare(group)
        else:
            self._maybe_complete_join(group)

    def _drop_pending(self, group: Group, member_id: str) -> None:
        group.pending.pop(member_id, None)
        self._maybe_complete_join(group)

    def _save(self, group: Group) -> None:
        """Keep the group over a restart; if that fails, only a restart would show it."""
        try:
            self._store.save_group(group.group_id, group.snapshot())
        except OSError as error:
            logger.error("group %s is not saved: %s", group.group_id, error.strerror)

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
        group = self.groups.get(group_id)
        if group is None:
            if generation >= 0:
                raise Refused(ErrorCode.illegal_generation)
            if len(self.groups) >= MAX_GROUPS:
                raise Refused(ErrorCode.group_max_size_reached)
            group = self.groups[group_id] = Group(group_id)
        elif generation >= 0 or group.state is not State.EMPTY:
            member = _validated(group, member_id, instance_id)
            if generation != group.generation:
                raise Refused(ErrorCode.illegal_generation)
            if group.state is State.COMPLETING:
                raise Refused(ErrorCode.rebalance_in_progress)
            self._touch(group, member)
        self._store.commit(group_id, offsets)

    def delete(self, group_id: str) -> None:
        """Raises Refused: GROUP_ID_NOT_FOUND or NON_EMPTY_GROUP; OSError."""
        group = self.groups.get(group_id)
        if group is None:
            raise Refused(ErrorCode.group_id_not_found)
        if group.state is not State.EMPTY:
            raise Refused(ErrorCode.non_empty_group)
        self._store.delete_group(group_id)
        for timer in group.pending.values():
            timer.cancel()
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


def join_error(code: ErrorCode, member_id: str) -> dict[str, Any]:
    return {
        "error_code": code,
        "generation_id": -1,
        "protocol_name": "",
        "leader": "",
        "member_id": member_id,
    }


def sync_error(code: ErrorCode) -> dict[str, Any]:
    return {"error_code": code}
