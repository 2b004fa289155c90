"""Topic configuration: what may be set, its defaults, and what is refused.

Every key of Apache Kafka 4.1 is known. One that this broker would not act on is accepted with its
harmless value only, and refused by name with any other, so that nobody is told yes to something
that does not happen. Keys that change nothing here whatever their value (they are about compaction,
about followers, or about how Apache Kafka keeps its files) are accepted with every value it takes.
Source: https://kafka.apache.org/documentation/#topicconfigs. Called by `broker` and the handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from nrtctl.local.broker.wire.errors import ErrorCode, Refused

_LONG_MAX: Final = 2**63 - 1
_INT_MAX: Final = 2**31 - 1


class Type(IntEnum):
    """As DescribeConfigs numbers them."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    DOUBLE = 6
    LIST = 7


@dataclass(frozen=True, slots=True)
class Definition:
    """One key: a number between `lowest` and `highest`, or one of `allowed`."""

    type: Type
    default: str
    documentation: str
    lowest: int = 0
    highest: int = _LONG_MAX
    allowed: tuple[str, ...] = ()

    def check(self, key: str, value: str) -> None:
        """Raises Refused (INVALID_CONFIG)."""
        if self.allowed:
            if value not in self.allowed:
                raise Refused(
                    ErrorCode.invalid_config,
                    f"Invalid value {value} for configuration {key}: this broker serves "
                    f"{', '.join(self.allowed)}; other values of Apache Kafka are not served here",
                )
            return
        if self.type is Type.LIST:
            return
        try:
            number = float(value) if self.type is Type.DOUBLE else int(value)
        except ValueError:
            raise Refused(
                ErrorCode.invalid_config,
                f"Invalid value {value} for configuration {key}: Not a number",
            ) from None
        if not self.lowest <= number <= self.highest:
            raise Refused(
                ErrorCode.invalid_config,
                f"Invalid value {value} for configuration {key}: "
                f"Value must be between {self.lowest} and {self.highest}",
            )


def _only(type_: Type, *values: str) -> Definition:
    documentation = "Only this value is served." if len(values) == 1 else "It changes nothing here."
    return Definition(type_, values[0], documentation, allowed=values)


def _idle(
    type_: Type, default: str, lowest: int = 0, highest: int = _LONG_MAX, *, why: str
) -> Definition:
    return Definition(type_, default, f"It changes nothing here: {why}.", lowest, highest)


_NO_COMPACTION: Final = "old segments are deleted, not compacted"
_NO_FOLLOWERS: Final = "there are no followers"
_OWN_FILES: Final = "this broker keeps its files in its own way"
_AS_SENT: Final = "batches are kept as the producer sent them"


