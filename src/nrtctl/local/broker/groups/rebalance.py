"""Rebalances and sessions: what happens to a group with time, whoever asked for it.

The base of `groups.coordinator`, which answers requests. Nothing here waits: time and timers are
passed in, and replies are callbacks kept in the members.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from nrtctl.local.broker.groups.group import Cancellable, Group, Member, State
from nrtctl.local.broker.groups.store import GroupStore
from nrtctl.local.broker.wire.errors import ErrorCode

logger = logging.getLogger(__name__)

CallLater = Callable[[float, Callable[[], None]], Cancellable]


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


class Rebalancing:
    """`clock` and `call_later` count seconds."""

    def __init__(
        self,
        store: GroupStore,
        clock: Callable[[], float],
        call_later: CallLater,
        initial_delay_ms: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._call_later = call_later
        self._initial_delay_ms = initial_delay_ms
        self._joining_over: set[object] = set()
        self.groups: dict[str, Group] = {}

    # ------------------------------------------------------------------ the rebalance

    def _prepare(self, group: Group) -> None:
        """Begin a rebalance: everybody has to join again."""
        group.stop_sync_timer()
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
            member.joining_over = None
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

    # ------------------------------------------------------------------ sessions

    def disconnected(self, connection: object) -> None:
        """Nobody hears the answer any more: who was about to join over it is let go at once.

        Apache Kafka lets such a member into the next generation, where its session has to end
        first. Members of a generation keep their sessions: they may come back.
        """
        if connection not in self._joining_over:
            return
        self._joining_over.discard(connection)
        for group in self.groups.values():
            for member_id, pending in list(group.pending.items()):
                if pending.connection is connection:
                    pending.timer.cancel()
                    self._drop_pending(group, member_id)
            for member in list(group.members.values()):
                if member.joining_over is connection:
                    self._remove(group, member, "is gone before it has joined")

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
        """Keep the group over a restart. While that fails its members go on, and the store refuses
        their offsets: a restart would bring back a generation that has none of theirs."""
        try:
            self._store.save_group(group.group_id, group.snapshot())
        except OSError as error:
            logger.error("group %s is not saved: %s", group.group_id, error.strerror)
