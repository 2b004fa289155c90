"""Intents that Kafka does not take: sent again, and said when it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nrtctl.clock import ManualClock
from nrtctl.config.model import Batch as Limits
from nrtctl.consumer.assignment import Assignment
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.effects import CommitIntents, Effect, Say
from nrtctl.consumer.intent_commits import IntentCommits
from nrtctl.consumer.lease_renewals import LeaseRenewals
from nrtctl.consumer.partition import Partition
from nrtctl.consumer.topic_check import TopicCheck
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.store.envelope import Rows, RowsEncoder
from nrtctl.store.intents import Incarnation
from nrtctl.store.intents.delivery import Mode


class Group:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.commits = Commits()
        self.sent = 0

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        for each in commits:
            self.commits.sent(each, answered(each))
            self.sent += 1
            self.commits.answer(each, Verdict.AGAIN, "the coordinator is loading")


def test_an_intent_that_is_not_taken_is_said_when_it_lasts() -> None:
    buffer = PartitionBuffer(0, 5, "e")
    state = Partition(buffer, RowsEncoder("t", 1, 0), 5, 5, Mode.RESUME, limit=None, ended=False)
    buffer.extend([5], Rows.of([b"row"]), 0.0)
    state.looked_up(-1)
    clock, group, notes = ManualClock(), Group(), list[str]()
    assignment = Assignment(
        Limits(), intents=True, topic_check=TopicCheck(has_id=False, now=0.0), fresh=lambda: "t"
    )
    assignment.assigned({0: state})

    def carry_out(effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case CommitIntents():
                    commits.commit_intents(effect)
                case Say(text):
                    notes.append(text)

    commits = IntentCommits(
        group,  # type: ignore[arg-type]
        "events",
        assignment,
        LeaseRenewals(),
        carry_out,
        clock=clock,
        intents=True,
        topic=Incarnation(),
    )
    heard = []
    assignment.begin([[0]], clock.monotonic())
    for _ in range(30):
        state.declare_at = clock.monotonic()
        carry_out(assignment.turn(clock.monotonic(), group.commits))
        heard.append(len(notes))
        clock.advance(1.0)
    assert group.sent == 30
    assert (heard[2], heard[5], heard[-1]) == (0, 1, 3)
    assert "coordinator is loading" in notes[0]
    assert "partition 0" in notes[0]
