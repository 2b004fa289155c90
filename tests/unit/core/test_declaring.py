"""Intents that Kafka does not take: sent again, and said when it lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nrtctl.clock import ManualClock
from nrtctl.consumer.assigned import AssignedPartition
from nrtctl.consumer.buffer import PartitionBuffer
from nrtctl.consumer.commits import Answered, Commit, Commits, Verdict
from nrtctl.consumer.declaring import Declaring
from nrtctl.consumer.renewals import Renewals
from nrtctl.envelope import rows_encoder
from nrtctl.intents import Incarnation
from nrtctl.intents.delivery import Mode


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
    state = AssignedPartition(
        buffer, rows_encoder("t", 1, 0), 5, 5, Mode.RESUME, limit=None, ended=False
    )
    buffer.extend([5], [b"row"], 0.0)
    state.take(10, 1000, intents=True)
    clock, group, notes = ManualClock(), Group(), list[str]()
    unused: Any = None
    declaring = Declaring(
        group,  # type: ignore[arg-type]
        "events",
        {0: state},
        Renewals(),
        clock=clock,
        intents=True,
        topic=Incarnation(),
        declared=unused,
        refused=unused,
        note=notes.append,
    )
    heard = []
    for _ in range(30):
        declaring.declare([0])
        heard.append(len(notes))
        clock.advance(1.0)
    assert group.sent == 30
    assert (heard[2], heard[5], heard[-1]) == (0, 1, 3)
    assert "coordinator is loading" in notes[0]
    assert "partition 0" in notes[0]
