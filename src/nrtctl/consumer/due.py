"""Which partitions' next batches are to be taken now, which of them for one insert, and how long
the loop may sleep. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nrtctl.config.model import Batch as Limits
from nrtctl.consumer.assigned import AssignedPartition

Partitions = Mapping[int, AssignedPartition]

TOGETHER_BYTES = 8 * 2**20
"""Of batches that share an insert: they are copied into one body, and what an insert costs whatever
its size is little beside as many rows."""
TOGETHER_ROWS = 65_000
"""Less than any engine's default block, so that they are one block whatever settings it heeds."""


def to_take(
    partitions: Partitions,
    limits: Limits,
    *,
    max_inserts: int,
    now: float,
    at_once: bool,
    full: bool,
    together: bool,
) -> list[list[int]]:
    """The partitions of each insert that is to begin: the longest waiting first; where the buffer
    is full, the largest first, each alone.

    A batch that is due by time, or because the buffer is full, waits until a thread is free:
    messages may join it until then, and are stored sooner than as the batch after it. With one that
    is due by time goes what the other partitions have, within `limits` and `TOGETHER_*`.

    Args:
        max_inserts: inserts that can be under way at once.
        at_once: take whatever is there.
        full: nothing more can be fetched before something is taken.
        together: one insert may have batches of several partitions.
    """
    free = max_inserts - _under_way(partitions)
    resting = [
        each for each in partitions.items() if each[1].batch is None and each[1].top is not None
    ]
    resting.sort(key=_largest if full else _oldest)
    found = []
    for group in _groups(resting, limits, together=together and not full):
        by_time = math.inf if free <= 0 else 0.0 if full else limits.max_wait
        if any(
            state.buffer.ready(
                now,
                max_rows=limits.max_rows,
                max_bytes=limits.max_bytes,
                max_wait=0.0 if at_once or state.at_limit() else by_time,
            )
            for _, state in group
        ):
            found.append([number for number, _ in group])
            free -= 1
    return found


def _groups(
    resting: list[tuple[int, AssignedPartition]], limits: Limits, *, together: bool
) -> list[list[tuple[int, AssignedPartition]]]:
    """Those that could go in one insert, in the order in which the first of each stands."""
    groups: list[list[tuple[int, AssignedPartition]]] = []
    open_group: list[tuple[int, AssignedPartition]] = []
    rows = size = 0
    most_rows = min(limits.max_rows, TOGETHER_ROWS)
    most_bytes = min(limits.max_bytes, TOGETHER_BYTES)
    for number, state in resting:
        buffer = state.buffer
        large = len(buffer) > most_rows or buffer.bytes > most_bytes
        if not together or large or state.alone():
            groups.append([(number, state)])
            continue
        if not len(buffer):
            continue
        rows, size = rows + len(buffer), size + buffer.bytes
        if not open_group or rows > most_rows or size > most_bytes:
            open_group = []
            groups.append(open_group)
            rows, size = len(buffer), buffer.bytes
        open_group.append((number, state))
    return groups


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
    """Inserts: batches that go together are one."""
    return len(
        {
            id(state.flight) if state.flight is not None else state.batch.shared or number
            for number, state in partitions.items()
            if state.batch is not None
        }
    )