DEFINITIONS: Final[dict[str, Definition]] = {
    "cleanup.policy": Definition(
        Type.LIST,
        "delete",
        "Old segments are deleted; compaction is not served.",
        allowed=("delete",),
    ),
    "compression.type": Definition(
        Type.STRING,
        "producer",
        "Batches are kept as the producer sent them.",
        allowed=("producer",),
    ),
    "max.message.bytes": Definition(
        Type.INT, "10485760", "The largest record batch accepted, in bytes.", highest=_INT_MAX
    ),
    "message.timestamp.type": Definition(
        Type.STRING,
        "CreateTime",
        "Whether a record keeps the producer's time or gets the broker's.",
        allowed=("CreateTime", "LogAppendTime"),
    ),
    "min.insync.replicas": _only(Type.INT, "1"),
    "retention.bytes": Definition(
        Type.LONG, "-1", "Bytes a partition keeps; -1 is no limit.", lowest=-1
    ),
    "retention.ms": Definition(
        Type.LONG, "-1", "Age at which a segment is deleted; -1 is never.", lowest=-1
    ),
    "segment.bytes": Definition(
        Type.INT,
        "134217728",
        "Size at which a new segment begins.",
        lowest=1024,
        highest=_INT_MAX,
    ),
    "segment.ms": Definition(
        Type.LONG,
        str(_LONG_MAX),
        "Milliseconds between the first record's time and a later one's, at which a new segment "
        "begins.",
        lowest=1,
    ),
    "message.timestamp.after.max.ms": Definition(
        Type.LONG,
        str(_LONG_MAX),
        "Milliseconds that a record's time may be ahead of the broker's.",
    ),
    "message.timestamp.before.max.ms": _only(Type.LONG, str(_LONG_MAX)),
    "flush.messages": _only(Type.LONG, str(_LONG_MAX)),
    "flush.ms": _only(Type.LONG, str(_LONG_MAX)),
    "unclean.leader.election.enable": _only(Type.BOOLEAN, "false", "true"),
    "preallocate": _only(Type.BOOLEAN, "false"),
    "remote.storage.enable": _only(Type.BOOLEAN, "false"),
    "remote.log.copy.disable": _only(Type.BOOLEAN, "false", "true"),
    "remote.log.delete.on.disable": _only(Type.BOOLEAN, "false", "true"),
    "local.retention.bytes": _only(Type.LONG, "-2"),
    "local.retention.ms": _only(Type.LONG, "-2"),
    "delete.retention.ms": _idle(Type.LONG, "86400000", why=_NO_COMPACTION),
    "min.cleanable.dirty.ratio": _idle(Type.DOUBLE, "0.5", highest=1, why=_NO_COMPACTION),
    "min.compaction.lag.ms": _idle(Type.LONG, "0", why=_NO_COMPACTION),
    "max.compaction.lag.ms": _idle(Type.LONG, str(_LONG_MAX), 1, why=_NO_COMPACTION),
    "leader.replication.throttled.replicas": _idle(Type.LIST, "", why=_NO_FOLLOWERS),
    "follower.replication.throttled.replicas": _idle(Type.LIST, "", why=_NO_FOLLOWERS),
    "file.delete.delay.ms": _idle(Type.LONG, "60000", why=_OWN_FILES),
    "index.interval.bytes": _idle(Type.INT, "4096", highest=_INT_MAX, why=_OWN_FILES),
    "segment.index.bytes": _idle(Type.INT, "10485760", 4, _INT_MAX, why=_OWN_FILES),
    "segment.jitter.ms": _idle(Type.LONG, "0", why=_OWN_FILES),
    "compression.gzip.level": _idle(Type.INT, "-1", -1, 9, why=_AS_SENT),
    "compression.lz4.level": _idle(Type.INT, "9", 1, 17, why=_AS_SENT),
    "compression.zstd.level": _idle(Type.INT, "3", -131072, 22, why=_AS_SENT),
}


class TopicConfig:
    """The settings of one topic over the defaults, checked when built.

    Raises:
        Refused: INVALID_CONFIG, for an unknown key or a value that is not served.
    """

    def __init__(self, defaults: Mapping[str, str], overrides: Mapping[str, str]) -> None:
        for key, value in overrides.items():
            definition = DEFINITIONS.get(key)
            if definition is None:
                raise Refused(ErrorCode.invalid_config, f"Unknown topic config name: {key}")
            definition.check(key, value)
        self.defaults = defaults
        self.overrides = dict(overrides)
        self.max_message_bytes = int(self["max.message.bytes"])
        self.segment_bytes = int(self["segment.bytes"])
        self.segment_ms = int(self["segment.ms"])
        self.most_ahead_ms = int(self["message.timestamp.after.max.ms"])
        self.retention_ms = int(self["retention.ms"])
        self.retention_bytes = int(self["retention.bytes"])
        self.append_time = self["message.timestamp.type"] == "LogAppendTime"

    def __getitem__(self, key: str) -> str:
        return self.overrides.get(key) or self.defaults.get(key) or DEFINITIONS[key].default

    @staticmethod
    def known_keys() -> tuple[str, ...]:
        return tuple(DEFINITIONS)
