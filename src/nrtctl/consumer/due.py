"""Which partitions' next batches are to be taken now, and how long the loop may sleep. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nrtctl.config.model import Batch as Limits
from nrtctl.consumer.assigned import AssignedPartition

Partitions = Mapping[int, AssignedPartition]


def to_take(
    partitions: Partitions,
    limits: Limits,
    *,
    max_inserts: int,
    now: float,
    at_once: bool,
    full: bool,
) -> list[int]:
    """The partitions, the longest waiting first; where the buffer is full, the largest first.

    A batch that is due by time, or because the buffer is full, waits until a thread is free:
    messages may join it until then, and are stored sooner than as the batch after it.

    Args:
        max_inserts: batches that can be under way at once.
        at_once: take whatever is there.
        full: nothing more can be fetched before something is taken.
    """
    free = max_inserts - _under_way(partitions)
    resting = [
        each for each in partitions.items() if each[1].batch is None and each[1].top is not None
    ]
    found = []
    for number, state in sorted(resting, key=_largest if full else _oldest):
        by_time = math.inf if free <= 0 else 0.0 if full else limits.max_wait
        if state.buffer.ready(
            now,
            max_rows=limits.max_rows,
            max_bytes=limits.max_bytes,
            max_wait=0.0 if at_once or state.at_limit() else by_time,
        ):
            found.append(number)
            free -= 1
    return found


def seconds_left(
    partitions: Partitions, limits: Limits, *, max_inserts: int, now: float, most: float
) -> float:
    """Until a batch is due by time or an intent is to be sent again; `most` if that is later."""
    free = _under_way(partitions) < max_inserts
    left = most
    for state in partitions.values():
        if state.again_at is not None:
            left = min(left, state.again_at - now)
        elif free and state.batch is None:
            left = min(left, state.since() + limits.max_wait - now)
    return max(0.0, left)


def _oldest(item: tuple[int, AssignedPartition]) -> float:
    return item[1].since()


def _largest(item: tuple[int, AssignedPartition]) -> float:
    return -item[1].buffer.bytes


def _under_way(partitions: Partitions) -> int:
    return len([state for state in partitions.values() if state.batch is not None])
