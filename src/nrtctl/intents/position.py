"""Where a newly assigned partition starts. Pure; called by `consumer.group`."""

from __future__ import annotations

from dataclasses import dataclass

from nrtctl.intents.ranges import LOOK, OffsetRange, decode_metadata


@dataclass(frozen=True, slots=True)
class Position:
    """The offset to fetch from, and what must be done first.

    `pending` is the batch to resolve; `look` says that it may be there under other tokens;
    `lost` is what retention took before it was known to be stored.
    """

    offset: int
    pending: OffsetRange | None = None
    lost: OffsetRange | None = None
    look: bool = False


def resume(
    table: str, *, committed: int | None, metadata: str | None, log_start: int, log_end: int
) -> Position:
    """What to do with a partition on assignment.

    Args:
        committed: the group's committed offset, None if there is none.
        log_start, log_end: the log's first offset, and the one after its last.

    Raises:
        UnknownMetadataError: see `decode_metadata`.
        ValueError: the committed offset lies beyond the log's end.
    """
    if committed is None:
        return Position(log_start)
    pending = decode_metadata(table, committed, metadata)
    needed = pending.end if pending else committed
    if needed > log_end:
        raise ValueError(
            f"the group stands at {needed}, but the log ends at {log_end}: "
            "the topic was made anew, or lost data"
        )
    if log_start <= committed:
        look = pending is not None and bool(metadata) and str(metadata).endswith(LOOK)
        return Position(committed, pending, look=look)
    lost = OffsetRange(committed, log_start)
    if pending is not None and pending.end > log_start:
        return Position(log_start, OffsetRange(log_start, pending.end), lost, look=True)
    return Position(log_start, None, lost)
