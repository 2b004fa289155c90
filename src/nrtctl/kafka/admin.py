"""What of `confluent_kafka.admin` is used; not all of it is exported to type checkers."""

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
SET = AlterConfigOpType.SET
UNSET = AlterConfigOpType.DELETE

__all__ = [
    "EARLIEST",
    "LATEST",
    "SET",
    "UNSET",
    "AdminClient",
    "ConfigEntry",
    "ConfigResource",
    "NewPartitions",
    "NewTopic",
    "OffsetSpec",
]
