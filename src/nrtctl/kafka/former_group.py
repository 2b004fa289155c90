"""Offsets of the group that a pipeline had before.

Called by `up` and by a consumer that starts. What the former group had stored for this table goes
on where it stood, of two kinds:

- The default was `nrtctl` for every pipeline. Two that shared it disturbed each other, so it is
  `nrtctl-<table>` now.
- A pipeline that gets more topics has a group for each of them.
"""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.kafka.error_codes import NOT_ALLOWED, meaning_of
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.store.intents import names_table

FORMER = "nrtctl"


def take_over(
    config: Config, admin: AdminClient, partitions: int, *, address: str, clock: Clock
) -> str | None:
    """Take over the former group's offsets of this table; what to say of it.

    Nothing is done where there is no former group, where the group has offsets already, or where
    the former one has none of this table.

    Raises:
        NrtctlError: the former group has members: an older consumer stores into the same table.
        ConnectError, WaitTimeout: Kafka does not answer.
    """
    name, topic = config.consumer.group, config.pipeline.topic
    former_name = config.group_of_all or (FORMER if name == config.default_group else None)
    if former_name is None:
        return None
    former, group = (
        GroupOffsets(
            admin, each, topic, address=address, timeout=config.kafka.connect_timeout, clock=clock
        )
        for each in (former_name, name)
    )
    numbers = range(partitions)
    try:
        found = {
            number: (offset, metadata)
            for number, (offset, metadata) in former.committed(numbers).items()
            if offset is not None and names_table(metadata, config.pipeline.table)
        }
        known = group.committed(numbers) if found else {}
    except NrtctlError as error:
        if meaning_of(error) in NOT_ALLOWED:
            return None  # a user who may not see the former group has stored nothing by it
        raise
    if not found or any(offset is not None for offset, _ in known.values()):
        return None
    if members := former.members():
        still = f"{counted(len(members), 'member')} storing into {config.pipeline.table}"
        if config.group_of_all:
            raise NrtctlError(
                f"group {former_name!r} still has {still}, but that of topic {topic!r} is now "
                f"{name!r}",
                hint="stop the consumers that were started before the pipeline had several topics",
            )
        raise NrtctlError(
            f"group {FORMER!r} still has {still}, but the default group is now {name!r}",
            hint="stop the consumers of the older version first, or keep their group: "
            f'consumer.group = "{FORMER}"',
        )
    group.commit_offsets(found)
    if config.group_of_all:
        return f"each topic has a group of its own: {name} continues where {former_name} stopped"
    return (
        f"the default group is now named after the table: {name} continues where {FORMER} stopped; "
        f'set consumer.group = "{FORMER}" to keep the former name'
    )
