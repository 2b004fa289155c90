"""What is said of a topic from outside: its partitions and its settings. Pure.

Found by `topic_admin`, shown by `nrtctl topics`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nrtctl.config.units import parse_duration, parse_size

ORIGINS = {
    1: "topic",
    2: "broker",
    3: "all brokers",
    4: "broker's file",
    5: "default",
}
"""Kafka's DescribeConfigs numbers these: where the value in force was set."""

INTERNAL = "__"
"""How the names of Kafka's own topics begin."""

DELETING = ("retention.ms", "retention.bytes", "cleanup.policy")
"""Settings by which Kafka deletes messages."""


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition. `leader`: the broker's id; None: nobody leads it, so that its offsets are not
    known either. `size`: bytes of the leader's copy; None: not known."""

    partition: int
    leader: int | None
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    log_start: int | None = None
    log_end: int | None = None
    size: int | None = None

    @property
    def messages(self) -> int | None:
        """Offsets that the log holds: at most as many messages, fewer after compaction or
        transactions."""
        if self.log_start is None or self.log_end is None:
            return None
        return self.log_end - self.log_start


@dataclass(frozen=True, slots=True)
class TopicState:
    name: str
    partitions: tuple[PartitionState, ...]
    topic_id: str = ""

    @property
    def internal(self) -> bool:
        return self.name.startswith(INTERNAL)

    @property
    def replication_factor(self) -> int:
        return max((len(each.replicas) for each in self.partitions), default=0)

    @property
    def messages(self) -> int | None:
        return _sum(each.messages for each in self.partitions)

    @property
    def size(self) -> int | None:
        return _sum(each.size for each in self.partitions)

    @property
    def leaderless(self) -> tuple[int, ...]:
        return tuple(each.partition for each in self.partitions if each.leader is None)

    @property
    def under_replicated(self) -> tuple[int, ...]:
        return tuple(
            each.partition
            for each in self.partitions
            if set(each.in_sync) < set(each.replicas) and each.leader is not None
        )


def _sum(values: Iterable[int | None]) -> int | None:
    """None where one of them is not known."""
    known = list(values)
    return None if None in known else sum(each for each in known if each is not None)


@dataclass(frozen=True, slots=True)
class Setting:
    """`value`: None where the broker does not tell it, as of a secret. `default`: the value that
    holds without it, where the broker tells one."""

    name: str
    value: str | None
    origin: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Unstored:
    """Messages of the pipeline's topic that its group has not stored yet.

    Attributes:
        partitions: partition to the first offset that is still to be stored, where there are any.
        messages: how many there are below the log ends, gaps of the log included.
    """

    group: str
    partitions: dict[int, int]
    messages: int


def unstored(
    group: str, marks: dict[int, tuple[int, int]], committed: dict[int, int | None]
) -> Unstored:
    """Args: marks: log start and end by partition; committed: below that offset all is stored."""
    left: dict[int, int] = {}
    messages = 0
    for number, (start, end) in marks.items():
        first = max(committed.get(number) or 0, start)
        if first < end:
            left[number] = first
            messages += end - first
    return Unstored(group, left, messages)


def parse_setting(text: str) -> tuple[str, str]:
    """(name, value) of `KEY=VALUE`. A duration such as `7d` is written in milliseconds where the
    name ends with `.ms`, a size such as `1GiB` in bytes where it ends with `.bytes`.

    Raises:
        ValueError: it is no such text.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not a setting: write KEY=VALUE, as in retention.ms=7d")
    if name.endswith(".ms") and _has_unit(value):
        return name, str(round(parse_duration(value) * 1000))
    if name.endswith(".bytes") and _has_unit(value):
        return name, str(parse_size(value))
    return name, value


def _has_unit(value: str) -> bool:
    return value[:1].isdigit() and not value.isdigit()


def shortens(name: str, before: str | None, after: str | None) -> bool:
    """Whether Kafka may delete more messages with `after` than with `before`; None: not known."""
    if name not in DELETING or before == after:
        return False
    if name == "cleanup.policy":
        return True
    old, new = _number(before), _number(after)
    if new is None:
        return after is None  # else Kafka refuses it
    return old is None or (new >= 0 and (old < 0 or new < old))


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
