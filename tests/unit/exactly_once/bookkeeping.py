"""What `Assignment` keeps at hand, so that no turn walks over all partitions, is what such a walk
would find."""

from __future__ import annotations

from collections.abc import Container

from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.partition import Partition, Stage


def check(assignment: Assignment, now: float, committing: Container[int]) -> None:
    """After a turn at `now`."""
    partitions, awake = assignment.partitions, assignment.awake
    assert awake.items() <= partitions.items()
    assert assignment.gathering == {n: p for n, p in awake.items() if p.batch is None}
    assert assignment.held() == sum(map(_held, partitions.values()))
    assert assignment.inserts() == len(set(assignment._inserts.values()))
    declared = {n for n, p in partitions.items() if p.stage is Stage.DECLARED}
    assert assignment.waits_for_topic() == bool(declared)
    intents = [p.declare_at for p in partitions.values() if p.declare_at is not None]
    assert assignment.next_intent() == min(intents, default=float("inf"))
    for number, partition in partitions.items():
        assert not (partition.batch is not None and partition.is_to_declare(now)) or (
            number in committing
        )
        assert not partition.idle() or number in committing
        assert partition.sleeps() or number in awake


def _held(partition: Partition) -> int:
    batch = partition.batch.size if partition.batch is not None else 0
    return batch if partition.fetches_pending() else batch + partition.buffer.bytes
