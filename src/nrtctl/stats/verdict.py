"""From the numbers to one word and its cause. Pure; used by `watcher`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nrtctl.config.counted import counted
from nrtctl.stats.snapshot import Group, PartitionLag, Problem, State, Verdict

PATIENCE = 10.0
"""Seconds of `Evidence.patience`, where batches are closed sooner."""

TOLERABLE = 5.0
"""Seconds of `Evidence.tolerable`, where batches are closed sooner."""


WELL: frozenset[State] = frozenset({"ok", "idle"})
"""What needs nobody's attention."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made from.

    `quiet`: partition to the seconds for which it has had a lag, the group has had members, and its
    committed offset has not moved, whatever the timestamps of its records say.
    `produced`, `consumed`: records a second over the last looks; None: not known yet.
    `held`: partitions in which all is committed up to an open transaction, and its first offset.
    """

    problems: Sequence[Problem]
    lag: Sequence[PartitionLag]
    group: Group | None
    quiet: dict[int, float]
    produced: float | None
    consumed: float | None
    lag_seconds: float | None
    parts_most: int | None = None
    parts_limit: int | None = None
    held: Mapping[int, int] = field(default_factory=dict)
    batch_wait: float = 0.0
    """Seconds that a message waits at most until its batch is closed."""

    @property
    def oldest(self) -> float | None:
        """`lag_seconds`, or where it is not known of all partitions, the largest that is."""
        if self.lag_seconds is not None:
            return self.lag_seconds
        known = [each.lag_seconds for each in self.lag if each.lag_records]
        return max((each for each in known if each is not None), default=None)

    @property
    def tolerable(self) -> float:
        """Seconds of lag that no verdict is made of: twice that, as an insert takes time, too."""
        return max(TOLERABLE, 2 * self.batch_wait)

    @property
    def patience(self) -> float:
        """Seconds without progress, with a lag and a member, after which it has stalled."""
        return max(PATIENCE, 3 * self.batch_wait)


def judge(seen: Evidence) -> Verdict:
    """The first that applies: a source gone, paused, stopped or idle, stalled, behind, ok."""
    for problem in (each for each in seen.problems if each.source in ("kafka", "clickhouse")):
        name: State = "Kafka gone" if problem.source == "kafka" else "ClickHouse gone"
        return Verdict(name if problem.gone else "unknown", problem.message)
    if seen.group is None:
        return Verdict("unknown", "the consumer group has not been asked")
    behind = [each for each in seen.lag if each.lag_records]
    total = sum(each.lag_records for each in behind)
    waiting = counted(total, "record waits", "records wait") if total else "nothing waits"
    if seen.group.paused_since is not None:
        since = f"since {seen.group.paused_since} (UTC), until `nrtctl resume`"
        return Verdict("paused", f"{since}; {waiting}")
    if not seen.group.members:
        name = "stopped" if total else "idle"
        return Verdict(name, f"no consumer is in the group {seen.group.name}; {waiting}")
    late = seen.oldest is not None and seen.oldest > seen.tolerable
    stuck = [each for each in behind if seen.quiet.get(each.partition, 0) >= seen.patience]
    if stuck:
        return Verdict("stalled", _stalled(stuck, seen))
    if not behind or not late or seen.produced is None or seen.consumed is None:
        return Verdict("ok", _fine(total, seen.lag_seconds))
    if seen.consumed > seen.produced:
        soon = total / (seen.consumed - seen.produced)
        return Verdict("ok", f"catching up: {counted(total, 'record')}, drained in {soon:,.0f} s")
    return Verdict(
        "falling behind",
        f"{seen.produced:,.0f} records/s come in, {seen.consumed:,.0f} are stored; {total:,} "
        f"are waiting, the oldest for {seen.oldest or 0:,.0f} s",
    )


def _stalled(stuck: Sequence[PartitionLag], seen: Evidence) -> str:
    numbers = ", ".join(str(each.partition) for each in stuck)
    plural = "s" if len(stuck) > 1 else ""
    longest = max(seen.quiet[each.partition] for each in stuck)
    text = f"partition{plural} {numbers}: no offset committed for {longest:,.0f} s"
    if all(each.partition in seen.held for each in stuck):
        first = stuck[0].partition
        return (
            f"{text}; the next records are in a transaction that a producer has not ended "
            f"(in partition {first} since offset {seen.held[first]:,}), or behind it"
        )
    members = seen.group.members if seen.group is not None else []
    held = {number for member in members for number in member.partitions}
    if seen.group is not None and seen.group.state != "stable":
        return f"{text}; the group is {seen.group.state.replace('_', ' ')}"
    if not all(each.partition in held for each in stuck):
        return f"{text}; no member has {'them' if plural else 'it'}"
    limit, most = seen.parts_limit, seen.parts_most
    if limit is not None and most is not None and most >= limit:
        return f"{text}; the table has {counted(most, 'part')}, inserts are refused from {limit:,}"
    for problem in (each for each in seen.problems if each.source == "registry"):
        return f"{text}; {problem.message}"
    return f"{text}; the consumers' log says why"


def _fine(total: int, seconds: float | None) -> str:
    if not total:
        return "everything in the log is stored"
    return counted(total, "record waits", "records wait") + (
        "" if seconds is None else f", {seconds:.1f} s at most"
    )
