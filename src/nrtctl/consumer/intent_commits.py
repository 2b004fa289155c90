"""What the loop commits: intents, intents once more for an insert's thread, and "all is stored".

On the loop's thread; the answers come from within a fetch, and are events of the assignment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nrtctl.clock import Clock
from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.effects import CommitIntents, CommitOffsets, Effect
from nrtctl.consumer.lease_renewals import LeaseRenewals, Renewal
from nrtctl.kafka.commits import Answered, Commit, Verdict
from nrtctl.kafka.membership import Group
from nrtctl.store.batch import Batch
from nrtctl.store.faultpoints import reach
from nrtctl.store.intents import Incarnation, Intent, encode_metadata

RENEW_AGAIN = 0.2


class IntentCommits:
    """Args:
    assignment: told what became of the commits; `carry_out`: given what is to be done then.
    intents: batches are declared; `topic`: whose offsets are committed.
    """

    def __init__(
        self,
        group: Group,
        table: str,
        assignment: Assignment,
        renewals: LeaseRenewals,
        carry_out: Callable[[Iterable[Effect]], None],
        *,
        clock: Clock,
        intents: bool,
        topic: Incarnation,
    ) -> None:
        self._group = group
        self._table = table
        self._assignment = assignment
        self._renewals = renewals
        self._carry_out = carry_out
        self._clock = clock
        self._intents = intents
        self._topic = topic.tag

    def commit_intents(self, effect: CommitIntents) -> None:
        commits = [self._intent(each.batch, each.look) for each in effect.batches]
        now = self._clock.monotonic()
        self._group.commit(commits, lambda commit: self._when_declared(commit, now))
        reach("intent-sent")

    def commit_offsets(self, effect: CommitOffsets) -> None:
        """Say that in these partitions all is stored, and nothing is under way."""
        commits = []
        for each in effect.offsets:
            intent = Intent(None, each.epoch, topic=self._topic)
            said = self._intents or self._topic
            metadata = encode_metadata(self._table, intent) if said else ""
            commits.append(Commit(each.partition, each.offset, metadata))
        self._group.commit(commits, self._when_at_rest)
        reach("idle-commit-sent")

    def renew(self, now: float) -> None:
        """Declare again what an insert's thread asks for; it waits for the answer."""
        for renewal in self._renewals.due(now):
            partition = self._assignment.partitions.get(renewal.partition)
            batch = partition.batch if partition is not None else None
            if batch is None or batch.span != renewal.span:
                renewal.refuse()
            elif renewal.partition not in self._group.commits:
                renewal.sent = True
                commit = self._intent(batch, renewal.look)
                answered = _when_renewed(renewal, self._clock.monotonic())
                self._group.commit([commit], lambda _, answered=answered: answered)  # type: ignore[misc]

    def _intent(self, batch: Batch, look: bool) -> Commit:
        intent = Intent(batch.span, batch.epoch, look, batch.shared, self._topic)
        metadata = encode_metadata(self._table, intent)
        return Commit(batch.partition, batch.span.start, metadata)

    def _when_declared(self, commit: Commit, sent: float) -> Answered:
        def answered(verdict: Verdict, why: str) -> None:
            number, assignment = commit.partition, self._assignment
            match verdict:
                case Verdict.COMMITTED:
                    reach("intent-declared")
                    effects = assignment.intent_committed(number, commit.offset, sent)
                case Verdict.REFUSED:
                    effects = assignment.intent_refused(number, self._clock.monotonic())
                case Verdict.AGAIN:
                    effects = assignment.intent_delayed(number, self._clock.monotonic(), why)
            self._carry_out(effects)

        return answered

    def _when_at_rest(self, commit: Commit) -> Answered:
        def answered(verdict: Verdict, why: str) -> None:
            if verdict is Verdict.COMMITTED:
                self._assignment.offset_committed(commit.partition, commit.offset)
                reach("idle-committed")

        return answered


def _when_renewed(renewal: Renewal, sent: float) -> Answered:
    def answered(verdict: Verdict, why: str) -> None:
        match verdict:
            case Verdict.COMMITTED:
                if not renewal.declared.done():
                    renewal.declared.set_result(sent)
            case Verdict.REFUSED:
                renewal.refuse()
            case Verdict.AGAIN:
                renewal.sent = False
                renewal.again_at = sent + RENEW_AGAIN

    return answered
