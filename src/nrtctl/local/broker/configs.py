"""Topic configuration: what may be set, its defaults, and what is refused.

A key that Apache Kafka knows but that this broker would not act on is accepted with its harmless
value only, so that nobody is told yes to something that does not happen.
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
                    f"Invalid value {value} for configuration {key}: "
                    f"this broker serves {', '.join(self.allowed)}",
                )
            return
        try:
            number = int(value)
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


def _only(type_: Type, value: str) -> Definition:
    return Definition(type_, value, "Only this value is served.", allowed=(value,))


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
    "unclean.leader.election.enable": _only(Type.BOOLEAN, "false"),
    "preallocate": _only(Type.BOOLEAN, "false"),
    "remote.storage.enable": _only(Type.BOOLEAN, "false"),
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
        self.retention_ms = int(self["retention.ms"])
        self.retention_bytes = int(self["retention.bytes"])
        self.append_time = self["message.timestamp.type"] == "LogAppendTime"

    def __getitem__(self, key: str) -> str:
        return self.overrides.get(key) or self.defaults.get(key) or DEFINITIONS[key].default

    @staticmethod
    def known_keys() -> tuple[str, ...]:
        return tuple(DEFINITIONS)
