"""Groups whose members share out something else than a consumer's partitions, such as those of
Kafka Connect. Used by `groups`.

Kafka's own client (librdkafka 2.16) ends the process when it describes one, so such a group is
found out with an older request, whose answer it hands over as bytes.
"""

from __future__ import annotations

import struct
import warnings
from typing import Any

from confluent_kafka.admin import AdminClient

from nrtctl.kafka.group_states import GroupMember, GroupState

CONSUMER = "consumer"


def foreign_state(admin: AdminClient, name: str, *, timeout: float) -> GroupState | None:
    """What can be told of a group that is not of consumers, without what its members have and
    what it has committed; None: it may be described.

    Raises:
        KafkaException: there is no answer in that time, in seconds.
    """
    with warnings.catch_warnings():
        # Deprecated for what cannot be asked about such a group.
        warnings.simplefilter("ignore", DeprecationWarning)
        found: Any = next(iter(admin.list_groups(name, timeout=timeout)), None)
    if found is None or found.error is not None:
        return None  # whoever describes it is told so
    members: list[Any] = list(found.members or ())
    if found.protocol_type in ("", CONSUMER) and all(
        is_of_consumers(each.assignment or b"") for each in members
    ):
        return None
    at = found.broker
    return GroupState(
        name,
        (found.state or "unknown").lower(),
        found.protocol_type or "unknown",
        found.protocol or "",
        f"{at.host}:{at.port}" if at is not None else "",
        tuple(
            GroupMember(each.client_id, each.client_host.lstrip("/"), each.id, None, ())
            for each in members
        ),
        (),
        foreign=True,
    )


def is_of_consumers(assignment: bytes) -> bool:
    """Whether it is what Kafka's `ConsumerProtocolAssignment` says: a version, then topics, each
    with its partitions, then anything. A member that has nothing yet has no bytes."""
    if not assignment:
        return True
    try:
        version, topics = struct.unpack_from(">hi", assignment)
        at = 6
        if version < 0 or topics < 0:
            return False
        for _ in range(topics):
            (length,) = struct.unpack_from(">h", assignment, at)
            (partitions,) = struct.unpack_from(">i", assignment, at + 2 + length)
            at += 2 + length + 4
            if length < 0 or not 0 <= partitions <= (len(assignment) - at) // 4:
                return False
            at += 4 * partitions
    except struct.error:
        return False
    return True
