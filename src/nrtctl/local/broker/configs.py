"""Topic configuration: what may be set, its defaults, and what is refused.

Every key of Apache Kafka 4.1 is known. One that this broker would not act on is accepted with its
harmless value only, and refused by name with any other, so that nobody is told yes to something
that does not happen. Keys that change nothing here whatever their value (they are about followers,
or about how Apache Kafka keeps its files) are accepted with every value it takes.
Source: https://kafka.apache.org/documentation/#topicconfigs. Called by `broker` and the handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from nrtctl.local.broker.log.cleaned import Compaction
from nrtctl.local.broker.wire.errors import ErrorCode, Refused
from nrtctl.local.broker.wire.recode import CODECS, Wants

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
            given = split(value) if self.type is Type.LIST else [value]
            if any(each.strip() not in self.allowed for each in given):
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


def split(value: str) -> list[str]:
    """The items of a list; there may be none."""
    return value.split(",") if value.strip() else []


def _only(type_: Type, *values: str) -> Definition:
    documentation = "Only this value is served." if len(values) == 1 else "It changes nothing here."
    return Definition(type_, values[0], documentation, allowed=values)


def _idle(
    type_: Type, default: str, lowest: int = 0, highest: int = _LONG_MAX, *, why: str
) -> Definition:
    return Definition(type_, default, f"It changes nothing here: {why}.", lowest, highest)


_NO_FOLLOWERS: Final = "there are no followers"
_OWN_FILES: Final = "this broker keeps its files in its own way"
_CODECS: Final = ("producer", *CODECS)


DEFINITIONS: Final[dict[str, Definition]] = {
    "cleanup.policy": Definition(
        Type.LIST,
        "delete",
        "Whether old segments are deleted, records with an older value for their key, or both. "
        "Empty: neither.",
        allowed=("delete", "compact"),
    ),
    "compression.type": Definition(
        Type.STRING,
        "producer",
        'The codec of batches; "producer" keeps them as they were sent.',
        allowed=_CODECS,
    ),
    "max.message.bytes": Definition(
        Type.INT, "1048588", "The largest record batch accepted, in bytes.", highest=_INT_MAX
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
    "delete.retention.ms": Definition(
        Type.LONG, "86400000", "Milliseconds that a null value stays after compaction has met it."
    ),
    "min.cleanable.dirty.ratio": Definition(
        Type.DOUBLE,
        "0.5",
        "Share of bytes never compacted, above which a log is compacted.",
        highest=1,
    ),
    "min.compaction.lag.ms": Definition(
        Type.LONG, "0", "Milliseconds that a record stays at least."
    ),
    "max.compaction.lag.ms": Definition(
        Type.LONG, str(_LONG_MAX), "Milliseconds after which a record is compacted.", lowest=1
    ),
    "leader.replication.throttled.replicas": _idle(Type.LIST, "", why=_NO_FOLLOWERS),
    "follower.replication.throttled.replicas": _idle(Type.LIST, "", why=_NO_FOLLOWERS),
    "file.delete.delay.ms": _idle(Type.LONG, "60000", why=_OWN_FILES),
    "index.interval.bytes": _idle(Type.INT, "4096", highest=_INT_MAX, why=_OWN_FILES),
    "segment.index.bytes": _idle(Type.INT, "10485760", 4, _INT_MAX, why=_OWN_FILES),
    "segment.jitter.ms": _idle(Type.LONG, "0", why=_OWN_FILES),
    "compression.gzip.level": Definition(
        Type.INT, "-1", "Used where compression.type is gzip.", -1, 9
    ),
    "compression.lz4.level": Definition(
        Type.INT, "9", "Used where compression.type is lz4.", 1, 17
    ),
    "compression.zstd.level": Definition(
        Type.INT, "3", "Used where compression.type is zstd.", -131072, 22
    ),
}


BROKER_NAMES: Final = {
    "cleanup.policy": "log.cleanup.policy",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "file.delete.delay.ms": "log.segment.delete.delay.ms",
    "flush.messages": "log.flush.interval.messages",
    "flush.ms": "log.flush.interval.ms",
    "index.interval.bytes": "log.index.interval.bytes",
    "local.retention.bytes": "log.local.retention.bytes",
    "local.retention.ms": "log.local.retention.ms",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "max.message.bytes": "message.max.bytes",
    "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
    "message.timestamp.type": "log.message.timestamp.type",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "preallocate": "log.preallocate",
    "retention.bytes": "log.retention.bytes",
    "retention.ms": "log.retention.ms",
    "segment.bytes": "log.segment.bytes",
    "segment.index.bytes": "log.index.size.max.bytes",
    "segment.jitter.ms": "log.roll.jitter.ms",
    "segment.ms": "log.roll.ms",
    **{
        name: name
        for name in (
            *("compression.type", "compression.gzip.level", "compression.lz4.level"),
            *("compression.zstd.level", "min.insync.replicas", "unclean.leader.election.enable"),
        )
    },
}
"""What the defaults of topics are called among the broker's own settings."""


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
        policies = {each.strip() for each in split(self["cleanup.policy"])}
        self.deletes = "delete" in policies
        self.compaction = self._compaction() if "compact" in policies else None
        if self.compaction is not None:
            self.segment_ms = min(self.segment_ms, self.compaction.max_lag_ms)
        self.wants = self._wants()

    def _compaction(self) -> Compaction:
        return Compaction(
            float(self["min.cleanable.dirty.ratio"]),
            int(self["min.compaction.lag.ms"]),
            int(self["max.compaction.lag.ms"]),
            int(self["delete.retention.ms"]),
        )

    def _wants(self) -> Wants | None:
        """What is to be done with batches that come; None: nothing."""
        name = self["compression.type"]
        codec = CODECS.get(name)
        if codec is None and self.compaction is None:
            return None
        level = DEFINITIONS.get(f"compression.{name}.level")
        chosen = int(self[f"compression.{name}.level"]) if level is not None else -1
        return Wants(codec, chosen, keys=self.compaction is not None)

    def __getitem__(self, key: str) -> str:
        for given in (self.overrides, self.defaults):
            if key in given:
                return given[key]
        return DEFINITIONS[key].default

    @staticmethod
    def known_keys() -> tuple[str, ...]:
        return tuple(DEFINITIONS)
