"""What the loop of the consumer costs by itself, by the number of partitions.

Kafka and ClickHouse are played: 100 messages come every 5 ms of a played clock, which is 20,000 a
second, `--run` of one partition after another; an intent is answered at the next fetch, and an
insert takes 30 ms. What is left is what the loop does for each message, each batch and each turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

from nrtctl.clock import ManualClock
from nrtctl.clock.stop import Stop
from nrtctl.config.model import Batch as Limits
from nrtctl.config.model import Consumer as Settings
from nrtctl.consumer.budget import alone
from nrtctl.consumer.effects import StartInsert
from nrtctl.consumer.flush_policy import FlushPolicy
from nrtctl.consumer.insert import Stored
from nrtctl.consumer.loop import Loop
from nrtctl.kafka.commits import Answered, Commit, Commits, Verdict
from nrtctl.kafka.fetched import Run
from nrtctl.kafka.membership import Group as KafkaGroup
from nrtctl.store.batch import Batch
from nrtctl.store.intents import OffsetRange, Position
from tests.unit.core.fetched import Message, runs

TURN_SECONDS, INSERT_SECONDS = 0.005, 0.03
MESSAGES = 100
"""Of one turn."""
TURNS = 600


class Group:
    def __init__(self, clock: ManualClock, partitions: int, run: int) -> None:
        self.commits = Commits()
        self.assigned: set[int] = set()
        self.out_of_range: set[int] = set()
        self.joined, self.rests = True, False
        self._clock = clock
        self._at = [0] * partitions
        self._run = run
        self._next = 0
        self._open: list[Commit] = []

    def subscribe(
        self, assigned: Callable[[Mapping[int, Position]], None], *_: Callable[[list[int]], None]
    ) -> None:
        self.assigned.update(range(len(self._at)))
        assigned({number: Position(0, "e") for number in self.assigned})

    def fetch(self, most: int, seconds: float) -> list[Run]:
        self._clock.advance(TURN_SECONDS)
        answered, self._open = self._open, []
        for commit in answered:
            self.commits.answer(commit, Verdict.COMMITTED)
        found = []
        for _ in range(MESSAGES // self._run):
            number = self._next = (self._next + 1) % len(self._at)
            begin = self._at[number]
            self._at[number] += self._run
            found += [Message(number, offset) for offset in range(begin, begin + self._run)]
        return runs(*found)

    def commit(self, commits: Sequence[Commit], answered: Callable[[Commit], Answered]) -> None:
        for each in commits:
            self.commits.sent(each, answered(each))
        self._open += commits


class Inserts:
    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._open: list[tuple[float, Future[Stored | None]]] = []

    def start(self, asked: StartInsert) -> Future[Stored | None]:
        future: Future[Stored | None] = Future()
        self._open.append((self._clock.monotonic() + INSERT_SECONDS, future))
        return future

    def look_up(self) -> Future[dict[int, int]]:
        found: Future[dict[int, int]] = Future()
        found.set_result({})
        return found

    def end(self) -> None:
        """Those whose time has come."""
        while self._open and self._open[0][0] <= self._clock.monotonic():
            self._open.pop(0)[1].set_result(Stored(INSERT_SECONDS))

    def wait_for_one(self, inserts: Iterable[Future[Any]], seconds: float) -> None:
        self._clock.advance(seconds)

    def close(self, seconds: float) -> None: ...


class Silent:
    def stored(self, batches: Sequence[Batch], stored: Stored) -> None: ...

    def note(self, text: str) -> None: ...

    def turned(self, partitions: Mapping[int, object], group: object) -> None: ...


def holds_all(partition: int, span: OffsetRange) -> bool:
    return True


def measured(partitions: int, run: int) -> tuple[float, int, int]:
    """(CPU-seconds a million messages, inserts, batches)."""
    clock = ManualClock()
    inserts = Inserts(clock)
    loop = Loop(
        "t",
        "events",
        cast("KafkaGroup", Group(clock, partitions, run)),
        settings=Settings(),
        flush_policy=FlushPolicy(
            Limits(max_wait="20ms"), share=alone(max_buffer=2**26, max_inserts=2)
        ),
        inserts=lambda renewals: inserts,
        holds_all=holds_all,
        clock=clock,
        observer=Silent(),
        stop=Stop(),
    )
    loop.join()
    began = time.thread_time()
    for _ in range(TURNS):
        loop.turn()
        inserts.end()
    cpu = time.thread_time() - began
    return cpu * 1e6 / (TURNS * MESSAGES), loop.summary.inserts, loop.summary.batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", default="4,512,1024")
    parser.add_argument(
        "--run", type=int, default=20, help="messages of a partition that come at once"
    )
    parser.add_argument("--runs", type=int, default=3, help="the least of so many counts")
    chosen = parser.parse_args()
    for partitions in map(int, chosen.partitions.split(",")):
        best = min(measured(partitions, chosen.run) for _ in range(chosen.runs))
        print(
            f"{partitions:>6} partitions: {best[0]:6.2f} CPU-seconds a million messages, "
            f"{best[1]} inserts of {best[2]} batches"
        )


if __name__ == "__main__":
    main()
