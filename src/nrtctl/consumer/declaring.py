"""What the loop commits: intents, intents once more for an insert's thread, and "all is stored".

Used by `loop`, on its thread; the answers come from within a fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nrtctl.clock import Clock
from nrtctl.consumer.assigned import AssignedPartition
from nrtctl.consumer.buffer import Batch
from nrtctl.consumer.commits import Answered, Commit, Verdict
from nrtctl.consumer.group import Group
from nrtctl.consumer.renewals import Renewal, Renewals
from nrtctl.faultpoints import reach
from nrtctl.intents import Incarnation, Intent, encode_metadata
from nrtctl.intents.delivery import Mode

RENEW_AGAIN = 0.2
SAID_AFTER = 3.0
SAID_AGAIN = 10.0
"""Seconds of intents that are not taken, before it is said, and between two times."""


class Declaring:
    """Args:
    partitions: the loop's, by number; looked at when an answer comes.
    topic: whose offsets are committed.
    declared: given a partition whose batch may be inserted, and when its intent was sent.
    refused: given a partition that went to another member.
    note: told that Kafka has not taken an intent for a while.
    """

    def __init__(
        self,
        group: Group,
        table: str,
        partitions: Mapping[int, AssignedPartition],
        renewals: Renewals,
        *,
        clock: Clock,
        intents: bool,
        topic: Incarnation,
        declared: Callable[[int, float], None],
        refused: Callable[[int], None],
        note: Callable[[str], None],
    ) -> None:
        self._group = group
        self._table = table
        self._partitions = partitions
        self._renewals = renewals
        self._clock = clock
        self._intents = intents
        self._topic = topic.tag
        self._declared = declared
        self._refused = refused
        self._note = note
        self._since: dict[int, float] = {}
        self._said: dict[int, float] = {}

    def declare(self, numbers: Sequence[int]) -> None:
        """Send the intents of the batches that these partitions have under way."""
        commits = []
        for number in numbers:
            state = self._partitions[number]
            if number in self._group.commits or state.batch is None:
                continue
            state.again_at = None
            commits.append(self._intent(state.batch, state.mode is Mode.LOOK))
        if commits:
            now = self._clock.monotonic()
            self._group.commit(commits, lambda commit: self._when_declared(commit, now))
            reach("intent-sent")

    def rest(self, numbers: Sequence[int]) -> None:
        """Say that in these partitions all is stored, and nothing is under way."""
        commits = [
            self._nothing(self._partitions[number])
            for number in numbers
            if number not in self._group.commits
        ]
        if commits:
            self._group.commit(commits, self._when_at_rest)
            reach("idle-commit-sent")

    def renew(self) -> None:
        """Declare again what an insert's thread asks for; it waits for the answer."""
        for wish in self._renewals.due(self._clock.monotonic()):
            state = self._partitions.get(wish.partition)
            if state is None or state.batch is None or state.batch.span != wish.span:
                wish.refuse()
            elif wish.partition not in self._group.commits:
                wish.sent = True
                commit = self._intent(state.batch, wish.look)
                answered = _when_renewed(wish, self._clock.monotonic())
                self._group.commit([commit], lambda _, answered=answered: answered)  # type: ignore[misc]

    def _intent(self, batch: Batch, look: bool) -> Commit:
        intent = Intent(batch.span, batch.epoch, look, batch.shared, self._topic)
        metadata = encode_metadata(self._table, intent)
        return Commit(batch.partition, batch.span.start, metadata)

    def _nothing(self, state: AssignedPartition) -> Commit:
        buffer = state.buffer
        intent = Intent(None, buffer.epoch, topic=self._topic)
        told = self._intents or self._topic
        metadata = encode_metadata(self._table, intent) if told else ""
        return Commit(buffer.partition, state.stored, metadata)

    def _when_declared(self, commit: Commit, sent: float) -> Answered:
        def answered(verdict: Verdict, why: str) -> None:
            state = self._partitions.get(commit.partition)
            if state is None or state.batch is None:
                return
            match verdict:
                case Verdict.COMMITTED:
                    reach("intent-declared")
                    state.committed = commit.offset
                    self._since.pop(commit.partition, None)
                    self._declared(commit.partition, sent)
                case Verdict.REFUSED:
                    self._since.pop(commit.partition, None)
                    self._refused(commit.partition)
                case Verdict.AGAIN:
                    now = self._clock.monotonic()
                    state.later(now)
                    self._not_taken(commit.partition, now, why)

        return answered

    def _not_taken(self, number: int, now: float, why: str) -> None:
        """A rebalance or a new coordinator passes soon, and is not worth a word."""
        since = self._since.setdefault(number, now)
        if now - since >= SAID_AFTER and now - self._said.get(number, -SAID_AGAIN) >= SAID_AGAIN:
            self._said[number] = now
            self._note(
                f"partition {number}: Kafka has not taken the group's offsets for "
                f"{now - since:.0f} s: {why}; it ends when the group's coordinator takes them"
            )

    def _when_at_rest(self, commit: Commit) -> Answered:
        def answered(verdict: Verdict, why: str) -> None:
            state = self._partitions.get(commit.partition)
            if state is not None and verdict is Verdict.COMMITTED:
                state.committed = commit.offset
                reach("idle-committed")

        return answered


def _when_renewed(wish: Renewal, sent: float) -> Answered:
    def answered(verdict: Verdict, why: str) -> None:
        match verdict:
            case Verdict.COMMITTED:
                if not wish.declared.done():
                    wish.declared.set_result(sent)
            case Verdict.REFUSED:
                wish.refuse()
            case Verdict.AGAIN:
                wish.sent = False
                wish.again_at = sent + RENEW_AGAIN

    return answered
