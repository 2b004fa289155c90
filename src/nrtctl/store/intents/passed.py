"""What another program's commit in the group has made a consumer pass. Pure.

nrtctl writes its own metadata with each offset that it commits; an offset without any was committed
by another program, as by `kafka-consumer-groups --reset-offsets`. What lies between the highest row
and such an offset was never stored by the group.
"""

from __future__ import annotations

from collections.abc import Mapping

from nrtctl.store.intents.ranges import OffsetRange

NAMED = 3
"""Partitions that are named."""


def passed(committed: int, log_start: int, highest: int) -> OffsetRange | None:
    """What is below an offset that another program has committed, and above the rows.

    Args:
        highest: the highest offset that has a row; -1: none has.
    """
    start = max(log_start, highest + 1)
    return OffsetRange(start, committed) if start < committed else None


def told(topic: str, spans: Mapping[int, OffsetRange]) -> str:
    """Args: spans: what was passed, by partition; at least one."""
    named = [f"partition {number}: {spans[number]}" for number in sorted(spans)]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    number = min(spans)
    command = (
        f"nrtctl replay load --partition {number} "
        f"--offset {spans[number].start}:{spans[number].end} --execute"
    )
    where = "; ".join(named[:NAMED]) + more
    return (
        "another program has moved the consumer group's offsets past messages of the topic "
        f"{topic!r} that are not stored ({where}): `{command}` stores those of partition {number}, "
        "and `nrtctl verify` shows all"
    )
