"""Where a newly assigned partition starts. Pure; called by `consumer.group`."""

from __future__ import annotations

from dataclasses import dataclass

from nrtctl.intents.ranges import OffsetRange, decode_intent


@dataclass(frozen=True, slots=True)
class Position:
    """The offset to fetch from, and what must be done first.

    Attributes:
        epoch: the part of the deduplication tokens that changes when offsets are moved.
        pending: the batch to resolve.
        lost: what retention took before it was known to be stored.
        look: the pending batch may be there under other tokens.
        shared: names the token that the pending batch was first sent under, with others.
        unsaid: it was chosen here, and is committed before anything else is: else it would be
            another one after a restart.
    """

    offset: int
    epoch: str
    pending: OffsetRange | None = None
    lost: OffsetRange | None = None
    look: bool = False
    shared: str = ""
    unsaid: bool = False


def resume(
    table: str,
    *,
    committed: int | None,
    metadata: str | None,
    log_start: int,
    log_end: int,
    fresh: str,
) -> Position:
    """What to do with a partition on assignment.

    Args:
        committed: the group's committed offset, None if there is none.
        log_start, log_end: the log's first offset, and the one after its last.
        fresh: an epoch that was never used, lower-case letters and digits.

    Raises:
        UnknownMetadataError: see `decode_intent`.
        ValueError: the committed offset lies beyond the log's end.
    """
    if committed is None:
        return Position(log_start, fresh)
    intent = decode_intent(table, committed, metadata)
    pending = intent.batch if intent else None
    epoch = intent.epoch if intent else fresh
    needed = pending.end if pending else committed
    if needed > log_end:
        raise ValueError(
            f"the group stands at {needed}, but the log ends at {log_end}: "
            "the topic was made anew, or lost data"
        )
    if log_start <= committed:
        if intent is None:
            return Position(committed, epoch)
        return Position(committed, epoch, pending, look=intent.look, shared=intent.shared)
    lost = OffsetRange(committed, log_start)
    if pending is not None and pending.end > log_start:
        return Position(log_start, epoch, OffsetRange(log_start, pending.end), lost, look=True)
    return Position(log_start, epoch, None, lost)
