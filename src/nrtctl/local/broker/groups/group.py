"""One consumer group's state: members, generation, protocol. No timers, no I/O, no requests.

Called by `groups.coordinator`, which decides; here is what holds whatever it decides.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Reply = Callable[[dict[str, Any]], None]


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class State(StrEnum):
    """The names are the ones DescribeGroups shows."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"


@dataclass(slots=True)
class Member:
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: list[tuple[str, bytes]]
    assignment: bytes = b""
    # Set while a JoinGroup or SyncGroup of the member waits for its answer.
    join_reply: Reply | None = None
    sync_reply: Reply | None = None
    has_synced: bool = False
    # Of a member that is part of no generation yet: the connection its JoinGroup waits on.
    joining_over: object = None
    deadline: float = 0.0
    timer: Cancellable | None = None

    @property
    def is_waiting(self) -> bool:
        return self.join_reply is not None or self.sync_reply is not None

    def metadata(self, protocol: str | None) -> bytes:
        return next((data for name, data in self.protocols if name == protocol), b"")

    def snapshot(self) -> dict[str, Any]:
        return {
            "member_id": self.member_id,
            "instance_id": self.instance_id,
            "client_id": self.client_id,
            "client_host": self.client_host,
            "session_timeout_ms": self.session_timeout_ms,
            "rebalance_timeout_ms": self.rebalance_timeout_ms,
            "protocols": [[name, base64.b64encode(data).decode()] for name, data in self.protocols],
            "assignment": base64.b64encode(self.assignment).decode(),
        }

    @classmethod
    def restore(cls, snapshot: dict[str, Any]) -> Member:
        return cls(
            **snapshot
            | {
                "protocols": [
                    (name, base64.b64decode(data)) for name, data in snapshot["protocols"]
                ],
                "assignment": base64.b64decode(snapshot["assignment"]),
                "has_synced": True,
            }
        )


@dataclass(frozen=True, slots=True)
class Pending:
    """A member id that was given out with MEMBER_ID_REQUIRED and is not used yet."""

    timer: Cancellable
    connection: object


@dataclass(slots=True)
class Group:
    group_id: str
    state: State = State.EMPTY
    generation: int = 0
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str | None = None
    members: dict[str, Member] = field(default_factory=dict)
    static_ids: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Pending] = field(default_factory=dict)
    join_timer: Cancellable | None = None
    sync_timer: Cancellable | None = None
    is_gathering: bool = False
    gathering_left_ms: int = 0
    has_new_members: bool = False

    def add(self, member: Member) -> None:
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = member.member_id
        if self.leader is None:
            self.leader = member.member_id

    def remove(self, member: Member) -> None:
        del self.members[member.member_id]
        if member.instance_id is not None and self.static_ids.get(member.instance_id) == (
            member.member_id
        ):
            del self.static_ids[member.instance_id]
        if self.leader == member.member_id:
            self.leader = next(iter(self.members), None)
        if member.timer is not None:
            member.timer.cancel()

    def rename(self, old_id: str, new_id: str) -> Member:
        """A static member has restarted: the same member under a new id, in the same place."""
        self.members = {
            (new_id if member_id == old_id else member_id): member
            for member_id, member in self.members.items()
        }
        member = self.members[new_id]
        member.member_id = new_id
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = new_id
        if self.leader == old_id:
            self.leader = new_id
        return member

    def common_protocols(self, but: Member | None = None) -> set[str] | None:
        """The protocols that all members (except `but`) support; None if there are no members."""
        sets = [
            {name for name, _ in member.protocols}
            for member in self.members.values()
            if member is not but
        ]
        return set.intersection(*sets) if sets else None

    def accepts(
        self, protocol_type: str, protocols: list[tuple[str, bytes]], but: Member | None = None
    ) -> bool:
        if not protocol_type or not protocols:
            return False
        common = self.common_protocols(but)
        if common is None:
            return True
        return protocol_type == self.protocol_type and any(name in common for name, _ in protocols)

    def vote(self) -> str:
        """Each member votes for the first of its protocols that all support."""
        common = self.common_protocols() or set()
        votes = Counter(
            next(name for name, _ in member.protocols if name in common)
            for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def stop_sync_timer(self) -> None:
        if self.sync_timer is not None:
            self.sync_timer.cancel()
            self.sync_timer = None

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def subscribed_topics(self) -> set[str] | None:
        """The topics of the members' subscriptions; None if they cannot be told."""
        if self.protocol_type != "consumer" or self.protocol is None:
            return None
        topics: set[str] = set()
        for member in self.members.values():
            found = _subscription(member.metadata(self.protocol))
            if found is None:
                return None
            topics |= found
        return topics

    def snapshot(self) -> dict[str, Any]:
        """What survives a restart: the last generation that was agreed on."""
        return {
            "generation": self.generation,
            "protocol_type": self.protocol_type,
            "protocol": self.protocol,
            "leader": self.leader,
            "members": [member.snapshot() for member in self.members.values()],
        }

    @classmethod
    def restore(cls, group_id: str, snapshot: dict[str, Any]) -> Group:
        group = cls(
            group_id,
            generation=snapshot["generation"],
            protocol_type=snapshot["protocol_type"],
            protocol=snapshot["protocol"],
        )
        for member in snapshot["members"]:
            group.add(Member.restore(member))
        group.leader = snapshot["leader"]
        group.state = State.STABLE if group.members else State.EMPTY
        return group


def _subscription(metadata: bytes) -> set[str] | None:
    """The topics of a ConsumerProtocolSubscription: version, then an array of strings."""
    topics: set[str] = set()
    at = 6
    if len(metadata) < at:
        return None
    for _ in range(int.from_bytes(metadata[2:6], "big", signed=True)):
        size = int.from_bytes(metadata[at : at + 2], "big")
        if at + 2 + size > len(metadata):
            return None
        topics.add(metadata[at + 2 : at + 2 + size].decode("utf-8", "replace"))
        at += 2 + size
    return topics
