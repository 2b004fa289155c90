"""Where a newly assigned partition starts. Pure; called by `kafka.membership`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from nrtctl.pipeline import FIRST
from nrtctl.store.intents.incarnation import Incarnation
from nrtctl.store.intents.ranges import OffsetRange, decode_intent, is_fence, topic_tag


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
        earlier: the offset that the group had committed in an earlier topic of this name.
        log_end: of the log then; None: not known.
        moved_above: the log's start, where another program has committed the offset; None: it was
            nrtctl.
    """

    offset: int
    epoch: str
    pending: OffsetRange | None = None
    lost: OffsetRange | None = None
    look: bool = False
    shared: str = ""
    unsaid: bool = False
    earlier: int | None = None
    log_end: int | None = field(default=None, compare=False)
    moved_above: int | None = field(default=None, compare=False)


def of_this_topic(metadata: str | None, topic: Incarnation) -> bool:
    """Whether an offset that was committed with `metadata` is one of `topic`.

    An offset without a tag was committed by another program, by hand, or by an nrtctl that knew one
    topic of each name: that one is the first. What another program committed is believed, and so is
    a fence without a tag: one that an earlier nrtctl set must stop whoever joins.
    """
    tag = topic_tag(metadata)
    if not topic.tag or tag is None or (not tag and is_fence(metadata)):
        return True
    return tag == topic.tag or (not tag and topic.number == FIRST)


def resume(
    table: str,
    *,
    committed: int | None,
    metadata: str | None,
    log_start: int,
    log_end: int,
    fresh: str,
    topic: Incarnation | None = None,
) -> Position:
    """What to do with a partition on assignment.

    Args:
        committed: the group's committed offset, None if there is none.
        log_start, log_end: the log's first offset, and the one after its last.
        fresh: an epoch that was never used, lower-case letters and digits.
        topic: the one that is there now; None: it is not known.

    Raises:
        UnknownMetadataError: see `decode_intent`.
        ValueError: the committed offset lies beyond the log's end.
    """
    # What retention has taken before is said at once: nothing may come that would say it later.
    unsaid, at = log_start > 0, partial(Position, log_end=log_end)
    if committed is None:
        return at(log_start, fresh, unsaid=unsaid)
    if topic is not None and not of_this_topic(metadata, topic):
        return at(log_start, fresh, unsaid=unsaid, earlier=committed)
    intent = decode_intent(table, committed, metadata)
    pending = intent.batch if intent else None
    epoch = intent.epoch if intent else fresh
    needed = pending.end if pending else committed
    if needed > log_end:
        raise ValueError(
            f"the group's offset is {needed}, but the log ends at {log_end}: the topic was created "
            "again, or has lost messages"
        )
    if log_start <= committed:
        if intent is None:
            return at(committed, epoch, moved_above=log_start)
        return at(committed, epoch, pending, look=intent.look, shared=intent.shared)
    lost = OffsetRange(committed, log_start)
    if pending is not None and pending.end > log_start:
        return at(log_start, epoch, OffsetRange(log_start, pending.end), lost, look=True)
    return at(log_start, epoch, None, lost, unsaid=True)
