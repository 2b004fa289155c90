"""A topic, a group and a table in memory, and members that run the consumer's own loop.

Partitions are taken from living members one by one, members are thrown out without noticing, are
killed or come to an end; what they have sent may land at any time; answers get lost; the engine
dies between any two steps.

`choose(n)` picks one of n next events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from nrtctl.store.intents import OffsetRange
from tests.unit.exactly_once.member import Guards, Member
from tests.unit.exactly_once.server import MONTHS, Choose, Message, Server, Violation

FOR_EVER = 1e9
LEASE = 30
"""Events for which a declared intent may be acted on."""

SLEEP = 25
"""Events for which a member that has just given a partition away may stand still."""

PARTITIONS = 3


def seeded(seed: int) -> Choose:
    """Chooses at random, as fast as it goes."""
    random = Random(seed).random
    return lambda n: int(random() * n)


@dataclass
class Topic:
    """One partition's log, and what the group has committed for it."""

    offsets: list[int]
    owner: Member | None = None
    committed: int | None = None
    metadata: str = ""

    @property
    def end(self) -> int:
        return self.offsets[-1] + 1


class World:
    """One run: partitions and members come and go, until a last member finishes alone.

    Args:
        lease: events for which a declared intent may be acted on.
        partitions: of the topic.
        by_hand: where everybody starts over, rows are deleted or duplicated by hand as well.
        late_deletions: a deletion may come to the server after the lease it was sent under.
        several: messages are up to three rows each, some with a dead letter beside them.
    """

    def __init__(
        self,
        choose: Choose,
        guards: Guards | None = None,
        lease: float = FOR_EVER,
        *,
        partitions: int = PARTITIONS,
        by_hand: bool = False,
        late_deletions: bool = False,
        several: bool = False,
    ) -> None:
        self.choose = choose
        self.guards = guards or Guards()
        self.lease = lease
        self._by_hand = by_hand
        self._late_deletions = late_deletions
        self.topics: list[Topic] = []
        bad, poison, month = set(), set(), {}
        for partition in range(partitions):
            kinds = [choose(9) for _ in range(2 + choose(8))]
            offsets = [n for n, kind in enumerate(kinds) if kind != 0] or [0]  # 0: a gap
            self.topics.append(Topic(offsets))
            for offset in offsets:
                month[partition, offset] = choose(MONTHS)
            bad |= {(partition, n) for n in offsets if kinds[n] == 1}  # rejected
            poison |= {(partition, n) for n in offsets if kinds[n] == 2 and choose(2)}  # it throws
        self._letters = bad | poison
        limit = choose(5) + 1 if choose(3) == 0 else len(month)
        rows: dict[Message, tuple[int, ...]] = {}
        beside: set[Message] = set()
        if several:
            for message in month:
                rows[message] = tuple(choose(MONTHS) for _ in range(1 + choose(3)))
            beside = {message for message in month if choose(4) == 0}
        self.several = several
        self.server = Server(bad, poison, month, limit, rows, beside)
        self.server.count_rows = self.guards.count_rows
        self.stragglers = bool(choose(2))  # what the dead have sent lands after the last member
        self._calm = bool(choose(2))
        self.ends_are_told = choose(4) == 0  # and some members stop at an end
        self.visited: set[str] = set()
        self.clock = 0.0
        self._epochs = 0
        self._names = 0
        self._members: list[Member] = []

    def fresh(self) -> str:
        self._epochs += 1
        return f"e{self._epochs}" if self.guards.epoch else "e"

    def monotonic(self) -> float:
        return self.clock

    def time(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def run(self, most_events: int = 90) -> None:
        """Raises Violation."""
        self._join(range(len(self.topics)))
        for _ in range(most_events):
            self._event()
        self._finish()

    def _event(self) -> None:
        self.clock += 1
        kind = self.choose(32)
        if kind <= 2 and self._calm and self.choose(4):
            kind = 31
        if kind == 0:
            self._hand_over()
        elif kind == 1:
            self._throw_out()
        elif kind == 2:
            self._kill()
        elif kind == 3:
            self.server.die(spend=bool(self.choose(2)))
            self.visited.add("the engine died")
        elif kind == 4:
            self._lose_answer()
        elif kind == 5:
            if not self.choose(4):
                self._start_over()
        elif kind == 6:
            if not self.choose(4):
                self._end()
        elif kind <= 13 and self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        elif awake := [each for each in self._members if each.asleep_until <= self.clock]:
            awake[self.choose(len(awake))].step()

    def go_on(self, member: Member) -> None:
        """What happens while a member comes to its end."""
        for _ in range(self.choose(6)):
            if member.threads.look_ups:
                member.threads.answer_look_up()
            member.threads.go_on()

    def _join(self, numbers: Sequence[int], *, last: bool = False) -> Member:
        """A member; it may be one that stops where the logs ended when it began."""
        self._names += 1
        ends = None
        if self.ends_are_told and not last and self.choose(4) == 0:
            ends = {n: self.choose(topic.end + 1) for n, topic in enumerate(self.topics)}
        member = Member(self, f"m{self._names}", ends)
        self._members.append(member)
        self._give(member, numbers)
        return member

    def _give(self, member: Member, numbers: Sequence[int]) -> None:
        """Deletions of the former owner come to the server within its lease."""
        if not self._late_deletions:
            for request in [each for each in self.server.requests if each.delete is not None]:
                if not request.stage:
                    self.server.advance(request)
        for number in numbers:
            self.topics[number].owner = member
        member.group.assign(numbers)

    def _hand_over(self) -> None:
        """A cooperative rebalance: one partition goes from one living member to another."""
        number = self.choose(len(self.topics))
        owner = self.topics[number].owner
        if owner is None:
            return
        owner.group.revoke([number])
        others = [each for each in self._members if each is not owner]
        if others and self.choose(2):
            other = others[self.choose(len(others))]
            other.group.lose([number])  # it may still believe that it has it
            self._give(other, [number])
        else:
            self._join([number])
        if self.choose(2):
            owner.asleep_until = self.clock + SLEEP
        self.visited.add("handed over")

    def _throw_out(self) -> None:
        """A member that has been silent for too long, and does not notice."""
        owners = [each for each in self._members if self._owned(each)]
        if owners:
            self._join(self._owned(owners[self.choose(len(owners))]))
            self.visited.add("thrown out")

    def _kill(self) -> None:
        """Its requests live on."""
        if self._members:
            member = self._members.pop(self.choose(len(self._members)))
            self._join(self._owned(member))
            self.visited.add("killed")

    def _end(self) -> None:
        """A member is asked to end; so are its requests not waited for."""
        if self._members:
            member = self._members.pop(self.choose(len(self._members)))
            member.end()
            self._join(self._owned(member))
            left = member.loop.summary.left
            self.visited.add("ended, leaving a batch" if left else "ended")

    def _start_over(self) -> None:
        """Everybody leaves, and a person moves a partition of the group back; perhaps rows were
        taken away or duplicated by hand."""
        while self.server.requests:
            self.server.advance(self.server.requests[0])
        self._members.clear()
        topic = self.topics[self.choose(len(self.topics))]
        topic.committed, topic.metadata = (None if self.choose(2) else 0), ""
        if self._by_hand:
            self.server.change_by_hand(self.choose)
        self._join(range(len(self.topics)))
        self.visited.add("started over")

    def _owned(self, member: Member) -> list[int]:
        return [n for n, topic in enumerate(self.topics) if topic.owner is member]

    def _lose_answer(self) -> None:
        waiting = [
            (each.threads, task)
            for each in self._members
            for task in each.threads.tasks
            if task.waiting is not None
        ]
        if waiting:
            threads, task = waiting[self.choose(len(waiting))]
            threads.lose_answer(task)
            self.visited.add("an answer was lost")

    def _finish(self) -> None:
        self._members.clear()
        last = self._join(range(len(self.topics)), last=True)
        for _ in range(20_000):
            if last.done():
                break
            self.clock += 1
            own = [t.waiting for t in last.threads.tasks if t.waiting and not t.waiting.outcome]
            if own and self.stragglers:
                self.server.advance(own[self.choose(len(own))])
            elif self.server.requests and self.choose(2):
                self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
            else:
                last.step()
        else:
            raise Violation("it does not come to an end")
        while self.server.requests:
            self.server.advance(self.server.requests[self.choose(len(self.server.requests))])
        self._check()

    def _check(self) -> None:
        self.server.count_rows = True
        for number, topic in enumerate(self.topics):
            stored = Counter(self.server.stored(number, OffsetRange(0, topic.end)))
            for offset in topic.offsets:
                if stored[offset] != 1:
                    raise Violation(f"{number}/{offset} is stored {stored[offset]} times")
        letters: set[Any] = {row.message for row in self.server.tables[1] if row.rows}
        if letters != self._letters:
            raise Violation(f"dead letters {sorted(letters)}")
