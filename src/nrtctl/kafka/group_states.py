"""What is said of a consumer group from outside: members, offsets, what of them is ours. Pure.

Found by `groups`, shown by `nrtctl groups`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nrtctl.store import intents
from nrtctl.store.intents import OffsetRange, table_of

TopicPartition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """`state`: as Kafka calls it, in lower case."""

    group: str
    state: str
    kind: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    client_id: str
    host: str
    member_id: str
    instance_id: str | None
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """What a group has of one partition.

    Attributes:
        committed: None: nothing is committed.
        log_start, log_end: None: the topic is gone, or nobody leads the partition.
        client_id: of the member that has the partition; None: nobody has it.
        metadata: as it was committed.
    """

    topic: str
    partition: int
    committed: int | None
    log_start: int | None
    log_end: int | None
    client_id: str | None
    metadata: str

    @property
    def lag(self) -> int | None:
        """Messages between the committed offset, or what the log still holds after it, and the log
        end; None: one of them is not known."""
        if self.committed is None or self.log_end is None:
            return None
        return max(0, self.log_end - max(self.committed, self.log_start or 0))

    @property
    def lost(self) -> int:
        """Offsets between the committed one and the log start: deleted before they were read."""
        if self.committed is None or self.log_start is None:
            return 0
        return max(0, self.log_start - self.committed)

    @property
    def table(self) -> str | None:
        """The table that nrtctl stores into with this offset; None: it is not nrtctl's."""
        return table_of(self.metadata)

    @property
    def pending(self) -> OffsetRange | None:
        """The batch that nrtctl has declared and may be storing."""
        if self.table is None or self.committed is None:
            return None
        try:
            return intents.decode_metadata(self.table, self.committed, self.metadata)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class GroupState:
    """Attributes:
    coordinator: the broker, host:port.
    protocol: how partitions are shared out.
    foreign: it is not of consumers: what its members have, and its offsets, are not asked for.
    """

    group: str
    state: str
    kind: str
    protocol: str
    coordinator: str
    members: tuple[GroupMember, ...]
    offsets: tuple[GroupOffset, ...]
    foreign: bool = False

    @property
    def lag(self) -> int | None:
        """Of the partitions for which it is known; None: it is for none."""
        known = [each.lag for each in self.offsets if each.lag is not None]
        return sum(known) if known else None

    @property
    def tables(self) -> tuple[str, ...]:
        """Those that nrtctl stores into with this group."""
        return tuple(sorted({each.table for each in self.offsets if each.table is not None}))


def offsets_of(
    committed: dict[TopicPartition, tuple[int | None, str]],
    marks: dict[TopicPartition, tuple[int, int]],
    members: Iterable[GroupMember],
) -> tuple[GroupOffset, ...]:
    """Every partition that the group has committed, or that a member has."""
    held = {each: member.client_id for member in members for each in member.partitions}
    found = []
    for at in sorted(committed.keys() | held.keys()):
        offset, metadata = committed.get(at, (None, ""))
        start, end = marks.get(at, (None, None))
        found.append(GroupOffset(*at, offset, start, end, held.get(at), metadata))
    return tuple(found)
