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
from nrtctl.intents import Intent, encode_metadata
from nrtctl.intents.delivery import Mode

RENEW_AGAIN = 0.2


class Declaring:
    """Args:
    partitions: the loop's, by number; looked at when an answer comes.
    declared: given a partition whose batch may be inserted, and when its intent was sent.
    refused: given a partition that went to another member.
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
        declared: Callable[[int, float], None],
        refused: Callable[[int], None],
    ) -> None:
        self._group = group
        self._table = table
        self._partitions = partitions
        self._renewals = renewals
        self._clock = clock
        self._intents = intents
        self._declared = declared
        self._refused = refused

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
        metadata = encode_metadata(self._table, Intent(batch.span, batch.epoch, look, batch.shared))
        return Commit(batch.partition, batch.span.start, metadata)

    def _nothing(self, state: AssignedPartition) -> Commit:
        buffer = state.buffer
        metadata = encode_metadata(self._table, Intent(None, buffer.epoch)) if self._intents else ""
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
                    self._declared(commit.partition, sent)
                case Verdict.REFUSED:
                    self._refused(commit.partition)
                case Verdict.AGAIN:
                    state.later(self._clock.monotonic())

        return answered

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
