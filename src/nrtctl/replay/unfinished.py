"""Whether a load was begun and not finished. Asked by `replay.move` and `replay.load`, and by what
must not change rows or messages meanwhile: `nrtctl verify` and `nrtctl topics`."""

from __future__ import annotations

from collections.abc import Sequence

from nrtctl.clock import Clock
from nrtctl.config.model import Config
from nrtctl.errors import NrtctlError
from nrtctl.kafka import clients, topics
from nrtctl.kafka.error_codes import NOT_ALLOWED, meaning_of
from nrtctl.kafka.group_offsets import GroupOffsets
from nrtctl.replay import job
from nrtctl.replay.job import Span

RESUME = "`nrtctl replay load --resume --execute` finishes it"


def unfinished(group: GroupOffsets, partitions: Sequence[int]) -> dict[int, Span]:
    """The load that a job's group holds. Raises NrtctlError: it holds something else."""
    try:
        return {
            number: job.parse(offset, text)
            for number, (offset, text) in group.committed(partitions).items()
            if offset is not None
        }
    except ValueError as error:
        raise NrtctlError(f"the offsets of group {group.name} are not valid: {error}") from error


def is_under_way(config: Config, *, address: str, clock: Clock) -> bool:
    """Whether rows of the pipeline's own table may be deleted, and their messages not loaded again.

    Raises:
        ConnectError, WaitTimeout: Kafka does not answer.
        NrtctlError: there is no topic.
    """
    topic, timeout = config.pipeline.topic, config.kafka.connect_timeout
    admin = clients.make_admin(config.kafka, address=address)
    count = topics.partition_count(admin, topic, address=address, timeout=timeout)
    name = job.job_group(config.consumer.group, config.pipeline.table)
    group = GroupOffsets(admin, name, topic, address=address, timeout=timeout, clock=clock)
    try:
        return bool(unfinished(group, range(count)))
    except NrtctlError as error:
        if meaning_of(error) in NOT_ALLOWED:
            return False  # who may not see that group loads nothing
        raise
