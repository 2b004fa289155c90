"""Offsets of the group that a pipeline had before.

Called by `up` and by a consumer that starts. What the former group had stored for this table goes
on where it stood, of three kinds:

- The default was `nrtctl` for every pipeline. Two that shared it disturbed each other, so it is
  `nrtctl-<table>` now.
- Two tables of one name in two databases shared that as well: each stored a part of the messages,
  and one that was new stored nothing. So where the database has a name of its own, the group has it
  in front of the table's.
- A pipeline that gets more topics has a group for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from nrtctl.clock import Clock
from nrtctl.config.counted import counted
from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.kafka.error_codes import NOT_ALLOWED, meaning_of
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.store.intents import names_table

FORMER = "nrtctl"


@dataclass(frozen=True, slots=True)
class _Former:
    """A group that the pipeline may have had.

    Attributes:
        why: it has another one now.
        kept: what keeps the former name; empty: nothing can.
        is_of_all: other databases may have had it too.
    """

    name: str
    why: str
    kept: str = ""
    is_of_all: bool = False


def _formers(config: Config) -> Iterator[_Former]:
    """The newest first."""
    name, whole, topic = config.consumer.group, config.group_of_all, config.pipeline.topic
    is_default = (whole or name) == config.default_group
    older = f"nrtctl-{config.pipeline.table}"
    if is_default and older != config.default_group:
        yield _Former(
            older if whole is None else f"{older}/{topic}",
            "the default group is now named after the database and the table",
            f'set consumer.group = "{older}" to keep the former name',
            is_of_all=True,
        )
    if whole is not None:
        yield _Former(whole, "each topic has a group of its own")
    elif is_default:
        yield _Former(
            FORMER,
            "the default group is now named after the table",
            f'set consumer.group = "{FORMER}" to keep the former name',
        )


def take_over(
    config: Config,
    admin: AdminClient,
    partitions: int,
    *,
    address: str,
    clock: Clock,
    has_rows: Callable[[], bool],
) -> str | None:
    """Take over the former group's offsets of this table; what to say of it.

    Nothing is done where there is no former group, where the group has offsets already, or where
    the former one has none of this table.

    Args:
        has_rows: whether the table, or its dead letters, have any. Where they have none, the
            offsets of a group that other databases may have had are theirs.

    Raises:
        NrtctlError: the former group has members: an older consumer stores into the same table.
        ConnectError, WaitTimeout: Kafka does not answer.
    """
    for former in _formers(config):
        said = _taken_over(config, admin, partitions, former, address, clock, has_rows)
        if said is not None:
            return said
    return None


def _taken_over(
    config: Config,
    admin: AdminClient,
    partitions: int,
    before: _Former,
    address: str,
    clock: Clock,
    has_rows: Callable[[], bool],
) -> str | None:
    name, topic = config.consumer.group, config.pipeline.topic
    former, group = (
        GroupOffsets(
            admin, each, topic, address=address, timeout=config.kafka.connect_timeout, clock=clock
        )
        for each in (before.name, name)
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
    if before.is_of_all and not has_rows():
        return None
    if members := former.members():
        still = f"{counted(len(members), 'member')} storing into {config.pipeline.table}"
        hint = "stop the consumers that were started before the pipeline had several topics"
        if before.kept:
            hint = f"stop the consumers of the older version first, or {before.kept}"
        raise NrtctlError(
            f"group {before.name!r} still has {still}, but {before.why}: {name!r}", hint=hint
        )
    group.commit_offsets(found)
    kept = f"; {before.kept}" if before.kept else ""
    return f"{before.why}: {name} continues where {before.name} stopped{kept}"
